//! `segfuse network check`: what a network is, and what every runtime at hand makes of it.

use super::arguments::{PlainArguments, RuntimeArguments};
use super::network;
use super::network_command::street;
use super::network_report::{AgreementReport, Report, RuntimeReport, Verdict, grid, named};
#[cfg(feature = "tensorrt")]
use super::network_tensorrt;
use super::output::print;
use super::progress::Progress;
use super::session::Session;
use crate::data::Size;
use crate::engine;
use crate::engine::EngineError;
use crate::engine::cpu::FeatureMap;
use crate::engine::cpu::RuntimeChoice::{Auto, Tensorrt};
use crate::engine::cpu::trial::{Cost, LoadedGraphs, Trial, equal_share, labels, prepare};
use crate::engine::network::Network;
use anyhow::bail;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  segfuse network check small                        an embedded network
  segfuse network check mynet --engine rten --threads 1
  segfuse network check net.onnx --json              a plain ONNX file, for scripts

Ends with 1 if no runtime at hand runs the network.
A build with the feature tensorrt asks TensorRT too, which builds plans that are missing: minutes.";

/// Runs of each graph that are measured: enough for a median, and an end for fast networks.
const RUNS: std::ops::RangeInclusive<usize> = 5..=30;
/// Slow networks are measured for about this long, each graph.
const MEASURED_NS: i64 = 1_500_000_000;

/// Options of `segfuse network check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A network folder, a plain ONNX file, or the name of an embedded network: small or tiny.
    #[arg(value_name = "PATH|NAME")]
    pub network: String,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// What runs it: auto tries every runtime at hand.
    #[command(flatten)]
    pub runtime: RuntimeArguments,
    /// How pictures are prepared.
    #[command(flatten)]
    pub plain: PlainArguments,
}

/// Tries the network everywhere; prints what came out.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let plain = || arguments.plain.options();
    let open = || network::named(&arguments.network, arguments.plain.given(), plain);
    let network = session.interrupt.cuts(open)?;
    let config = arguments.runtime.over(&engine::Config::default());
    let asks_tensorrt = cfg!(feature = "tensorrt") && matches!(config.runtime, Auto | Tensorrt);
    let cpus_too = !asks_tensorrt || config.runtime != Tensorrt;
    let trials = session.interrupt.cuts(|| if cpus_too { Trial::all(&config.cpu()) } else { vec![] });
    let mut report = Report::new(&network, &costs(&network, &trials));
    let progress = Progress::new("measure", Some(trials.len() as u64), session.quiet);
    // Nothing comes of half a trial.
    let tried: Vec<Tried> = session.interrupt.cuts(|| {
        let tried = trials.into_iter().map(|trial| (try_one(&network, trial, session), progress.advance()).0);
        tried.collect::<anyhow::Result<_>>()
    })?;
    progress.close();
    #[cfg(feature = "tensorrt")]
    let tried: Vec<Tried> = {
        let asked = asks_tensorrt.then(|| network_tensorrt::ask(&network, &config, session)).transpose()?;
        tried.into_iter().chain(asked).collect()
    };
    if report.logits.is_none() {
        let shape =
            tried.iter().find_map(|tried| tried.logits.as_ref()).map(|map| [1, map.channels, map.rows, map.cols]);
        report.logits = grid(network.input().rows, shape);
    }
    report.agreement = agreements(&network, &tried);
    report.runtimes = tried.into_iter().map(|tried| tried.report).collect();
    if !asks_tensorrt {
        report.runtimes.push(RuntimeReport::without("tensorrt".into(), Verdict::Unchecked, "not checked here".into()));
    }
    tell(&report, arguments.json)
}

fn tell(report: &Report, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(report)? } else { report.to_string().trim_end().to_owned() };
    print(&text)?;
    if !report.runs() {
        bail!("{}: no runtime at hand runs this network; the reasons stand above", report.path);
    }
    Ok(())
}

