//! `segfuse evaluate`: masks against true labels, from a run's trip or from two folders.

use super::Misuse;
use super::arguments::table_name;
use super::output::{check_outputs, is_standard_output, keep_apart, print, write_json};
use super::progress::Progress;
use super::session::Session;
use super::sweep::{self, Outputs, SweepArguments};
use crate::data::{ClassTable, Perception, Stamp};
use crate::evaluate::folders::Folders;
use crate::evaluate::report::{self, ReportContext};
use crate::evaluate::{Config, EvaluateError, Evaluation, EvaluationItem, Evaluator, evaluate};
use crate::files;
use crate::trip::{FrameNames, Lookup, Perceptions, Range, TripMetadata};
use anyhow::{Context, bail};
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  segfuse evaluate run.mcap --classes camvid --json eval.json --html eval.html
  segfuse evaluate --predictions masks --truth labels --classes cityscapes --html eval.html
  segfuse evaluate drive.mcap --sweep every:1,2,5,10 --html sweep.html     what fewer key frames cost and save

Score: mean over classes of IoU = TP / (TP + FP + FN), over the whole set, in percent.";

/// Options of `segfuse evaluate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A trip that holds masks, as `segfuse replay --out` writes it; with --sweep a trip that holds labels.
    #[arg(required_unless_present = "predictions")]
    pub run: Option<PathBuf>,
    /// Folder of predicted masks, 8-bit PNG of class ids.
    #[arg(long, value_name = "FOLDER", requires = "truth", conflicts_with = "run")]
    pub predictions: Option<PathBuf>,
    /// Folder of true labels, 8-bit PNG, files named as the predictions.
    #[arg(long, value_name = "FOLDER", requires = "predictions")]
    pub truth: Option<PathBuf>,
    /// Folder of pictures for the report, files named as the predictions.
    #[arg(long, value_name = "FOLDER", requires = "predictions")]
    pub images: Option<PathBuf>,
    /// Classes to score in: a built-in table or a .toml file [default: the labels' own].
    #[arg(long, value_name = "TABLE", value_parser = table_name)]
    pub classes: Option<String>,
    /// Folders only: what the predictions' ids mean [default: cityscapes].
    #[arg(long, value_name = "TABLE", requires = "predictions", value_parser = table_name)]
    pub prediction_classes: Option<String>,
    /// Write every figure as JSON; `-` is standard output, in place of the table.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write one self-contained page with plots and the worst frames.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Worst frames that the page shows, 0 to 64.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = shown_frames)]
    pub shown_frames: usize,
    /// Several schedules beside one another.
    #[command(flatten)]
    pub sweep: SweepArguments,
}

fn shown_frames(text: &str) -> Result<usize, String> {
    let frames = text.parse().map_err(|_| format!("'{text}' is not a number of frames"))?;
    let config = Config { shown_frames: frames, ..Config::default() };
    config.check().map(|()| frames).map_err(|error| error.to_string())
}

/// Evaluates; prints the table.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let config = Config { shown_frames: arguments.shown_frames, ..Config::default() };
    let inputs = [&arguments.run, &arguments.predictions, &arguments.truth, &arguments.images];
    let inputs: Vec<&Path> = inputs.into_iter().filter_map(Option::as_deref).collect();
    let (json, html) = (arguments.json.as_deref(), arguments.html.as_deref());
    keep_apart(&inputs, &[json, html])?;
    check_outputs(&[("--json", json), ("--html", html)])?;
    if let Some(option) = arguments.sweep.given_without_sweep() {
        return Err(Misuse(format!("{option} is for --sweep: recorded masks need no network")).into());
    }
    if let (false, Some(trip)) = (arguments.sweep.sweep.is_empty(), &arguments.run) {
        let what = (trip.as_path(), arguments.classes.as_deref());
        return sweep::run(&arguments.sweep, what, &Outputs { json, html }, session);
    }
    let evaluated = match &arguments.run {
        Some(trip) => of_trip(trip, arguments.classes.as_deref(), &config, session),
        None => of_folders(arguments, &config, session),
    };
    // What was stopped before its first mask has nothing to evaluate, which is no fault of the trip.
    if session.interrupt.asked() {
        return print(&"interrupted: no figures, for they would be of a part");
    }
    let (evaluation, context) = evaluated?;
    // First of all the table: an evaluation may take long, and a disk may be full by now.
    if !json.is_some_and(is_standard_output) {
        print(&evaluation)?;
    }
    if let Some(path) = &arguments.json {
        write_json(path, &evaluation)?;
    }
    if let Some(path) = &arguments.html {
        report::write(path, &evaluation, &context)?;
    }
    if evaluation.frames > 0 && evaluation.miou.is_none() {
        let table = &evaluation.class_table;
        bail!(
            "nothing was evaluated: no pixel of the labels has a class of '{table}'; is --classes the labels' own table?"
        );
    }
    Ok(())
}

