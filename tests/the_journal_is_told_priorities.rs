//! Lines begin with their priority where standard error is the journal, and nowhere else.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// What the program writes to standard error, a file, if it is told that `stream` is the journal.
fn written(folder: &Path, stream: impl Fn(&File) -> String, arguments: &[&str]) -> String {
    let path = folder.join("stderr");
    let file = File::create(&path).expect("room");
    let stream = stream(&file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    command.args(arguments).env("JOURNAL_STREAM", stream).stderr(file).status().expect("the program starts");
    std::fs::read_to_string(path).expect("text")
}

fn itself(file: &File) -> String {
    let about = file.metadata().expect("a file");
    format!("{}:{}", about.dev(), about.ino())
}

#[test]
fn warnings_and_failures_have_their_priority_in_the_journal_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let trip = folder.path().join("drive.mcap").to_string_lossy().into_owned();
    let rendered =
        written(folder.path(), itself, &["render", "--seconds", "2", "--size", "160x96", "--out", &trip, "--quiet"]);
    assert!(rendered.lines().all(|line| line.starts_with('<')), "{rendered}");
    let whole = std::fs::read(&trip).expect("rendered");
    std::fs::write(&trip, &whole[..whole.len() / 2]).expect("room");
    let replay = ["replay", &trip, "--network", "nowhere", "--quiet"];
    let in_journal = written(folder.path(), itself, &replay);
    let elsewhere = written(folder.path(), |_| "1:2".into(), &replay);
    assert!(in_journal.lines().any(|line| line.starts_with("<4>")), "{in_journal}");
    assert!(in_journal.lines().any(|line| line.starts_with("<3>error: ")), "{in_journal}");
    assert!(!elsewhere.contains("<4>") && !elsewhere.contains("<3>"), "{elsewhere}");
    let bare: Vec<_> = in_journal.lines().map(|line| &line[3..]).collect();
    assert_eq!(bare, elsewhere.lines().collect::<Vec<_>>(), "the journal is told the same");
}