/// What each graph costs, by the first runtime that can say it.
fn costs(network: &Network, trials: &[(&'static str, Result<Trial, EngineError>)]) -> Vec<Option<Cost>> {
    let cost = |graph| {
        let told: Vec<Cost> = trials.iter().filter_map(|(_, trial)| trial.as_ref().ok()?.cost(graph).ok()).collect();
        told.iter().find(|cost| cost.multiply_adds.is_some()).or(told.first()).copied()
    };
    named(network.graphs()).into_iter().map(|(_, graph)| cost(graph)).collect()
}

/// A runtime's report, and its logits of the street.
pub(super) struct Tried {
    pub(super) report: RuntimeReport,
    pub(super) logits: Option<FeatureMap>,
}

fn try_one(
    network: &Network,
    (name, trial): (&'static str, Result<Trial, EngineError>),
    session: &Session,
) -> anyhow::Result<Tried> {
    let without = |runtime: String, verdict, error: EngineError| {
        Ok(Tried { report: RuntimeReport::without(runtime, verdict, error.to_string()), logits: None })
    };
    let trial = match trial {
        Ok(trial) => trial,
        Err(error) => return without(name.into(), Verdict::Absent, error),
    };
    match trial.load(network) {
        Ok(loaded) => measure(network, &trial, loaded, session),
        Err(error) => without(trial.describe(), Verdict::Refused, error),
    }
}

/// Medians of every graph on a rendered street.
fn measure(network: &Network, trial: &Trial, mut loaded: LoadedGraphs, session: &Session) -> anyhow::Result<Tried> {
    let picture = prepare(&street()?, network.input())?;
    let (features, logits) = loaded.run(&picture)?;
    let mut answer = FeatureMap::default();
    let (backbone_ms, runs) = median_ms(session, || loaded.backbone.run(&[&picture], &mut answer))?;
    let mut head_ms = None;
    if let Some(head) = &mut loaded.head {
        head_ms = Some(median_ms(session, || head.run(&[&features.values], &mut answer))?.0);
    }
    let mut correction_ms = None;
    if let Some(correction) = &mut loaded.correction {
        // Its values are the same to the clock.
        let residual = loaded.residual.map(|values| vec![0.0; values]);
        let inputs = [&features.values[..], &picture].into_iter().chain(residual.as_deref());
        let inputs: Vec<&[f32]> = inputs.collect();
        correction_ms = Some(median_ms(session, || correction.run(&inputs, &mut answer))?.0);
    }
    let (runtime, verdict, backbone_ms) = (trial.describe(), Verdict::Runs, Some(backbone_ms));
    let report = RuntimeReport { runtime, verdict, reason: None, backbone_ms, head_ms, correction_ms, runs };
    Ok(Tried { report, logits: Some(logits) })
}

/// The median time of `work` and how often it was run: at least the fewest, then until time or number is enough.
pub(super) fn median_ms(
    session: &Session,
    mut work: impl FnMut() -> Result<(), EngineError>,
) -> anyhow::Result<(f64, usize)> {
    let begin = session.clock.now();
    let mut times_ms = Vec::with_capacity(*RUNS.end());
    while times_ms.len() < *RUNS.end() {
        let start = session.clock.now();
        work()?;
        let end = session.clock.now();
        times_ms.push(end.signed_ns_since(start) as f64 / 1e6);
        let enough = times_ms.len() >= *RUNS.start() && end.signed_ns_since(begin) > MEASURED_NS;
        if enough || session.interrupt.asked() {
            break;
        }
    }
    times_ms.sort_by(f64::total_cmp);
    Ok((times_ms[times_ms.len() / 2], times_ms.len()))
}

/// How far the labels of each two runtimes agree.
fn agreements(network: &Network, tried: &[Tried]) -> Vec<AgreementReport> {
    let size = Size::new(network.input().cols as u32, network.input().rows as u32);
    let labelled = tried.iter().filter_map(|tried| Some((&tried.report.runtime, labels(tried.logits.as_ref()?, size))));
    let labelled: Vec<(&String, Vec<u8>)> = labelled.collect();
    let mut reports = Vec::new();
    for (index, (other, second)) in labelled.iter().enumerate() {
        reports.extend(labelled[..index].iter().map(|(one, first)| AgreementReport {
            between: [(*one).clone(), (*other).clone()],
            equal_labels_percent: equal_share(first, second) * 100.0,
        }));
    }
    reports
}
