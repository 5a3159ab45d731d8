//! The files that put the program on a computer as a service are right by the very tools that read them there.

#[path = "support/units.rs"]
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use units::{Tool, verify};

/// The highest exposure that `systemd-analyze security` may find, in tenths: cameras, buses and Zenoh cost the rest.
const MAX_EXPOSURE: &str = "20";

fn systemd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn systemd_finds_nothing_wrong_with_the_service() {
    let Some(tool) = Tool::find("systemd-analyze", "systemd finds nothing wrong with the service") else { return };
    verify(&tool, &systemd().join("segfuse.service"));
}

#[test]
fn what_is_wrong_with_a_service_is_found() {
    let Some(tool) = Tool::find("systemd-analyze", "what is wrong with a service is found") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let service = std::fs::read_to_string(systemd().join("segfuse.service")).expect("readable");
    for (right, wrong) in [("WatchdogSec=10", "WatchdogSeconds=10"), ("Type=notify", "Type=notifies")] {
        let path = folder.path().join("segfuse.service");
        assert!(service.contains(right), "{right}");
        std::fs::write(&path, service.replace(right, wrong)).expect("room");
        let found = std::panic::catch_unwind(|| verify(&tool, &path)).is_err();
        assert!(found, "{wrong}");
    }
}

#[test]
fn the_service_exposes_little() {
    let Some(tool) = Tool::find("systemd-analyze", "the service exposes little") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let unit = units::copy_for(&tool, &systemd().join("segfuse.service"), folder.path());
    let arguments = ["security", "--offline=true", "--no-pager", "--threshold", MAX_EXPOSURE];
    let output = Command::new(&tool.program).args(arguments).arg(&unit).output().expect("it runs");
    let told = told(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("Overall exposure level"), "{told}");
}

#[test]
fn the_user_and_the_folder_are_made() {
    let test = "the user and the folder are made";
    let (Some(users), Some(folders)) = (Tool::find("systemd-sysusers", test), Tool::find("systemd-tmpfiles", test))
    else {
        return;
    };
    let root = tempfile::tempdir().expect("a folder");
    let at_root = |tool: &Tool, arguments: &[&str], file: &str| {
        let output = Command::new(&tool.program)
            .arg(format!("--root={}", root.path().display()))
            .args(arguments)
            .arg(systemd().join(file))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{file}: {}", told(&output));
    };
    std::fs::create_dir(root.path().join("etc")).expect("room");
    at_root(&users, &[], "sysusers.d/segfuse.conf");
    let entry = |file: &str, start: &str| {
        let made = std::fs::read_to_string(root.path().join("etc").join(file)).expect("it was made");
        made.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in {made}")).to_owned()
    };
    assert!(entry("passwd", "segfuse:").ends_with(":/var/lib/segfuse:/usr/sbin/nologin"));
    assert!(entry("group", "video:").ends_with(":segfuse"));
    if !is_root() {
        return eprintln!("SKIPPED: {test}: only root may give the folder to its user");
    }
    at_root(&folders, &["--create"], "tmpfiles.d/segfuse.conf");
    assert!(root.path().join("var/lib/segfuse").is_dir());
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[test]
fn the_rules_of_the_devices_are_well_formed() {
    let rules = systemd().join("70-segfuse.rules");
    let text = std::fs::read_to_string(&rules).expect("readable");
    let mut faults = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        faults.extend(line.split(", ").filter(|term| !is_term(term)).map(|term| format!("{term} in: {line}")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(!is_term("GROUP=video") && !is_term("=\"video\"") && !is_term("GROUP\"video\""), "the check finds faults");
    let Some(tool) = Tool::find("udevadm", "udevadm finds nothing wrong with the rules") else { return };
    if tool.version < 254 {
        return eprintln!("SKIPPED: udevadm finds nothing wrong with the rules: udevadm {} cannot", tool.version);
    }
    let output = Command::new(&tool.program).arg("verify").arg(&rules).output().expect("it runs");
    assert!(output.status.success(), "{}", told(&output));
}

/// `KEY==`, `!=`, `=` or `+=` and a text in quotes.
fn is_term(term: &str) -> bool {
    let Some((key, value)) = term.split_once('"') else { return false };
    let operator = key.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || "_{}".contains(letter));
    let named = key.starts_with(|letter: char| letter.is_ascii_uppercase());
    named && ["==", "!=", "=", "+="].contains(&operator) && value.ends_with('"') && value.matches('"').count() == 1
}
