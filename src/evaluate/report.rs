//! One HTML page that needs nothing but itself: style, plots (SVG) and pictures (data URIs) are inside.
//!
//! It has no script, and its content policy forbids any request. Every string from outside is escaped
//! by the template (crate `maud`) or by the SVG writer. About 120 kB a shown frame, 100 kB for the rest.
//!
//! ```no_run
//! # fn f(evaluation: &segfuse::evaluate::Evaluation) -> Result<(), segfuse::evaluate::EvaluateError> {
//! use segfuse::evaluate::report::{self, ReportContext};
//! let context = ReportContext { title: "Test drive".into(), ..ReportContext::default() };
//! report::write("eval.html".as_ref(), evaluation, &context)
//! # }
//! ```

mod page;
mod plots;
mod sections;

use super::{EvaluateError, Evaluation, Sweep};
use crate::data::Stamp;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What the page says besides the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportContext {
    /// The page's title.
    pub title: String,
    /// One line below it: what was evaluated.
    pub subtitle: String,
    /// Names and values worth telling, with their units: latency, frames/s, engine, schedule, mask hash.
    pub facts: Vec<(String, String)>,
    /// From where the page counts seconds; `None`: from the first frame.
    pub zero: Option<Stamp>,
}

impl ReportContext {
    /// The seconds of the page at its zero.
    fn zero_s(&self, evaluation: &Evaluation) -> f64 {
        let first = || evaluation.timeline.first().and_then(|point| point.stamp_s);
        self.zero.map(Stamp::secs_f64).or_else(first).unwrap_or(0.0)
    }
}

/// Writes the page to `path`. A plain file is replaced in one step or not at all; through anything else,
/// such as a link or a pipe, it is written.
pub fn write(path: &Path, evaluation: &Evaluation, context: &ReportContext) -> Result<(), EvaluateError> {
    write_page(path, render(evaluation, context)?)
}

/// Writes the page of several schedules to `path`, in the same way.
pub fn write_sweep(path: &Path, sweep: &Sweep) -> Result<(), EvaluateError> {
    let plots = plots::sweep(sweep)?;
    write_page(path, page::sweep(sweep, &plots).into_string())
}

fn write_page(path: &Path, html: String) -> Result<(), EvaluateError> {
    let fail = |source| EvaluateError::File { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return fs::write(path, html).map_err(fail);
    }
    let part = part_path(path);
    let written = fs::write(&part, html).and_then(|()| fs::rename(&part, path));
    written.inspect_err(|_| drop(fs::remove_file(&part))).map_err(fail)
}

/// The page as text.
pub fn render(evaluation: &Evaluation, context: &ReportContext) -> Result<String, EvaluateError> {
    let plots = plots::Plots::draw(evaluation, context.zero_s(evaluation))?;
    Ok(page::page(evaluation, context, &plots).into_string())
}

/// Beside `path`, so that the rename stays within one file system.
fn part_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}
