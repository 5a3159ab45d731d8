//! The summary's stages are one piece of work each: what only carried frames need is not mixed with what all frames need.

mod support;

use std::collections::BTreeSet;
use support::{json, segfuse_ok};

#[test]
fn pyramid_flow_and_composition_are_stages_of_their_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (trip, summary) = (path("drive.mcap"), path("run.json"));
    segfuse_ok(&["render", "--size", "64x48", "--fps", "10", "--seconds", "0.5", "--out", &trip]);
    let stages = |schedule: &str| -> BTreeSet<String> {
        let options = ["--engine", "rten", "--network", "tiny", "--schedule", schedule, "--summary", &summary];
        segfuse_ok(&[&["replay", &trip], &options[..]].concat());
        json(summary.as_ref())["stages_ms"].as_object().expect("stages").keys().cloned().collect()
    };
    let [each_frame, one_step, two_steps] = ["every:1", "every:2", "every:3"].map(stages);
    let added = |more: &BTreeSet<String>, than: &BTreeSet<String>| more.difference(than).cloned().collect::<Vec<_>>();
    assert!(each_frame.contains("pyramid"), "of every frame, for the one behind it: {each_frame:?}");
    let carrying = added(&one_step, &each_frame);
    assert!(carrying.contains(&"flow".to_owned()) && carrying.contains(&"propagate".to_owned()), "{carrying:?}");
    assert_eq!(added(&two_steps, &one_step), ["compose"]);
}
