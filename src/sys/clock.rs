//! The kernel's own view of its clock.

use std::io;

/// Whether something (NTP, PTP) keeps Unix time in step.
pub fn is_synchronised() -> io::Result<bool> {
    // SAFETY: `timex` is a plain C struct of integers, for which all zeros is a value; `modes` 0 asks for reading only.
    let mut time: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `time` is a valid, exclusively borrowed `timex` for the length of the call, and the kernel writes only to it.
    let state = unsafe { libc::adjtimex(&raw mut time) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(state != libc::TIME_ERROR)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_answers_whether_its_clock_is_kept_in_step() {
        assert!(super::is_synchronised().is_ok());
    }
}
