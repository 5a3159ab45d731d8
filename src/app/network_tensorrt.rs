//! What TensorRT makes of a network, for `segfuse network check`: which operators it refuses, and how fast the others are.

use super::builds::Builds;
use super::network_check::{Tried, median_ms};
use super::network_command::street;
use super::network_report::{RuntimeReport, Verdict};
use super::session::Session;
use crate::engine::cpu::trial::prepare;
use crate::engine::cuda::trial::{LoadedPlans, PlanTrial};
use crate::engine::network::Network;
use crate::engine::{Config, EngineError};

/// Builds what is missing, and measures it where there is a GPU.
pub(super) fn ask(network: &Network, config: &Config, session: &Session) -> anyhow::Result<Tried> {
    let trial = match PlanTrial::new(config) {
        Ok(trial) => trial,
        Err(error) => return Ok(without("tensorrt".into(), Verdict::Absent, error.to_string())),
    };
    let builds = Builds::new(session)?;
    let built = trial.build(network, &|what| builds.goes_on(what));
    builds.close();
    let picture = prepare(&street()?, network.input())?;
    match built.and_then(|()| trial.load(network, &picture)) {
        Ok(Ok(loaded)) => measure(trial.describe(), loaded, session),
        Ok(Err(no_gpu)) => Ok(without(trial.describe(), Verdict::Builds, format!("{trial}; to run them: {no_gpu}"))),
        Err(EngineError::GivenUp) => Err(EngineError::GivenUp.into()),
        Err(error @ EngineError::Network { .. }) => Ok(without(trial.describe(), Verdict::Refused, error.to_string())),
        Err(error) => Ok(without(trial.describe(), Verdict::Absent, error.to_string())),
    }
}

fn without(runtime: String, verdict: Verdict, reason: String) -> Tried {
    Tried { report: RuntimeReport::without(runtime, verdict, reason), logits: None }
}

/// Medians of every graph on a rendered street, each run waited for.
fn measure(runtime: String, mut plans: LoadedPlans, session: &Session) -> anyhow::Result<Tried> {
    // Once before, for the first run of a plan takes longer than the others.
    plans.run_backbone()?;
    plans.run_head()?;
    let logits = plans.logits()?;
    let (backbone_ms, runs) = median_ms(session, || plans.run_backbone())?;
    let head_ms = Some(median_ms(session, || plans.run_head())?.0);
    let mut correction_ms = None;
    if plans.has_correction() {
        plans.run_correction()?;
        correction_ms = Some(median_ms(session, || plans.run_correction())?.0);
    }
    let (verdict, backbone_ms) = (Verdict::Runs, Some(backbone_ms));
    let report = RuntimeReport { runtime, verdict, reason: None, backbone_ms, head_ms, correction_ms, runs };
    Ok(Tried { report, logits: Some(logits) })
}
