//! `segfuse subscribe`: what another process publishes, with its rate, age and gaps.

use super::arguments::PublishArguments;
use super::output::print;
use super::session::Session;
use crate::clock::{MeasuringClock, MonotonicClock};
use crate::data::{ClassTable, Stamp};
use crate::subscribe::{Config, Continuity, Received, SubscribeError, Subscriber};
use crate::trip::encode_label_png;
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  segfuse subscribe                                  a line a second: rate, age, gaps
  segfuse subscribe --save masks --count 100         save 100 masks as PNG, then end
  segfuse subscribe --connect tcp/192.168.1.10:7447 --vehicle bus-7 --camera front

It may be started before the publisher. Ctrl-C ends it with a summary.";

/// How long one wait for a mask lasts: an interrupt is seen within it.
const WAIT: Duration = Duration::from_millis(100);
/// How often a publisher that is not there yet is looked for.
const RETRY: Duration = Duration::from_millis(250);
const ANSWER: Duration = Duration::from_secs(3);

/// Options of `segfuse subscribe`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Save each mask as PNG into this folder: colours for people, class ids as the pixel values.
    #[arg(long, value_name = "FOLDER")]
    pub save: Option<PathBuf>,
    /// End after this many masks.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// End after this long.
    #[arg(long, value_name = "SECONDS", value_parser = super::replay::seconds)]
    pub seconds: Option<f64>,
    /// Masks that may wait here, 1 to 120; when one more comes the oldest is dropped and counted.
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub queue: usize,
    /// Print JSON: one object a second, and a last one with the totals.
    #[arg(long)]
    pub json: bool,
    /// Where masks are published.
    #[command(flatten)]
    pub publishing: PublishArguments,
}

/// Receives until it has enough; prints a line a second and a summary.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let end = arguments.seconds.map(|seconds| session.clock.now().after(Duration::from_secs_f64(seconds)));
    let Some(mut subscriber) = open(arguments, end, session)? else { return enough(arguments, 0, session) };
    let mut saver = arguments.save.as_deref().map(Saver::create).transpose()?;
    let mut tally = Tally::new(session.clock.now());
    while !done(arguments, &tally, end, session) {
        match subscriber.recv_timeout(WAIT) {
            Ok(received) => {
                tally.take(&received);
                if let Some(saver) = &mut saver {
                    saver.save(&received, &subscriber)?;
                }
            }
            Err(SubscribeError::Timeout { .. }) => (),
            Err(error) => return Err(error.into()),
        }
        if let Some(line) = tally.line(session.clock.now(), &subscriber, arguments.json) {
            print(&line)?;
        }
    }
    print(&tally.summary(&subscriber, arguments.json))?;
    enough(arguments, tally.total, session)
}

/// Fewer masks than asked for is a failure, unless the user ended it.
fn enough(arguments: &Arguments, total: u64, session: &Session) -> anyhow::Result<()> {
    match arguments.count {
        Some(count) if total < count && !session.interrupt.asked() => {
            bail!("received {total} of {count} masks; is a publisher running with this vehicle and camera name?")
        }
        _ => Ok(()),
    }
}

fn done(arguments: &Arguments, tally: &Tally, end: Option<Stamp>, session: &Session) -> bool {
    let enough = arguments.count.is_some_and(|count| tally.total >= count);
    enough || session.interrupt.asked() || end.is_some_and(|end| session.clock.now() >= end)
}

/// Opens the subscriber as soon as there is somebody to connect to; `None` if it is told to stop before.
fn open(arguments: &Arguments, end: Option<Stamp>, session: &Session) -> anyhow::Result<Option<Subscriber>> {
    let config = config(arguments);
    let mut told = false;
    loop {
        match Subscriber::open(&config, || MonotonicClock.now()) {
            Ok(subscriber) => return Ok(Some(subscriber)),
            Err(error) if !error.is_refused() => return Err(error.into()),
            Err(_) if !told => tracing::info!(connect = ?config.connect, "waiting for a publisher"),
            Err(_) => (),
        }
        told = true;
        if session.interrupt.asked() || end.is_some_and(|end| session.clock.now() >= end) {
            return Ok(None);
        }
        std::thread::sleep(RETRY);
    }
}

