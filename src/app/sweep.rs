//! `segfuse evaluate --sweep`: one trip under several schedules, each run and scored in memory.

use super::Misuse;
use super::arguments::{NetworkArguments, PlainArguments, RuntimeArguments, word};
use super::chosen::ChosenEngine;
use super::drive::{Stages, drive};
use super::evaluate::{class_table, truth_table};
use super::network;
use super::output::{is_standard_output, print, write_json};
use super::progress::Progress;
use super::session::Session;
use super::summary::Percentiles;
use crate::config::Config;
use crate::data::{AlignedFrame, ClassTable, Event, GroundTruth, Perception, Stamp};
use crate::engine::DeviceChoice;
use crate::engine::network::{Chain, Network};
use crate::evaluate::{self, Evaluation, EvaluationItem, Evaluator, RunCost, Sweep, report};
use crate::perceive::{self, Lateness, Schedule};
use crate::sink::{Sink, SinkError};
use crate::trip::{Lookup, Range, TripMetadata, TripReader};
use anyhow::bail;
use clap::Args;
use std::collections::BTreeMap;
use std::path::Path;

/// More schedules than anybody reads.
const MAX_RUNS: usize = 64;
const ONE_KIND: &str =
    "each --sweep has schedules of one kind, such as every:1,2,5 or adaptive:4%,5%,8% or overlapped:5:1,5:2";
/// Labels that may wait for their frames, which come soon after them.
const MAX_WAITING: usize = 64;

/// Options of a sweep.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sweep")]
pub struct SweepArguments {
    /// Run the trip under each of these schedules and compare them; may be given several times. every:1, with which all
    /// are compared, comes first in any case; schedules that are equal are run once; 64 at most, every:1 counted.
    #[arg(long, value_name = "every:K,K,…|adaptive:P%,…|overlapped:K:D,K:D,…", value_parser = schedules, conflicts_with = "predictions")]
    pub(super) sweep: Vec<Schedules>,
    /// The network: a folder, a plain ONNX file, or the name of an embedded one [default: small].
    #[arg(long, value_name = "PATH|NAME", requires = "sweep")]
    pub network: Option<String>,
    /// The device: auto takes a GPU if this build can use one and one is there, else the processor [default: auto].
    #[arg(long, value_name = "auto|cpu|cuda", requires = "sweep")]
    pub device: Option<DeviceChoice>,
    /// Its runtime.
    #[command(flatten)]
    pub runtime: RuntimeArguments,
    /// What a plain ONNX file does not say of itself.
    #[command(flatten)]
    pub plain: PlainArguments,
    /// Plain ONNX only: common resizes as scripts around OpenCV do; fine makes better masks [default: common].
    #[arg(long, value_name = "common|fine", value_parser = word::<Chain>, requires = "sweep")]
    pub chain: Option<Chain>,
}

/// The schedules of one `--sweep`.
pub(super) type Schedules = std::sync::Arc<[Schedule]>;

/// Reads `every:1,2,5` as `every:1`, `every:2` and `every:5`.
fn schedules(text: &str) -> Result<Schedules, String> {
    let read = |schedule: String| schedule.parse().map_err(|error| format!("{error}; {ONE_KIND}"));
    let (kind, values) = text.split_once(':').ok_or_else(|| format!("no schedule is named: {ONE_KIND}"))?;
    values.split(',').map(|value| read(format!("{kind}:{}", value.trim()))).collect()
}

impl SweepArguments {
    /// The first option that was given and means nothing without `--sweep`.
    pub(super) fn given_without_sweep(&self) -> Option<&'static str> {
        let threads = self.runtime.threads.map(|_| "--threads");
        let given = self.runtime.engine.map(|_| "--engine").or(threads).or(self.plain.given());
        given.filter(|_| self.sweep.is_empty())
    }

    /// All schedules once, the reference first.
    fn runs(&self) -> Result<Vec<Schedule>, Misuse> {
        let mut runs = vec![Schedule::EACH];
        for schedule in self.sweep.iter().flat_map(|some| some.iter()) {
            if !runs.contains(schedule) {
                runs.push(*schedule);
            }
        }
        match runs.len() {
            0..=MAX_RUNS => Ok(runs),
            many => Err(Misuse(format!("--sweep: {many} schedules, at most {MAX_RUNS}"))),
        }
    }

    fn network(&self) -> NetworkArguments {
        NetworkArguments {
            network: self.network.clone(),
            schedule: None,
            device: self.device,
            runtime: self.runtime.clone(),
            plain: self.plain.clone(),
            chain: self.chain,
        }
    }
}

/// Where the figures go.
pub(super) struct Outputs<'a> {
    pub(super) json: Option<&'a Path>,
    pub(super) html: Option<&'a Path>,
}

/// Sweeps; prints the table.
pub(super) fn run(
    arguments: &SweepArguments,
    (trip, classes): (&Path, Option<&str>),
    outputs: &Outputs<'_>,
    session: &Session,
) -> anyhow::Result<()> {
    let (runs, options) = (arguments.runs()?, arguments.network());
    let network = session.interrupt.cuts(|| network::open(&options))?;
    let judge = Judge::open(trip, classes, &network)?;
    let mut engine = network::engine(&network, &options, &Config::default(), session)?;
    network::tell_camera(&mut engine, "the trip's", &judge.trip);
    let mut sweep = Sweep {
        trip: trip.display().to_string(),
        class_table: judge.scored.name.clone(),
        network: network.name().to_owned(),
        network_hash: format!("{:016x}", network.hash()),
        engine: engine.info().runtime.clone(),
        labelled: 0,
        rows: Vec::new(),
    };
    for schedule in &runs {
        let Some((cost, found)) = one_run(*schedule, trip, &mut engine, &judge, session)? else { break };
        sweep.push(cost, &found);
    }
    tell(&sweep, runs.len(), outputs)
}

