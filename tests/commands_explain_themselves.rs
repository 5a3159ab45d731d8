//! Every command has a help text with an example, `version` and completions work, and exit statuses are as documented.

mod support;

use support::{segfuse, segfuse_ok};

#[test]
fn every_command_shows_an_example() {
    let commands: [&[&str]; 13] = [
        &["demo"],
        &["replay"],
        &["evaluate"],
        &["subscribe"],
        &["render"],
        &["network", "import"],
        &["network", "check"],
        &["engine", "build"],
        &["engine", "info"],
        &["trip", "import"],
        &["trip", "info"],
        &["trip", "export"],
        &["trip", "recover"],
    ];
    for command in commands {
        let help = segfuse_ok(&[command, &["--help"]].concat());
        let typed = format!("segfuse {}", command.join(" "));
        assert!(help.contains("Example") && help.contains(&typed), "{command:?}:\n{help}");
    }
}

#[test]
fn the_version_names_the_embedded_networks() {
    let version = segfuse_ok(&["version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let networks: Vec<&str> = version.lines().filter_map(|line| line.strip_prefix("network    ")).collect();
    let starts: Vec<&str> = networks.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(starts, ["small", "tiny"], "{version}");
}

#[test]
fn the_version_names_what_this_program_was_built_with() {
    let version = segfuse_ok(&["version"]);
    let told = version.lines().find_map(|line| line.strip_prefix("features   ")).expect("it says so");
    let all = [
        ("camera", cfg!(feature = "camera")),
        ("can", cfg!(feature = "can")),
        ("zenoh", cfg!(feature = "zenoh")),
        ("cuda", cfg!(feature = "cuda")),
        ("tensorrt", cfg!(feature = "tensorrt")),
    ];
    let expected: Vec<&str> = all.iter().filter_map(|(name, is_in)| is_in.then_some(*name)).collect();
    assert_eq!(told.split(", ").collect::<Vec<_>>(), expected);
}

/// Where the feature is there, tests/tensorrt_plans_are_kept.rs says what these commands do.
#[cfg(not(feature = "tensorrt"))]
#[test]
fn without_tensorrt_its_commands_say_how_to_get_it() {
    for command in [&["engine", "info"][..], &["engine", "build", "small"]] {
        let output = segfuse(command);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("cargo build --release --features tensorrt") && told.contains("docs/engines.md"),
            "{told}"
        );
    }
}

#[test]
fn completions_exist_for_the_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(segfuse_ok(&["completions", shell]).contains("replay"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in
        [&["fly"][..], &["replay"], &["replay", "a", "--realtime=maybe"], &["trip", "import", "--out", "x"]]
    {
        assert_eq!(segfuse(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_dash_puts_json_on_standard_output_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (trip, run) = (path("drive.mcap"), path("run.mcap"));
    segfuse_ok(&["render", "--seconds", "0.3", "--size", "160x96", "--out", &trip]);
    let summary = segfuse_ok(&["replay", &trip, "--out", &run, "--summary", "-"]);
    let figures = segfuse_ok(&["evaluate", &run, "--json", "-"]);
    for (json, key) in [(summary, "mask_hash"), (figures, "miou")] {
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON alone");
        assert!(!value[key].is_null(), "{json}");
    }
    assert!(!std::path::Path::new("-").exists());
}
