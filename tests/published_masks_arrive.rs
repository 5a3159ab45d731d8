//! A subscriber gets what was published, whichever way it travels.
#![cfg(feature = "zenoh")]

mod publishing;

use publishing::*;
use segfuse::data::{ClassTable, Reading};
use segfuse::sink::Sink;
use segfuse::sink::zenoh::Config;
use segfuse::subscribe::{self, Continuity, SubscribeError};
use segfuse::wire::{Health, Keys, StateNotice, session};
use std::time::Duration;
use zenoh::Wait;
use zenoh::sample::Sample;

#[test]
fn every_mask_arrives_equal_and_in_order_with_its_header() {
    for shared in [true, false] {
        let mut sink = publisher(&config(shared));
        let mut subscriber = subscriber_of(&sink, subscribe::Config { shared_memory: shared, ..Default::default() });
        let first = until_heard(&mut sink, &mut subscriber);
        for number in first + 1..first + 30 {
            let sent = perception(number);
            publish(&mut sink, &sent);
            let received = subscriber.recv_timeout(SOON).expect("published");
            assert_eq!(received.labels, sent.mask, "shared {shared}, mask {number}");
            assert_eq!((received.age.as_ref(), received.confidence.as_ref()), (None, None));
            assert_eq!(received.continuity, Continuity::Follows { missed: 0 }, "mask {number}");
            let header = &received.header;
            assert_eq!((header.frame, header.stamp, header.origin), (sent.frame, sent.stamp, sent.origin));
            assert_eq!((header.sequence, header.network_hash), (number, 0x1234));
            assert_eq!((header.labels_hash, header.classes_hash), (sent.mask.hash(), ClassTable::cityscapes().hash()));
            assert!(sent.stamp <= header.published && header.published <= received.received);
            assert!(received.age_ms().is_some_and(|age| (0.0..2000.0).contains(&age)), "{:?}", received.age_ms());
        }
        let health = subscriber.health(SOON).expect("the publisher lives");
        assert_eq!(health.unshared > 0, !shared, "{health:?}");
        assert_eq!((health.captured, health.published), (first + 30, first + 30));
        assert_eq!(subscriber.counts().missed, 0);
    }
}

#[test]
fn planes_and_compression_survive_the_way() {
    for (lz4, shared) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut sink = publisher(&Config { lz4, age: true, confidence: true, ..config(shared) });
        let mut subscriber = subscriber_of(&sink, subscribe::Config::default());
        let first = until_heard(&mut sink, &mut subscriber);
        for number in first + 1..first + 12 {
            let sent = perception(number);
            publish(&mut sink, &sent);
            let received = subscriber.recv_timeout(SOON).expect("published");
            assert_eq!(received.labels, sent.mask, "lz4 {lz4}, shared {shared}");
            assert_eq!(received.age, sent.age, "lz4 {lz4}, shared {shared}");
            assert_eq!(received.confidence, sent.confidence, "lz4 {lz4}, shared {shared}");
        }
    }
}

#[test]
fn who_comes_late_asks_for_the_newest_mask_and_the_classes() {
    let mut sink = publisher(&config(true));
    let sent: Vec<_> = (0..3).map(perception).collect();
    for perception in &sent {
        publish(&mut sink, perception);
    }
    let subscriber = subscriber_of(&sink, subscribe::Config::default());
    let newest = subscriber.newest(SOON).expect("there are masks");
    assert_eq!((newest.labels, newest.header.sequence), (sent[2].mask.clone(), 2));
    let classes = subscriber.classes(SOON).expect("the publisher lives");
    assert_eq!((classes.hash(), classes.name_of(0)), (newest.header.classes_hash, Some("road")));
    wait_for("the publisher's token", || subscriber.publishers() == 1);
    assert_eq!(subscriber.health(SOON).expect("the publisher lives").sequence, Some(2));
}

#[test]
fn state_and_health_are_published_beside_the_mask() {
    let mut sink = publisher(&Config { health_period_ms: 100, ..config(true) });
    let connecting = session::Config { connect: Some(sink.endpoints()), ..listening("tcp/127.0.0.1:0") };
    let other = session::open(&connecting, true).expect("the publisher listens");
    let keys = Keys::new("segfuse", "vehicle", "front").expect("sound");
    let [states, healths] =
        [keys.state(), keys.health()].map(|key| other.declare_subscriber(key).wait().expect("open"));
    let (mut state, mut health) = (None, None);
    for number in 0..200 {
        publish(&mut sink, &perception(number));
        let text = |sample: Option<Sample>| sample.map(|sample| sample.payload().to_bytes().into_owned());
        state = state.or(text(states.recv_timeout(Duration::from_millis(25)).expect("open")));
        health = health.or(text(healths.try_recv().expect("open")));
        if state.is_some() && health.is_some() {
            break;
        }
    }
    let state = StateNotice::from_json(&state.expect("one with every mask")).expect("sound");
    assert_eq!(state.state.speed_mps, Some(Reading::valid(13.9)));
    let health = Health::from_json(&health.expect("one in 100 ms")).expect("sound");
    assert_eq!((health.engine.as_str(), health.session), ("test 1.0", state.session));
    assert_eq!(health.captured, health.published + health.dropped + health.pending);
}

#[test]
fn everything_published_goes_out_before_the_session_closes() {
    let mut sink = publisher(&config(false));
    let mut subscriber = subscriber_of(&sink, subscribe::Config { queue: 60, ..Default::default() });
    let first = until_heard(&mut sink, &mut subscriber);
    (first + 1..first + 41).for_each(|number| publish(&mut sink, &perception(number)));
    sink.finish().expect("the session lives");
    for number in first + 1..first + 41 {
        let received = subscriber.recv_timeout(SOON).unwrap_or_else(|error| panic!("mask {number}: {error}"));
        assert_eq!(received.header.frame.0, number);
    }
}

#[test]
fn masks_are_awaited_in_any_async_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut sink = publisher(&config(true));
    let endpoint = sink.endpoints()[0].clone();
    let publishing = std::thread::spawn(move || {
        for number in 0..50 {
            publish(&mut sink, &perception(number));
            std::thread::sleep(Duration::from_millis(20));
        }
        sink
    });
    runtime.block_on(async {
        let mut subscriber = subscriber_at(&endpoint, subscribe::Config::default());
        let began = now();
        let two = async { [subscriber.recv_async().await, subscriber.recv_async().await] };
        let two = tokio::time::timeout(SOON, two).await.expect("published");
        assert!(now().signed_ns_since(began) < 5_000_000_000, "woken by the masks, not by the timeout");
        assert!(two[1].header.frame > two[0].header.frame && subscriber.classes(SOON).is_ok());
    });
    drop(publishing.join().expect("no panic"));
}

#[test]
fn nobody_there_is_told_within_the_time_given() {
    let sink = publisher(&config(true));
    let mut subscriber = subscriber_of(&sink, subscribe::Config { camera: "rear".into(), ..Default::default() });
    let error = subscriber.recv_timeout(Duration::from_millis(50)).expect_err("no rear camera");
    assert!(matches!(error, SubscribeError::Timeout { publishers: 0, .. }), "{error}");
    let error = subscriber.classes(Duration::from_millis(300)).expect_err("no rear camera");
    assert!(matches!(error, SubscribeError::NoAnswer { .. }), "{error}");
}
