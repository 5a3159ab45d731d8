//! Prints every mask of a camera: `cargo run --release --example subscribe -- vehicle front tcp/127.0.0.1:7447`
//!
//! Wants only the feature `zenoh`: `--no-default-features --features zenoh`.

use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::subscribe::{Config, SubscribeError, Subscriber};
use segfuse::wire::session::SessionError;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let Err(error) = print_masks();
    eprintln!("error: {error}");
    match error {
        SubscribeError::Keys(_) | SubscribeError::Session(SessionError::Endpoint { .. }) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn print_masks() -> Result<std::convert::Infallible, SubscribeError> {
    let mut words = std::env::args().skip(1);
    let mut config = Config::default();
    config.vehicle = words.next().unwrap_or(config.vehicle);
    config.camera = words.next().unwrap_or(config.camera);
    config.connect = words.next().map_or(config.connect, |endpoint| vec![endpoint]);
    let mut subscriber = Subscriber::open(&config, || MonotonicClock.now())?;
    let classes = subscriber.classes(Duration::from_secs(3))?;
    loop {
        let mask = subscriber.recv_timeout(Duration::from_secs(5))?;
        let centre = mask.labels.labels()[mask.labels.size().pixels() / 2];
        let (header, age_ms) = (&mask.header, mask.age_ms().unwrap_or(f64::NAN));
        let size = mask.labels.size();
        let name = classes.name_of(centre).unwrap_or("unlabeled");
        println!(
            "{} {size} {:?} age {age_ms:.1} ms, middle: {name}, {:?}",
            header.frame.0, header.origin, mask.continuity
        );
    }
}