/// A built-in class table, or one from a file.
pub(super) fn class_table(name: &str) -> anyhow::Result<ClassTable> {
    if Path::new(name).extension().is_none_or(|extension| extension != "toml") {
        return ClassTable::builtin(name).map_err(|error| Misuse(error.to_string()).into());
    }
    let text = files::read_text(name.as_ref()).with_context(|| format!("{name}: cannot read the class table"))?;
    ClassTable::from_toml(&text).with_context(|| name.to_owned())
}

/// Evaluates the masks of a trip in `classes`, or in the table of its labels.
pub(super) fn of_trip(
    path: &Path,
    classes: Option<&str>,
    config: &Config,
    session: &Session,
) -> anyhow::Result<(Evaluation, ReportContext)> {
    let perceptions = Perceptions::open(path, Range::default())?;
    let metadata = perceptions.metadata().clone();
    let predicted = mask_table(path, &metadata)?;
    let (zero, ended, made_from) = (perceptions.zero(), perceptions.ending(), perceptions.source_condition());
    let mut lookup = Lookup::open(path)?;
    let truth = truth_table(&mut lookup, &metadata)?;
    let scored = match (classes, &truth) {
        (Some(name), _) => class_table(name)?,
        (None, Some(truth)) => truth.clone(),
        (None, None) => predicted.clone(),
    };
    let mut evaluator = Evaluator::new(scored, &predicted, config)?;
    if let Some(truth) = &truth {
        evaluator = evaluator.with_truth_table(truth)?;
    }
    let total = lookup.frame_count();
    let progress = Progress::new("evaluate", Some(total), session.quiet);
    let mut items = TripItems::new(perceptions, lookup);
    let items = std::iter::from_fn(|| if session.interrupt.asked() { None } else { items.next() });
    let mut evaluation = evaluate(items.inspect(|_| progress.advance()), evaluator)
        .with_context(|| format!("{}: cannot be evaluated", path.display()))?;
    progress.close();
    evaluation.engine = metadata.network.as_ref().map(|network| network.runtime.clone());
    evaluation.network = metadata.network.as_ref().map(|network| network.name.clone());
    let mut context = context(path, &metadata);
    context.zero = Some(zero);
    if let Some(source) = made_from.filter(|source| !source.is_whole()) {
        tracing::warn!("{}: the run was made from a trip that is not whole: {source}", path.display());
        context.facts.push(("made from".to_owned(), format!("a trip that is not whole: {source}")));
    }
    if let Some(ended) = ended.filter(|ended| !ended.is_whole()) {
        tracing::warn!("{}: the run was not complete: {ended}", path.display());
        context.facts.push(("run".to_owned(), ended.to_string()));
    }
    Ok((evaluation, context))
}

fn mask_table(path: &Path, metadata: &TripMetadata) -> anyhow::Result<ClassTable> {
    let table = metadata.mask_classes.as_ref().and_then(|name| metadata.class_table(name));
    let Some(table) = table else {
        let path = path.display();
        bail!("{path}: this trip holds no masks; run `segfuse replay {path} --out run.mcap` and evaluate that");
    };
    Ok(table.clone())
}

/// The table of the first labels; `None` if there are no labels.
pub(super) fn truth_table(lookup: &mut Lookup, metadata: &TripMetadata) -> anyhow::Result<Option<ClassTable>> {
    let Some(first) = lookup.truth_stamps().next() else { return Ok(None) };
    let Some(truth) = lookup.truth(first)? else { return Ok(None) };
    match metadata.class_table(&truth.classes) {
        Some(table) => Ok(Some(table.clone())),
        None => Ok(Some(ClassTable::builtin(&truth.classes)?)),
    }
}