fn config(arguments: &Arguments) -> Config {
    let given = &arguments.publishing;
    let default = Config::default();
    Config {
        prefix: given.prefix.clone().unwrap_or(default.prefix),
        vehicle: given.vehicle.clone().unwrap_or(default.vehicle),
        camera: given.camera.clone().unwrap_or(default.camera),
        connect: if given.connect.is_empty() { default.connect } else { given.connect.clone() },
        config_file: given.zenoh_config.clone(),
        queue: arguments.queue,
        ..default
    }
}

/// Writes masks as pictures, with the publisher's own class colours.
struct Saver {
    folder: PathBuf,
    classes: Option<ClassTable>,
}

impl Saver {
    fn create(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("--save {}: cannot be made", folder.display()))?;
        Ok(Self { folder: folder.into(), classes: None })
    }

    fn save(&mut self, received: &Received, subscriber: &Subscriber) -> anyhow::Result<()> {
        let classes = match self.classes.take() {
            Some(classes) if classes.hash() == received.header.classes_hash => classes,
            _ => subscriber.classes(ANSWER).context("the publisher does not say what its classes are")?,
        };
        let path = self.folder.join(format!("{:08}.png", received.header.frame.0));
        let png = encode_label_png(&received.labels, &classes)?;
        std::fs::write(&path, png).with_context(|| format!("{}: cannot be written", path.display()))?;
        self.classes = Some(classes);
        Ok(())
    }
}

/// What came, since the start and in the current second.
struct Tally {
    second_began: Stamp,
    total: u64,
    keys: u64,
    in_second: u64,
    age_ms: Option<f64>,
    worst_age_ms: Option<f64>,
    gaps: u64,
}

impl Tally {
    fn new(now: Stamp) -> Self {
        Self { second_began: now, total: 0, keys: 0, in_second: 0, age_ms: None, worst_age_ms: None, gaps: 0 }
    }

    fn take(&mut self, received: &Received) {
        self.total += 1;
        self.in_second += 1;
        self.keys += u64::from(received.header.origin.distance() == 0);
        self.gaps += u64::from(matches!(received.continuity, Continuity::Follows { missed: 1.. }));
        self.age_ms = received.age_ms();
        self.worst_age_ms = self.worst_age_ms.into_iter().chain(self.age_ms).reduce(f64::max);
    }

    /// The line of a second that is over.
    fn line(&mut self, now: Stamp, subscriber: &Subscriber, json: bool) -> Option<String> {
        let seconds = now.signed_ns_since(self.second_began) as f64 / 1e9;
        if seconds < 1.0 {
            return None;
        }
        let rate = self.in_second as f64 / seconds;
        (self.second_began, self.in_second) = (now, 0);
        let missed = subscriber.counts().missed;
        Some(if json {
            let publishers = subscriber.publishers();
            serde_json::json!({"rate_hz": rate, "age_ms": self.age_ms, "received": self.total, "gaps": self.gaps, "missed": missed, "publishers": publishers}).to_string()
        } else {
            format!(
                "{rate:5.1} masks/s  age {}  received {}  gaps {} ({missed} missed)",
                ms(self.age_ms),
                self.total,
                self.gaps
            )
        })
    }

    fn summary(&self, subscriber: &Subscriber, json: bool) -> String {
        let counts = subscriber.counts();
        let (total, keys, gaps, worst) = (self.total, self.keys, self.gaps, self.worst_age_ms);
        if json {
            return serde_json::json!({"received": total, "keys": keys, "propagated": total - keys, "gaps": gaps, "missed": counts.missed, "overflowed": counts.overflowed, "damaged": counts.damaged, "restarts": counts.restarts, "worst_age_ms": worst}).to_string();
        }
        format!(
            "received {total} masks ({keys} key, {} propagated), {gaps} gaps with {} missed ({} overflowed here, {} damaged), \
             {} publisher restarts, worst age {}",
            total - keys,
            counts.missed,
            counts.overflowed,
            counts.damaged,
            counts.restarts,
            ms(worst)
        )
    }
}

fn ms(age_ms: Option<f64>) -> String {
    age_ms.map_or_else(|| "unknown (replay at full speed)".to_owned(), |age_ms| format!("{age_ms:.1} ms"))
}
