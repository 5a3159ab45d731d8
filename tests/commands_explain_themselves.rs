//! Every command has a help text with an example, `version` and completions work, and exit statuses are as documented.

mod support;

use support::{segfuse, segfuse_ok};

#[test]
fn every_command_shows_an_example() {
    let commands: [&[&str]; 11] = [
        &["demo"],
        &["replay"],
        &["evaluate"],
        &["subscribe"],
        &["render"],
        &["network", "import"],
        &["network", "check"],
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
fn the_version_names_the_embedded_network() {
    let version = segfuse_ok(&["version"]);
    let manifest: toml::Table = toml::from_str(include_str!("../models/tiny/model.toml")).expect("well-formed");
    let name = manifest["name"].as_str().expect("a name");
    assert!(version.contains(env!("CARGO_PKG_VERSION")) && version.contains(name), "{version}");
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
