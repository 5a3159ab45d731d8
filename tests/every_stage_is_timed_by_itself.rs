//! The summary's stages are one piece of work each: what only carried frames need is not mixed with what all frames need.

mod support;

use std::collections::BTreeSet;
use support::{json, segfuse_ok};

#[test]
fn pyramid_flow_composition_and_blending_are_stages_of_their_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (trip, summary) = (path("drive.mcap"), path("run.json"));
    segfuse_ok(&["render", "--size", "64x48", "--fps", "10", "--seconds", "0.5", "--out", &trip]);
    let stages = |schedule: &str, until: &str| -> BTreeSet<String> {
        let options = ["--engine", "rten", "--network", "tiny", "--schedule", schedule, "--summary", &summary];
        segfuse_ok(&[&["replay", &trip, "--until", until], &options[..]].concat());
        json(summary.as_ref())["stages_ms"].as_object().expect("stages").keys().cloned().collect()
    };
    let added = |more: &BTreeSet<String>, than: &BTreeSet<String>| more.difference(than).cloned().collect::<Vec<_>>();
    let each_frame = stages("every:1", "0.3");
    assert!(each_frame.contains("pyramid"), "of every frame, for the one behind it: {each_frame:?}");
    let one_step = stages("every:3", "0.15");
    let carrying = added(&one_step, &each_frame);
    assert!(carrying.contains(&"flow".to_owned()) && carrying.contains(&"propagate".to_owned()), "{carrying:?}");
    let two_steps = stages("every:3", "0.25");
    assert_eq!(added(&two_steps, &one_step), ["compose"]);
    assert_eq!(added(&stages("every:3", "0.35"), &two_steps), ["blend"]);
}
