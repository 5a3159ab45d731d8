//! `examples/subscribe.py` reads what the real publisher sends.
#![cfg(feature = "zenoh")]

mod publishing;

use publishing::*;
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
        assert!(lines[1..].iter().all(|line| line.contains("gap 0")), "shared {shared}: {lines:#?}");
    }
}

/// What the example prints of masks whose every class has a nineteenth of the picture.
fn lines_of(python: &Path, shared: bool) -> Vec<String> {
    let mut sink = publisher(&config(shared));
    let endpoint = sink.endpoints()[0].clone();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/subscribe.py");
    let mut example = Command::new(python);
    example.arg(script).args(["vehicle", "front", &endpoint, &MASKS.to_string()]);
    let done = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            // 30 s at most: an example that hangs must not hang the test.
            (0..1000).take_while(|_| !done.load(Ordering::Relaxed)).for_each(|number| {
                publish(&mut sink, &perception(number));
                std::thread::sleep(Duration::from_millis(30));
            });
            drop(sink);
        });
        let output = example.stderr(Stdio::inherit()).output();
        done.store(true, Ordering::Relaxed);
        output
    });
    let output = output.expect("python starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}
