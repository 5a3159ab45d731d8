//! `examples/subscribe.py` reads what the real publisher sends.
#![cfg(feature = "zenoh")]

mod publishing;

use publishing::*;
use segfuse::sink::zenoh::Config;
use segfuse::wire::session;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MASKS: usize = 20;

/// `$SEGFUSE_PYTHON`, else the crate's own virtual environment, else the system's.
fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let fallback = if own.exists() { own } else { "python3".into() };
    std::env::var_os("SEGFUSE_PYTHON").map_or(fallback, PathBuf::from)
}

fn has_packages(python: &Path) -> bool {
    let import = Command::new(python).args(["-c", "import zenoh, numpy"]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success())
}

#[test]
fn the_python_example_prints_rate_age_gaps_and_classes() {
    let python = python();
    if !has_packages(&python) {
        println!(
            "SKIPPED: the_python_example_prints_rate_age_gaps_and_classes: {python:?} has no eclipse-zenoh, numpy"
        );
        return;
    }
    for shared in [true, false] {
        let lines = lines_of(&python, shared);
        assert_eq!(lines.len(), MASKS, "{lines:#?}");
        assert!(lines[0].contains("gap new"), "{}", lines[0]);
        for line in &lines {
            assert!(!line.contains("unlabeled"), "shared {shared}: {line}");
            assert!(line.contains("(720, 1280)") && line.matches(" 5%").count() == 3, "shared {shared}: {line}");
        }
        // A busy machine may lose some: what matters is that the gap told is the gap there was.
        let number = |line: &str| line.split(' ').next().and_then(|id| id.parse().ok());
        for two in lines.windows(2) {
            let [before, after]: [f64; 2] = [&two[0], &two[1]].map(|line| number(line).expect("a frame's number"));
            let told = number_after(&two[1], " gap ");
            assert!((told - (after - before - 1.0)).abs() < 0.5, "shared {shared}: {lines:#?}");
        }
        // One in 30 ms at best, and the machine that tests run on may be busy.
        let (rate_hz, age_ms) = (number_after(&lines[MASKS - 1], " rate "), number_after(&lines[MASKS - 1], " age "));
        assert!((1.0..40.0).contains(&rate_hz), "shared {shared}: {rate_hz}");
        assert!((0.01..2000.0).contains(&age_ms), "shared {shared}: {age_ms}");
    }
}

#[test]
fn the_python_example_without_a_publisher_and_interrupted_ends_with_a_sentence() {
    let python = python();
    if !has_packages(&python) {
        println!("SKIPPED: the_python_example_without_a_publisher: {python:?} has no eclipse-zenoh, numpy");
        return;
    }
    let nobody = example(&python, "tcp/127.0.0.1:9", 1).output().expect("python starts");
    let told = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!(nobody.status.code(), Some(1), "{told}");
    assert!(told.contains("no publisher of segfuse/vehicle/front") && !told.contains("Traceback"), "{told}");

    for (endpoint, status) in [("foo", 2), ("127.0.0.1:7447", 2), ("carrier-pigeon/1", 1), ("tcp/127.0.0.1:99999", 1)] {
        let malformed = example(&python, endpoint, 1).output().expect("python starts");
        let told = String::from_utf8_lossy(&malformed.stderr);
        assert_eq!(malformed.status.code(), Some(status), "{endpoint}: {told}");
        assert!(told.contains(endpoint) && !told.contains("Traceback"), "{endpoint}: {told}");
    }

    let sink = publisher(&config(true));
    let mut waiting = example(&python, &sink.endpoints()[0], 0);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python starts");
    wait_for("the example's subscription", || sink.has_subscriber());
    std::thread::sleep(Duration::from_millis(300));
    let stopped = Command::new("kill").args(["-INT", &waiting.id().to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    let output = waiting.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), told.trim()), (Some(130), "interrupted"));
}

#[test]
fn the_python_example_accounts_for_each_publisher_by_itself() {
    let python = python();
    if !has_packages(&python) {
        println!("SKIPPED: the_python_example_accounts_for_each_publisher: {python:?} has no eclipse-zenoh, numpy");
        return;
    }
    let first = publisher(&config(true));
    let connect = Some(first.endpoints());
    let session = session::Config { connect, ..listening("tcp/127.0.0.1:0") };
    let mut sinks = [first, publisher(&Config { session, ..config(true) })];
    let endpoint = sinks[0].endpoints()[0].clone();
    (0..1000).for_each(|number| publish(&mut sinks[1], &perception(number % 8)));
    let mut number = 0;
    let lines = lines_while(example(&python, &endpoint, MASKS), || {
        for sink in &mut sinks {
            publish(sink, &perception(number));
        }
        number += 1;
    });
    assert_eq!(lines.iter().filter(|line| line.contains("gap new")).count(), 2, "{lines:#?}");
    // The example may lose some on a busy machine, but the sessions' numbers lie further apart.
    let gaps = lines.iter().filter_map(|line| line.split_once(" gap ")?.1.split_once(':')?.0.parse::<i64>().ok());
    assert!(gaps.clone().count() == MASKS - 2 && gaps.clone().all(|gap| (0..500).contains(&gap)), "{lines:#?}");
}

fn example(python: &Path, endpoint: &str, masks: usize) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/subscribe.py");
    let mut example = Command::new(python);
    example.arg(script).args(["vehicle", "front", endpoint, &masks.to_string()]);
    example
}

fn number_after(line: &str, word: &str) -> f64 {
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("no '{word}' in {line}"));
    let number = rest.split(['/', ' ', ':']).next().expect("split gives one at least");
    number.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// What the example prints of masks whose every class has a nineteenth of the picture.
fn lines_of(python: &Path, shared: bool) -> Vec<String> {
    let mut sink = publisher(&config(shared));
    let endpoint = sink.endpoints()[0].clone();
    let mut number = 0;
    lines_while(example(python, &endpoint, MASKS), || {
        publish(&mut sink, &perception(number));
        number += 1;
    })
}

/// What `example` prints while `publish_next` is called every 30 ms.
fn lines_while(mut example: Command, mut publish_next: impl FnMut() + Send) -> Vec<String> {
    let done = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            // 30 s at most: an example that hangs must not hang the test.
            (0..1000).take_while(|_| !done.load(Ordering::Relaxed)).for_each(|_| {
                publish_next();
                std::thread::sleep(Duration::from_millis(30));
            });
            drop(publish_next);
        });
        let output = example.stderr(Stdio::inherit()).output();
        done.store(true, Ordering::Relaxed);
        output
    });
    let output = output.expect("python starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn the_python_example_stays_short() {
    let script = include_str!("../examples/subscribe.py");
    assert!(script.lines().count() <= 40, "{} lines", script.lines().count());
}
