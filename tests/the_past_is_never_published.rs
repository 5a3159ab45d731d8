//! A live camera's mask that is too old when it is done goes nowhere, and is counted.
#![cfg(feature = "zenoh")]

mod publishing;

use publishing::{SOON, config, frame_of, now, perception, publish, subscriber_of};
use segfuse::data::{HealthState, Perception, VitalSigns, Vitals};
use segfuse::sink::zenoh::{Config, ZenohSink};
use segfuse::sink::{Sink, SinkError};
use segfuse::subscribe;
use std::time::Duration;

fn taken_before(number: u64, ms: i64) -> Perception {
    Perception { stamp: now().offset_ns(-ms * 1_000_000), ..perception(number) }
}

#[test]
fn a_mask_of_a_picture_from_too_long_ago_is_refused_and_counted_as_stale() {
    let mut sink = publishing::publisher(&Config { max_age_ms: 5_000, ..config(true) });
    publish(&mut sink, &perception(0));
    let old = taken_before(1, 5_001);
    let error = sink.on_perception(&frame_of(&old), &old).expect_err("it is too old");
    assert!(matches!(error, SinkError::Dropped { .. }), "{error}");
    assert!(error.to_string().contains("more than zenoh.max_age_ms = 5000"), "{error}");
    let subscriber = subscriber_of(&sink, subscribe::Config::default());
    let health = subscriber.health(SOON).expect("the publisher lives");
    assert_eq!((health.stale, health.refused, health.published, health.sequence), (1, 0, 1, Some(0)));
    assert_eq!(health.captured, health.published + health.dropped + health.pending);
}

#[test]
fn who_asks_gets_no_mask_that_has_become_too_old() {
    let mut sink = publishing::publisher(&Config { max_age_ms: 1_000, ..config(true) });
    let subscriber = subscriber_of(&sink, subscribe::Config::default());
    publish(&mut sink, &perception(0));
    assert!(subscriber.newest(SOON).is_ok(), "it is fresh");
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(subscriber.newest(Duration::from_millis(500)).is_err(), "it is a second old");
}

#[test]
fn a_live_publisher_tells_how_its_sources_are() {
    let vitals = Vitals { state: HealthState::Degraded, ..Vitals::default() };
    let told = vitals.clone();
    let run = segfuse::sink::zenoh::Run {
        vitals: Some(VitalSigns::new(move |_, vitals| vitals.clone_from(&told))),
        ..publishing::run()
    };
    let sink = ZenohSink::open(&config(true), run, now).expect("loopback is there");
    let subscriber = subscriber_of(&sink, subscribe::Config::default());
    assert_eq!(subscriber.health(SOON).expect("the publisher lives").vitals, Some(vitals));
}
