//! `segfuse subscribe` without masks, or with those of two publishers: a line a second, the totals, and the reason.

#![cfg(feature = "zenoh")]

mod publishing;
mod support;

use publishing::{config, listening, perception, publish, publisher, wait_for};
use segfuse::sink::Sink;
use segfuse::sink::zenoh::{Config, ZenohSink};
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use support::{segfuse, segfuse_ok};

/// A port that nobody listens on just now.
fn silent_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("tcp/{}", listener.local_addr().expect("an address"))
}

fn subscribe(options: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    command.arg("subscribe").args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn ended(child: Child) -> (Output, String, String) {
    let output = child.wait_with_output().expect("the subscriber ends");
    let [said, told] = [&output.stdout, &output.stderr].map(|text| String::from_utf8(text.clone()).expect("UTF-8"));
    (output, said, told)
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

#[test]
fn without_a_publisher_there_is_a_line_a_second_and_the_totals() {
    let endpoint = silent_endpoint();
    let (output, said, told) = ended(subscribe(&["--connect", &endpoint, "--seconds", "3.6", "--json"]));
    assert!(output.status.success(), "{told}");
    let lines = objects(&said);
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[..3].iter().all(|line| line["connected"] == false && line["publishers"] == 0), "{said}");
    assert!(lines[..3].iter().all(|line| line["rate_hz"] == 0.0 && line["received"] == 0), "{said}");
    assert!(lines[3]["worst_age_ms"].is_null() && lines[3]["received"] == 0 && lines[3]["gaps"] == 0, "{said}");

    let (_, said, told) = ended(subscribe(&["--connect", &endpoint, "--seconds", "1.5"]));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("waiting: ") && lines[0].contains(&endpoint), "{said}");
    assert!(lines[1].starts_with("received 0 masks"), "{said}");
    assert!(told.contains("nobody answers") || told.is_empty(), "{told}");
}

#[test]
fn an_interrupt_ends_the_wait_for_a_publisher_with_the_totals() {
    let waiting = subscribe(&["--connect", &silent_endpoint(), "--json"]);
    std::thread::sleep(Duration::from_millis(1500));
    signal(&waiting, "-INT");
    let (output, said, _) = ended(waiting);
    assert_eq!(output.status.code(), Some(130));
    // Lines of a second have no such key: only the totals do.
    let worst_age_ms = objects(&said).last().and_then(|totals| totals.get("worst_age_ms").cloned());
    assert_eq!(worst_age_ms, Some(Value::Null), "{said}");
}

#[test]
fn too_few_masks_are_a_failure_that_says_why() {
    let endpoint = silent_endpoint();
    let (output, _, told) = ended(subscribe(&["--connect", &endpoint, "--seconds", "0.5", "--count", "3"]));
    assert_eq!(output.status.code(), Some(1));
    let error = told.lines().find(|line| line.starts_with("error: ")).expect("an error");
    assert!(error.contains("none of 3 masks") && error.contains(&endpoint), "{told}");
}

#[test]
fn log_lines_of_zenoh_and_places_in_source_code_stay_away() {
    let endpoint = silent_endpoint();
    let arguments = ["--connect", &endpoint, "--seconds", "6"];
    for format in ["text", "json"] {
        let (_, _, told) = ended(subscribe(&[&arguments[..], &["--log-format", format, "--log", "debug"]].concat()));
        assert!(told.contains("nobody answers") && told.contains(&endpoint), "{format}: {told}");
        assert!(!told.contains("Unable to connect") && !told.contains(".rs"), "{format}: {told}");
    }
    let (_, _, told) = ended(subscribe(&[&arguments[..], &["--log", "zenoh=warn"]].concat()));
    assert!(told.contains("Unable to connect") && !told.contains(".rs"), "asked for by name: {told}");
}

/// A publisher of `vehicle`.
fn vehicle(vehicle: &str) -> ZenohSink {
    publisher(&Config { vehicle: vehicle.into(), session: listening("tcp/127.0.0.1:0"), ..config(true) })
}

