//! The composition root: the only place that names concrete sources, engines and sinks.
