//! All of it once more on a stand-in for the driver.

use crate::host_driver::driver_on_host;
use std::process::Command;

#[test]
fn a_stand_in_for_the_driver_passes_every_test() {
    passes(&["on_the_gpu", "whole_trips"], &[]);
}

#[test]
fn flow_is_the_same_on_a_device_that_has_room_for_one_block_at_a_time() {
    passes(&["flow_equals", "flow_that_is_captured"], &[("STANDIN_ROOM", "1")]);
}

/// Runs the tests of these names again, on the stand-in and with these variables.
fn passes(tests: &[&str], variables: &[(&str, &str)]) {
    let Some(folder) = driver_on_host("a_stand_in_for_the_driver") else { return };
    let mut again = Command::new(std::env::current_exe().expect("this test has a file"));
    again.args(tests).args(["--nocapture", "--test-threads", "2"]).envs(variables.iter().copied());
    let output = again.env("LD_LIBRARY_PATH", folder).env("SEGFUSE_GPU_REQUIRED", "1").output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    print!("{told}");
}
