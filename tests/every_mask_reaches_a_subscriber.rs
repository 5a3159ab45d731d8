//! `segfuse subscribe` in one process receives every mask that `segfuse replay --realtime` publishes in another.

#![cfg(feature = "zenoh")]

mod support;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use support::{json, segfuse_ok};

/// A port that nobody listens on just now.
fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("tcp/{}", listener.local_addr().expect("an address"))
}

fn subscribe(endpoint: &str, options: &[&str]) -> Child {
    let fixed = ["subscribe", "--connect", endpoint, "--json", "--quiet"];
    let program = env!("CARGO_BIN_EXE_segfuse");
    Command::new(program).args(fixed).args(options).stdout(Stdio::piped()).spawn().expect("the program starts")
}

fn last_line(child: Child) -> serde_json::Value {
    let output = child.wait_with_output().expect("the subscriber ends");
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    serde_json::from_str(text.lines().last().expect("a summary")).expect("JSON")
}

#[test]
fn a_subscriber_that_was_there_first_gets_every_mask_of_a_real_time_replay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (trip, masks, run, summary) = (path("drive.mcap"), path("masks"), path("run.mcap"), path("run.json"));
    segfuse_ok(&["render", "--size", "160x96", "--fps", "20", "--seconds", "2", "--out", &trip]);
    let endpoint = endpoint();
    let subscriber = subscribe(&endpoint, &["--seconds", "60", "--count", "40", "--save", &masks]);
    segfuse_ok(&[
        "replay",
        &trip,
        "--realtime",
        "--listen",
        &endpoint,
        "--await-subscriber",
        "20",
        "--out",
        &run,
        "--summary",
        &summary,
    ]);
    let received = last_line(subscriber);
    for (key, expected) in [("received", 40), ("gaps", 0), ("missed", 0), ("damaged", 0), ("restarts", 0)] {
        assert_eq!(received[key], expected, "{key}: {received}");
    }
    let worst_age_ms = received["worst_age_ms"].as_f64().expect("a paced replay has an age");
    assert!((0.0..5_000.0).contains(&worst_age_ms), "{worst_age_ms}");
    assert_eq!(json(summary.as_ref())["published"], 40);
    same_masks(&run, &masks, &path("exported"));
}

#[test]
fn all_subscribers_that_were_there_first_get_every_mask_of_a_real_time_replay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trip = folder.path().join("drive.mcap").to_string_lossy().into_owned();
    segfuse_ok(&["render", "--size", "160x96", "--fps", "20", "--seconds", "1", "--out", &trip]);
    let endpoint = endpoint();
    let subscribers = [0, 170, 420].map(|wait_ms| {
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        subscribe(&endpoint, &["--count", "20", "--seconds", "30"])
    });
    segfuse_ok(&["replay", &trip, "--realtime", "--listen", &endpoint, "--await-subscriber", "20"]);
    for subscriber in subscribers {
        let received = last_line(subscriber);
        for (key, expected) in [("received", 20), ("missed", 0), ("joined_at", 0), ("before_joining", 0)] {
            assert_eq!(received[key], expected, "{key}: {received}");
        }
    }
}

#[test]
fn a_subscriber_that_comes_while_a_replay_waits_for_one_gets_every_mask() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trip = folder.path().join("drive.mcap").to_string_lossy().into_owned();
    segfuse_ok(&["render", "--size", "160x96", "--fps", "20", "--seconds", "1", "--out", &trip]);
    let endpoint = endpoint();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            segfuse_ok(&["replay", &trip, "--realtime", "--listen", &endpoint, "--await-subscriber", "20"]);
        });
        std::thread::sleep(std::time::Duration::from_secs(2)); // by now a replay that does not wait is over
        last_line(subscribe(&endpoint, &["--count", "20", "--seconds", "15"]))
    });
    for (key, expected) in [("received", 20), ("missed", 0), ("joined_at", 0), ("before_joining", 0)] {
        assert_eq!(received[key], expected, "{key}: {received}");
    }
}

/// The masks saved by the subscriber are those that the run recorded.
fn same_masks(run: &str, saved: &str, exported: &str) {
    segfuse_ok(&["trip", "export", run, "--masks", exported]);
    let labels = |folder: &str| -> Vec<Vec<u8>> {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<_> = entries.collect();
        files.sort();
        let planes = files.iter().map(|file| segfuse::trip::read_label_png(file).expect("a label PNG"));
        planes.map(|plane| plane.bytes().to_vec()).collect()
    };
    let (saved, exported) = (labels(saved), labels(exported));
    assert_eq!(saved.len(), 40);
    assert!(saved == exported, "the masks received differ from the masks recorded");
}
