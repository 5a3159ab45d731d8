//! All of it once more on a stand-in for the driver.

use crate::host_driver::driver_on_host;
use std::process::Command;

#[test]
fn a_stand_in_for_the_driver_passes_every_test() {
    let Some(folder) = driver_on_host("a_stand_in_for_the_driver") else { return };
    let mut again = Command::new(std::env::current_exe().expect("this test has a file"));
    again.args(["on_the_gpu", "whole_trips", "--nocapture", "--test-threads", "2"]);
    let output = again.env("LD_LIBRARY_PATH", folder).env("SEGFUSE_GPU_REQUIRED", "1").output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    print!("{told}");
}