/// Prints and writes what `wanted` runs gave, or those of them that were not interrupted.
fn tell(sweep: &Sweep, wanted: usize, outputs: &Outputs<'_>) -> anyhow::Result<()> {
    let done = sweep.rows.len();
    if done == 0 {
        return print(&"interrupted: no figures, for they would be of a part");
    }
    if !outputs.json.is_some_and(is_standard_output) {
        print(sweep)?;
    }
    if done < wanted {
        tracing::warn!("interrupted: {done} of {wanted} schedules were run");
    }
    if let Some(path) = outputs.json {
        write_json(path, sweep)?;
    }
    outputs.html.map_or(Ok(()), |path| Ok(report::write_sweep(path, sweep)?))
}

/// One run of the whole trip; nothing if it was interrupted.
fn one_run(
    schedule: Schedule,
    trip: &Path,
    engine: &mut ChosenEngine,
    judge: &Judge,
    session: &Session,
) -> anyhow::Result<Option<(RunCost, Evaluation)>> {
    let mut source = TripReader::open(trip, Range::default())?;
    let classes = judge.predicted.clone();
    let stages = Stages {
        engine,
        classes,
        perceive: perceive::Config { schedule, ..perceive::Config::default() },
        lateness: Lateness::default(),
        align: Config::default().align,
        ends_when_asked: false,
    };
    let mut scores = Scores::new(judge.evaluator()?);
    let mut progress = Progress::new("sweep", Some(source.frame_count()), session.quiet);
    let (summary, ended) = drive(&mut source, stages, vec![&mut scores, &mut progress], session);
    progress.close();
    if summary.interrupted {
        return Ok(None);
    }
    ended?;
    let condition = source.condition();
    if schedule == Schedule::EACH && !condition.is_whole() {
        tracing::warn!("{}: the trip is not whole: {condition}; the figures are of what can be read", trip.display());
    }
    // Scoring is a sink here, and no part of what is measured.
    let Percentiles { p50, p99, mean, .. } = summary.stages_ms.get("perceive").copied().unwrap_or_default();
    let cost = RunCost {
        schedule: schedule.to_string(),
        frames: summary.published,
        keys: summary.key_frames,
        ms_per_frame: mean,
        p50_ms: p50,
        p99_ms: p99,
        mask_hash: summary.mask_hash,
    };
    Ok(Some((cost, scores.evaluator.finish())))
}

/// The classes that are scored in, those of the masks and those of the labels.
struct Judge {
    scored: ClassTable,
    predicted: ClassTable,
    truth: ClassTable,
    /// What the trip says of itself.
    trip: TripMetadata,
}

impl Judge {
    fn open(trip: &Path, classes: Option<&str>, network: &Network) -> anyhow::Result<Self> {
        let mut lookup = Lookup::open(trip)?;
        let metadata = lookup.metadata().clone();
        let Some(truth) = truth_table(&mut lookup, &metadata)? else {
            bail!(
                "{0}: this trip has no labels, so schedules cannot be compared; `segfuse trip import --labels` brings \
                 them in, `segfuse render` makes a drive that has them",
                trip.display()
            );
        };
        let scored = classes.map_or_else(|| Ok(truth.clone()), class_table)?;
        let judge = Self { scored, predicted: network.classes().clone(), truth, trip: metadata };
        // Told now and not after a run: classes that cannot be brought together.
        judge.evaluator()?;
        Ok(judge)
    }

    fn evaluator(&self) -> anyhow::Result<Evaluator> {
        // Pictures are for reports of single runs.
        let config = evaluate::Config { shown_frames: 0, ..evaluate::Config::default() };
        Ok(Evaluator::new(self.scored.clone(), &self.predicted, &config)?.with_truth_table(&self.truth)?)
    }
}

/// Scores masks as they come.
struct Scores {
    evaluator: Evaluator,
    /// Labels come before their frame; those of frames that never come are let go.
    waiting: BTreeMap<Stamp, GroundTruth>,
}

impl Scores {
    fn new(evaluator: Evaluator) -> Self {
        Self { evaluator, waiting: BTreeMap::new() }
    }
}

impl Sink for Scores {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        if let Event::Truth(truth) = event {
            self.waiting.insert(truth.stamp, truth.clone());
            if self.waiting.len() > MAX_WAITING {
                self.waiting.pop_first();
            }
        }
        Ok(())
    }

    fn on_perception(&mut self, _frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        let mut due = self.waiting.split_off(&perception.stamp);
        let truth = due.remove(&perception.stamp);
        self.waiting = due;
        let item = EvaluationItem {
            name: String::new(),
            stamp: Some(perception.stamp),
            distance: Some(perception.origin.distance()),
            truth,
            image: None,
            prediction: perception.mask.clone(),
            confidence: perception.confidence.clone(),
        };
        self.evaluator.push(&item).map_err(|error| SinkError::Failed { sink: "evaluation", source: Box::new(error) })
    }
}
