//! The Debian package holds what the service needs, where it looks for it, and keeps the vehicle's configuration.

#[path = "support/units.rs"]
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;
use units::{Tool, verify};

/// What must be inside: mode, path.
const CONTENTS: [(&str, &str); 11] = [
    ("-rwxr-xr-x", "./usr/bin/segfuse"),
    ("-rw-r--r--", "./etc/segfuse/vehicle.toml"),
    ("-rw-r--r--", "./usr/lib/systemd/system/segfuse.service"),
    ("-rw-r--r--", "./usr/lib/udev/rules.d/70-segfuse.rules"),
    ("-rw-r--r--", "./usr/lib/sysusers.d/segfuse.conf"),
    ("-rw-r--r--", "./usr/lib/tmpfiles.d/segfuse.conf"),
    ("-rw-r--r--", "./usr/share/segfuse/signals/example.toml"),
    ("-rw-r--r--", "./usr/share/segfuse/example.dbc"),
    ("-rw-r--r--", "./usr/share/doc/segfuse/install.md"),
    ("-rw-r--r--", "./usr/share/doc/segfuse/README.md"),
    ("-rw-r--r--", "./usr/share/bash-completion/completions/segfuse"),
];

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The package of the program under test, in `folder`; `None`, loudly, without what makes one.
fn package(folder: &Path) -> Option<PathBuf> {
    for program in ["cargo-deb", "dpkg-deb"] {
        let known = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        if !known {
            eprintln!("SKIPPED: the Debian package: {program} is not installed");
            return None;
        }
    }
    let built = Path::new(env!("CARGO_BIN_EXE_segfuse"));
    let target = built.ancestors().nth(2).expect("target/release/segfuse");
    if !built.ends_with("release/segfuse") {
        eprintln!("SKIPPED: the Debian package: {} is no release", built.display());
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package");
    run(Command::new(script).args(["--no-build", "--fast", "--output"]).arg(folder).env("CARGO_TARGET_DIR", target));
    let made = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    Some(made.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "deb")).expect("a package"))
}

#[test]
fn the_package_holds_the_service_and_all_that_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(package) = package(folder.path()) else { return };
    let listed = run(Command::new("dpkg-deb").arg("-c").arg(&package));
    let holds = |mode: &str, path: &str| {
        listed.lines().any(|line| line.starts_with(mode) && line.split_whitespace().last() == Some(path))
    };
    let missing: Vec<_> = CONTENTS.iter().filter(|(mode, path)| !holds(mode, path)).collect();
    assert!(missing.is_empty(), "{missing:?} not in:\n{listed}");

    let control = folder.path().join("control");
    run(Command::new("dpkg-deb").arg("-e").arg(&package).arg(&control));
    let read = |name: &str| std::fs::read_to_string(control.join(name)).unwrap_or_default();
    assert_eq!(read("conffiles").trim(), "/etc/segfuse/vehicle.toml", "an upgrade keeps the vehicle's configuration");
    for needed in ["systemd-sysusers", "systemd-tmpfiles --create", "udevadm trigger", "try-restart segfuse.service"] {
        assert!(read("postinst").contains(needed), "{needed} in {}", read("postinst"));
    }
    for script in ["postinst", "prerm", "postrm"] {
        let text = read(script);
        assert!(!text.contains("#DEBHELPER#"), "{script}: {text}");
        if !text.is_empty() {
            run(Command::new("sh").arg("-n").arg(control.join(script)));
        }
    }
    assert!(read("prerm").contains("segfuse.service"), "a removed service is stopped: {}", read("prerm"));

    let Some(tool) = Tool::find("systemd-analyze", "the service of the package") else { return };
    let root = folder.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root));
    verify(&tool, &root.join("usr/lib/systemd/system/segfuse.service"));
    let program = root.join("usr/bin/segfuse");
    assert!(run(Command::new(program).arg("version")).contains(env!("CARGO_PKG_VERSION")));
}
