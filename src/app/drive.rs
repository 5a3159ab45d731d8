//! One run of the pipeline, for every command that has one: stages connected, times taken, sinks finished.

use super::chosen::{ChosenEngine, on};
use super::session::Session;
use super::summary::{Run, Summary};
use crate::align::{self, Aligner};
use crate::data::ClassTable;
use crate::engine::{Engine, EngineInfo};
use crate::perceive::{self, Lateness, Perceiver};
use crate::pipeline::Pipeline;
use crate::sink::Sink;
use crate::sink::statistics::Statistics;
use crate::source::Source;

/// The stages between source and sinks.
pub(super) struct Stages<'a> {
    pub engine: &'a mut ChosenEngine,
    pub classes: ClassTable,
    pub perceive: perceive::Config,
    pub lateness: Lateness,
    pub align: align::Config,
    /// Whether the source ends by itself when the user asks: then the run is whole, and not interrupted.
    pub ends_when_asked: bool,
}

/// Drives `source` through `stages` into `sinks`. The summary tells all, also of a run that failed midway.
pub(super) fn drive(
    source: &mut dyn Source,
    stages: Stages<'_>,
    sinks: Vec<&mut dyn Sink>,
    session: &Session,
) -> (Summary, anyhow::Result<()>) {
    let Stages { engine, classes, perceive, lateness, align, ends_when_asked } = stages;
    on!(engine, engine => {
        let stages = OnEngine { engine: &mut **engine, classes, perceive, lateness, align, ends_when_asked };
        stages.drive(source, sinks, session)
    })
}

/// [`Stages`] with the engine that was chosen.
struct OnEngine<'a, E> {
    engine: &'a mut E,
    classes: ClassTable,
    perceive: perceive::Config,
    lateness: Lateness,
    align: align::Config,
    ends_when_asked: bool,
}

impl<E: Engine> OnEngine<'_, E> {
    fn drive(
        self,
        source: &mut dyn Source,
        mut sinks: Vec<&mut dyn Sink>,
        session: &Session,
    ) -> (Summary, anyhow::Result<()>) {
        let engine: EngineInfo = self.engine.info().clone();
        let mut statistics = Statistics::new(self.classes);
        let mut perceiver = Perceiver::new(self.engine, self.perceive).with_lateness(self.lateness);
        session.times.clear();
        let began = session.clock.now();
        let mut all: Vec<&mut dyn Sink> = vec![&mut statistics];
        all.extend(sinks.iter_mut().map(|sink| -> &mut dyn Sink { &mut **sink }));
        let pipeline = Pipeline::new(Aligner::new(self.align), &mut perceiver, all);
        let stop = || session.interrupt.asked() && !self.ends_when_asked;
        let (counts, ended) = pipeline.run(source, &stop);
        let seconds = session.clock.now().signed_ns_since(began) as f64 / 1e9;
        let schedule = self.perceive.schedule.to_string();
        let run = Run { counts, statistics, engine: &engine, schedule, seconds };
        (Summary::new(&run, session), ended.map_err(Into::into))
    }
}
