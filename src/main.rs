//! The `segfuse` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    segfuse::app::main()
}