#[test]
fn a_publisher_of_another_vehicle_is_named_with_the_option_that_listens_to_it() {
    let sink = vehicle("bus-7");
    let connect = ["--connect", &sink.endpoints()[0], "--seconds", "1.5"];
    let (_, said, _) = ended(subscribe(&connect));
    assert!(said.contains("no publisher of 'segfuse/vehicle/front/mask'"), "{said}");
    assert!(said.contains("heard publisher vehicle=bus-7, camera=front: use --vehicle bus-7"), "{said}");
    let (_, said, _) = ended(subscribe(&[&connect[..], &["--json"]].concat()));
    assert_eq!(objects(&said)[0]["elsewhere"][0]["vehicle"], "bus-7", "{said}");
    let (output, _, told) = ended(subscribe(&[&connect[..], &["--count", "1"]].concat()));
    assert!(output.status.code() == Some(1) && told.contains("use --vehicle bus-7"), "{told}");
}

#[test]
fn two_publishers_of_one_key_are_two_publishers_and_no_restarts() {
    let mut sinks = [publisher(&config(true)), publisher(&config(true))];
    let endpoints: Vec<String> = sinks.iter().map(|sink| sink.endpoints()[0].clone()).collect();
    for json in [true, false] {
        let mut options = vec!["--connect", &endpoints[0], "--connect", &endpoints[1], "--seconds", "3"];
        options.extend(json.then_some("--json"));
        let mut subscriber = subscribe(&options);
        let mut number = 0;
        while subscriber.try_wait().expect("it runs").is_none() {
            for sink in &mut sinks {
                publish(sink, &perception(number));
            }
            number += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        let (_, said, told) = ended(subscriber);
        let last = said.lines().last().expect("a summary");
        if json {
            let totals = &objects(&said)[said.lines().count() - 1];
            assert!(totals["received"].as_u64() > Some(20), "{said}");
            for (key, expected) in [("restarts", 0), ("gaps", 0), ("missed", 0), ("publishers", 2)] {
                assert_eq!(totals[key], expected, "{key}: {said}");
            }
        } else {
            assert!(said.contains("publishers 2"), "{said}");
            assert!(last.contains("0 missed in 0 gaps") && last.contains("at most 2 publishers"), "{said}");
        }
        assert_eq!(told.matches("several publishers use 'segfuse/vehicle/front/mask'").count(), 1, "{told}");
        assert!(told.contains("--vehicle"), "{told}");
    }
}

/// Publishes `numbers` to `subscriber`s at `endpoint`, every 20 ms from the moment that one is there.
fn publish_at(endpoint: &str, numbers: std::ops::Range<u64>) -> ZenohSink {
    let mut sink = publisher(&Config { session: listening(endpoint), ..config(true) });
    wait_for("the subscription", || sink.has_subscriber());
    for number in numbers {
        publish(&mut sink, &perception(number));
        std::thread::sleep(Duration::from_millis(20));
    }
    sink
}

fn files_in(folder: &Path) -> usize {
    folder
        .read_dir()
        .expect("a folder")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file()))
        .count()
}

#[test]
fn masks_of_a_publisher_started_again_are_saved_beside_those_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (endpoint, masks) = (silent_endpoint(), folder.path().join("masks"));
    let options = ["--connect", &endpoint, "--count", "8", "--seconds", "30", "--save", &masks.to_string_lossy()];
    let subscriber = subscribe(&options);
    let mut first = publish_at(&endpoint, 0..4);
    std::thread::sleep(Duration::from_millis(500));
    first.finish().expect("the session lives");
    drop(first);
    let second = publish_at(&endpoint, 0..4);
    let (output, said, told) = ended(subscriber);
    drop(second);
    assert!(output.status.success() && said.contains("received 8 masks"), "{said}{told}");
    let below: Vec<_> = masks.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    let sessions: Vec<_> = below.iter().filter(|path| path.is_dir()).collect();
    assert_eq!((sessions.len(), files_in(&masks)), (1, 4), "{below:?}");
    assert_eq!(files_in(sessions[0]), 4, "{told}");
}

#[test]
fn a_full_disk_ends_saving_with_the_totals_the_reason_and_no_cut_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let full = folder.path().join("00000002.png");
    std::os::unix::fs::symlink("/dev/full", &full).expect("a link");
    let endpoint = silent_endpoint();
    let saved_in = folder.path().to_string_lossy();
    let subscriber = subscribe(&["--connect", &endpoint, "--seconds", "30", "--save", &saved_in]);
    let sink = publish_at(&endpoint, 0..4);
    let (output, said, told) = ended(subscriber);
    drop(sink);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("received 3 masks")), "{said}");
    assert!(told.contains("00000002.png: cannot be written") && told.contains("No space left"), "{told}");
    assert!(full.symlink_metadata().is_err() && files_in(folder.path()) == 2);
}

