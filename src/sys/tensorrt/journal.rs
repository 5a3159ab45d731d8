//! What TensorRT logs: passed on to `tracing`, but warnings and errors are kept for the call that fails, which tells them.
//! What no failure told is a warning.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// A failing call logs a handful of errors; the first names the cause, so of more the later ones are not kept. Warnings,
/// of which a build may log any number, make room for them.
const MOST_LINES: usize = 16;

/// `ILogger::Severity`.
const INTERNAL_ERROR: i32 = 0;
const ERROR: i32 = 1;
const WARNING: i32 = 2;
const INFO: i32 = 3;

/// The warnings and errors that nobody has told yet.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<VecDeque<(bool, String)>>);

impl Journal {
    /// The pointer that [`log`] takes.
    pub(super) fn user(&'static self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// Warns of what is left of calls that succeeded, or that nobody waits for.
    pub(super) fn tell(&self) {
        let lines: Vec<(bool, String)> = self.lines().drain(..).collect();
        for (_, line) in lines {
            tracing::warn!(target: "tensorrt", "{line}");
        }
    }

    /// What was logged of the call that failed just now: its errors, or its warnings where there are none.
    pub(super) fn take(&self) -> String {
        let lines: Vec<(bool, String)> = self.lines().drain(..).collect();
        let any_error = lines.iter().any(|(is_error, _)| *is_error);
        let told = lines.into_iter().filter(|(is_error, _)| *is_error || !any_error).map(|(_, line)| line);
        let told: Vec<String> = told.collect();
        if told.is_empty() { "TensorRT gives no reason".into() } else { told.join("; ") }
    }

    fn add(&self, severity: i32, line: &str) {
        match severity {
            INTERNAL_ERROR..=INFO => tracing::debug!(target: "tensorrt", "{line}"),
            _ => return tracing::trace!(target: "tensorrt", "{line}"),
        }
        let (is_error, mut lines) = (severity <= ERROR, self.lines());
        if is_error && lines.len() == MOST_LINES {
            let warning = lines.iter().rposition(|(is_error, _)| !is_error);
            drop(warning.and_then(|warning| lines.remove(warning)));
        }
        if severity <= WARNING && lines.len() < MOST_LINES {
            lines.push_back((is_error, line.trim().to_owned()));
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, VecDeque<(bool, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What TensorRT calls, from any of its threads. No panic goes back into it.
///
/// # Safety
/// `user` is [`Journal::user`] and `line` a text that ends with a zero byte.
pub(super) unsafe extern "C" fn log(user: *mut c_void, severity: i32, line: *const c_char) {
    // SAFETY: the caller says so; a journal lives for ever.
    let journal = unsafe { &*user.cast::<Journal>() };
    // SAFETY: the caller says so.
    let line = unsafe { CStr::from_ptr(line) };
    // A subscriber that panics loses this line and nothing else.
    drop(catch_unwind(AssertUnwindSafe(|| journal.add(severity, &line.to_string_lossy()))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_kept_after_any_number_of_warnings_and_before_any_number_of_errors() {
        let journal = Journal::default();
        (0..100).for_each(|number| journal.add(WARNING, &format!("tactic {number} does not fit")));
        journal.add(ERROR, "the cause");
        (0..100).for_each(|number| journal.add(ERROR, &format!("what follows of it: {number}")));
        let told = journal.take();
        assert!(told.starts_with("the cause; what follows of it: 0; ") && !told.contains("tactic"), "{told}");
        assert_eq!(told.split("; ").count(), MOST_LINES);
        assert_eq!(journal.take(), "TensorRT gives no reason");
    }

    #[test]
    fn warnings_are_told_where_there_is_no_error() {
        let journal = Journal::default();
        (0..100).for_each(|number| journal.add(WARNING, &format!("warning {number}")));
        journal.add(INFO, "as usual");
        let told = journal.take();
        assert!(told.starts_with("warning 0; warning 1; ") && told.ends_with("warning 15"), "{told}");
    }
}
