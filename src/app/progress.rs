//! A progress bar with frames a second, on a terminal; a line every ten seconds in a log.

use crate::data::{AlignedFrame, Perception};
use crate::sink::{Sink, SinkError};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Shows how far a run is.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for `total` items (or a counter when that is not known) called `what`.
    pub(super) fn new(what: &'static str, total: Option<u64>, quiet: bool) -> Self {
        let bar = match total {
            _ if quiet => ProgressBar::hidden(),
            Some(total) => ProgressBar::new(total).with_style(style("{msg} {bar:30} {pos}/{len} {per_sec} eta {eta}")),
            None => ProgressBar::new_spinner().with_style(style("{msg} {spinner} {pos} {per_sec}")),
        };
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// One more item.
    pub(super) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are fixed and well-formed")
}

impl Sink for Progress {
    fn on_perception(&mut self, _frame: &AlignedFrame, _perception: &Perception) -> Result<(), SinkError> {
        self.advance();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.close();
        Ok(())
    }
}