#[test]
fn a_second_in_which_nothing_came_has_no_age() {
    let endpoint = silent_endpoint();
    let [text, json] = [&[][..], &["--json"]]
        .map(|format| subscribe(&[&["--connect", &endpoint, "--seconds", "6"][..], format].concat()));
    let mut sink = publisher(&Config { session: listening(&endpoint), ..config(true) });
    wait_for("both subscribers", || sink.neighbours() == 2);
    std::thread::sleep(Duration::from_secs(1)); // Zenoh opens a session up to half a second after its connection
    publish(&mut sink, &perception(0));
    let [(_, text, _), (_, json, _)] = [text, json].map(ended);
    let quiet: Vec<&str> = text.lines().filter(|line| line.starts_with("  0.0 masks/s")).collect();
    assert!(!quiet.is_empty() && quiet.iter().all(|line| line.contains("age -  received 1")), "{text}");
    let lines = objects(&json);
    assert!(lines.iter().any(|line| line["age_ms"].is_f64()), "{json}");
    let quiet = lines.iter().filter(|line| line["rate_hz"] == 0.0);
    assert!(quiet.clone().count() > 0 && quiet.clone().all(|line| line["age_ms"].is_null()), "{json}");
}

#[test]
fn endpoints_that_cannot_be_are_misuse() {
    for endpoint in ["tcp/127.0.0.1:99999", "tcp/127.0.0.1", "carrier-pigeon/1", "127.0.0.1"] {
        for option in ["--listen", "--connect"] {
            let output = segfuse(&["subscribe", option, endpoint, "--seconds", "1"]);
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{option} {endpoint}: {told}");
            assert!(told.contains(endpoint), "{told}");
        }
    }
}

#[test]
fn a_publisher_that_connects_beside_a_taken_default_port_is_heard_by_who_connects_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trip = folder.path().join("drive.mcap").to_string_lossy().into_owned();
    segfuse_ok(&["render", "--size", "160x96", "--fps", "20", "--seconds", "1", "--out", &trip]);
    let _taken = TcpListener::bind("127.0.0.1:7447"); // if this fails it is taken already
    let first = publisher(&config(true));
    let endpoint = first.endpoints()[0].clone();
    let subscriber = subscribe(&["--connect", &endpoint, "--vehicle", "bus-2", "--count", "20", "--seconds", "40"]);
    wait_for("the subscriber's connection", || first.neighbours() == 1);
    segfuse_ok(&[
        "replay",
        &trip,
        "--publish",
        "--connect",
        &endpoint,
        "--vehicle",
        "bus-2",
        "--await-subscriber",
        "20",
    ]);
    let (output, said, told) = ended(subscriber);
    assert!(output.status.success() && said.contains("received 20 masks"), "{said}{told}");
}

#[test]
fn a_publisher_that_connects_to_a_listening_subscriber_is_heard() {
    let endpoint = silent_endpoint();
    let listening_subscriber = subscribe(&["--listen", &endpoint, "--seconds", "30", "--count", "3"]);
    let mut sink = publisher(&Config {
        session: segfuse::wire::session::Config {
            connect: Some(vec![endpoint]),
            listen: Some(Vec::new()),
            ..Default::default()
        },
        ..config(false)
    });
    wait_for("the subscription", || sink.has_subscriber());
    (0..3).for_each(|number| publish(&mut sink, &perception(number)));
    let (output, said, told) = ended(listening_subscriber);
    assert!(output.status.success(), "{said}{told}");
}

#[test]
fn a_folder_that_masks_cannot_be_saved_in_is_told_before_any_is_awaited() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("taken");
    std::fs::write(&file, "not a folder").expect("written");
    let below = file.join("masks");
    for (path, status, told) in [(&file, 2, "not a folder"), (&below, 1, "cannot be made")] {
        let path = path.to_string_lossy();
        let output = segfuse(&["subscribe", "--connect", &silent_endpoint(), "--seconds", "3", "--save", &path]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{errors}");
        assert!(errors.contains(told) && errors.contains(&*path), "{errors}");
    }
    let sound = folder.path().join("new/masks");
    let arguments = ["subscribe", "--connect", &silent_endpoint(), "--seconds", "0", "--save"];
    let output = segfuse(&[&arguments[..], &[&sound.to_string_lossy()]].concat());
    assert!(output.status.success() && sound.read_dir().is_ok_and(|mut files| files.next().is_none()));
}