fn context(path: &Path, metadata: &TripMetadata) -> ReportContext {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut facts = Vec::new();
    if let Some(network) = &metadata.network {
        facts.push(("network hash".to_owned(), network.hash.clone()));
    }
    ReportContext { title: format!("Evaluation of {name}"), subtitle: metadata.source.clone(), facts, zero: None }
}

/// The recorded masks, each with its labels and picture; then the labels of frames that no mask answers.
struct TripItems {
    perceptions: Perceptions,
    lookup: Lookup,
    names: FrameNames,
    unanswered: BTreeSet<Stamp>,
    last_answered: Option<Stamp>,
}

impl TripItems {
    fn new(perceptions: Perceptions, lookup: Lookup) -> Self {
        let (names, unanswered) = (lookup.metadata().frame_names.clone(), lookup.truth_stamps().collect());
        Self { perceptions, lookup, names, unanswered, last_answered: None }
    }

    fn item(&mut self, perception: Perception) -> Result<EvaluationItem, EvaluateError> {
        let stamp = perception.stamp;
        self.unanswered.remove(&stamp);
        self.last_answered = self.last_answered.max(Some(stamp));
        let source = |error: crate::trip::TripError| EvaluateError::Source(Box::new(error));
        Ok(EvaluationItem {
            name: self.names.get(stamp).map_or_else(|| format!("frame {}", perception.frame.0), ToOwned::to_owned),
            stamp: Some(stamp),
            distance: Some(perception.origin.distance()),
            truth: self.lookup.truth(stamp).map_err(source)?,
            image: self.lookup.frame(stamp).map_err(source)?.map(|frame| frame.image),
            prediction: perception.mask,
            confidence: perception.confidence,
        })
    }

    fn unanswered(&mut self) -> Option<Result<EvaluationItem, EvaluateError>> {
        while let Some(stamp) = self.unanswered.pop_first() {
            if self.was_to_be_answered(stamp) {
                let name = self.names.get(stamp).map_or_else(|| format!("frame at {stamp} s"), ToOwned::to_owned);
                return Some(Err(EvaluateError::MissingPrediction { name }));
            }
        }
        None
    }

    /// Whether the frame stamped `stamp` is in the trip. Labels come before their frame: a recording that was cut may end
    /// between the two, which says nothing against the masks. A trip without frames is cut behind its last mask.
    fn was_to_be_answered(&self, stamp: Stamp) -> bool {
        if self.lookup.frame_count() > 0 { self.lookup.has_frame(stamp) } else { Some(stamp) <= self.last_answered }
    }
}

impl Iterator for TripItems {
    type Item = Result<EvaluationItem, EvaluateError>;
    fn next(&mut self) -> Option<Self::Item> {
        match self.perceptions.next() {
            Some(Ok(perception)) => Some(self.item(perception)),
            Some(Err(error)) if error.is_skippable() => {
                Some(Err(EvaluateError::Skipped { name: "a recorded mask".into(), reason: error.to_string() }))
            }
            Some(Err(error)) => Some(Err(EvaluateError::Source(Box::new(error)))),
            None => self.unanswered(),
        }
    }
}

fn of_folders(
    arguments: &Arguments,
    config: &Config,
    session: &Session,
) -> anyhow::Result<(Evaluation, ReportContext)> {
    let (Some(predictions), Some(truth)) = (&arguments.predictions, &arguments.truth) else {
        return Err(Misuse("name a trip, or --predictions and --truth".into()).into());
    };
    let Some(classes) = &arguments.classes else {
        return Err(
            Misuse("--classes is needed: it says what the ids in the label files mean, such as camvid".into()).into()
        );
    };
    let table = class_table(classes)?;
    let folders = Folders {
        predictions: predictions.clone(),
        truth: truth.clone(),
        truth_classes: table.name.clone(),
        images: arguments.images.clone(),
    };
    let predicted = class_table(arguments.prediction_classes.as_deref().unwrap_or("cityscapes"))?;
    let evaluator = Evaluator::new(table, &predicted, config)?;
    let progress = Progress::new("evaluate", None, session.quiet);
    let items = folders.items()?.take_while(|_| !session.interrupt.asked());
    let evaluation = evaluate(items.inspect(|_| progress.advance()), evaluator)?;
    progress.close();
    let title = format!("Evaluation of {}", predictions.display());
    let subtitle = format!("against {}", truth.display());
    Ok((evaluation, ReportContext { title, subtitle, ..ReportContext::default() }))
}
