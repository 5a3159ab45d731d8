//! Latency from the spans: every stage's span is timed as it closes, and nothing else is.
//!
//! ```text
//! pipeline opens `frame` ▶ `perceive` ▶ `backbone`, `decode`, …   a span a stage
//! StageTimes (a tracing layer) ──▶ a histogram a span name ──▶ summary
//! ```

use crate::clock::MeasuringClock;
use crate::data::Stamp;
use crate::sink::statistics::{Latency, LatencyHistogram};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The histograms, by span name. Clones share them.
#[derive(Clone)]
pub(super) struct StageTimes {
    clock: Arc<dyn MeasuringClock>,
    stages: Arc<Mutex<BTreeMap<&'static str, LatencyHistogram>>>,
}

struct Opened(Stamp);

impl StageTimes {
    /// Measures with `clock`.
    pub(super) fn new(clock: Arc<dyn MeasuringClock>) -> Self {
        Self { clock, stages: Arc::default() }
    }

    /// The latency of every stage.
    pub(super) fn all(&self) -> BTreeMap<&'static str, Latency> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.iter().map(|(stage, histogram)| (*stage, histogram.summary())).collect()
    }

    /// Forgets everything measured so far.
    pub(super) fn clear(&self) {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn record(&self, stage: &'static str, ns: u64) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.entry(stage).or_default().record(ns);
    }
}

/// Whether a span is one of ours: other crates' spans are neither timed nor stored.
pub(super) fn is_stage(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("segfuse")
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for StageTimes {
    fn on_new_span(&self, _attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id).filter(|span| is_stage(span.metadata())) {
            span.extensions_mut().insert(Opened(self.clock.now()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if let Some(Opened(start)) = span.extensions().get() {
            let ns = self.clock.now().signed_ns_since(*start);
            self.record(span.metadata().name(), u64::try_from(ns).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tracing_subscriber::layer::SubscriberExt;

    /// A clock that is 2 ms later at every look.
    #[derive(Default)]
    struct Stepping(AtomicU64);

    impl MeasuringClock for Stepping {
        fn now(&self) -> Stamp {
            Stamp::from_ns(self.0.fetch_add(2_000_000, Ordering::Relaxed))
        }
    }

    #[test]
    fn every_stage_is_timed_under_its_span_name() {
        let times = StageTimes::new(Arc::new(Stepping::default()));
        let subscriber = tracing_subscriber::registry().with(times.clone());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                tracing::debug_span!("decode").in_scope(|| ());
            }
            tracing::debug_span!(target: "elsewhere", "foreign").in_scope(|| ());
        });
        let decode = times.all()["decode"];
        assert!((decode.p50_ms - 2.0).abs() < 0.01, "{decode:?}");
        assert_eq!(times.all().keys().collect::<Vec<_>>(), [&"decode"]);
    }
}
