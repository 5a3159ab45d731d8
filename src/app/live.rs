//! The live source: the camera and the buses of the configuration, their threads, and the inbox where they meet.
//!
//! ```text
//! [camera] ─▶ Camera ─┐
//! [[bus]]  ─▶ Bus ────┼─▶ Inbox ─▶ Decoding by [signals] ─▶ Live ─▶ pipeline, recorder
//!             …       ┘                            HealthBoard ◀─ all of them
//! ```

use super::Misuse;
use super::session::Session;
use super::signals;
use crate::clock::wall_mapping;
use crate::config::Config;
use crate::data::{Calibration, Event, HealthBoard, Reporter, Stamp};
use crate::source::camera::{Agreed, Camera, CameraError};
use crate::source::can::bus::{Bus, BusConfig, BusError};
use crate::source::can::{CanDecoder, Decoding};
use crate::source::inbox::{Counts, Inbox, Intake};
use crate::source::{Prepare, Source, SourceError};
use crate::trip::{DbcText, TripMetadata};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Camera and buses as one source. It ends when the user asks, or after the time given; dropping it ends the threads.
pub(super) struct Live<'a> {
    // In this order: threads end before the inbox that they put into.
    _camera: Camera,
    _buses: Vec<Bus>,
    stream: Stream,
    session: &'a Session,
    until: Option<Stamp>,
    /// What the pipeline was too slow for is reported here.
    health: Reporter,
    told: Counts,
}

/// What the inbox says, or that and what it means.
enum Stream {
    Raw(Inbox),
    Decoded(Box<Decoding<Inbox>>),
}

/// What a live run needs of its sources before they start.
pub(super) struct Plan {
    /// What the frames of the buses mean.
    pub(super) decoder: Option<CanDecoder>,
    /// What a trip says of such a run.
    pub(super) metadata: TripMetadata,
}

impl Plan {
    /// Reads the files that the configuration names.
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let decoding = match (&config.signals.dbc, &config.signals.signals) {
            (Some(dbc), Some(named)) => Some(decoder(dbc, named).map_err(|error| Misuse(format!("{error:#}")))?),
            _ => None,
        };
        let (decoder, dbc) = decoding.map_or((None, None), |(decoder, dbc)| (Some(decoder), Some(dbc)));
        let buses: Vec<&str> = config.bus.iter().map(|bus| bus.interface.as_str()).collect();
        let metadata = TripMetadata {
            source: [&[config.camera.device.as_str()], &buses[..]].concat().join(", "),
            wall: Some(wall_mapping()),
            calibration: config.calibration.clone(),
            dbc,
            ..TripMetadata::default()
        };
        Ok(Self { decoder, metadata })
    }
}

impl<'a> Live<'a> {
    /// Starts every source and puts each on the board.
    pub(super) fn start(
        config: &Config,
        plan: Plan,
        board: &HealthBoard,
        session: &'a Session,
        prepare: &Prepare,
    ) -> anyhow::Result<Self> {
        let clock = Arc::clone(&session.clock);
        let (inbox, intake) = Inbox::new(Arc::new(move || clock.now()));
        let now = session.clock.now();
        let buses = start_buses(config, plan.decoder.as_ref(), &intake, board, prepare)?;
        let camera = Camera::start(&config.camera, intake, board.enter("camera", true, now), Arc::clone(prepare))?;
        if let Some(agreed) = camera.agreed() {
            check_calibration(config.calibration.as_ref(), agreed).map_err(Misuse)?;
        }
        let stream = match plan.decoder {
            Some(decoder) => Stream::Decoded(Box::new(Decoding::new(inbox, decoder))),
            None => Stream::Raw(inbox),
        };
        let health = board.enter("stream", false, now);
        health.delivers(now);
        let told = Counts::default();
        Ok(Self { stream, _camera: camera, _buses: buses, session, until: None, health, told })
    }

    /// The same, ending by itself after `seconds`.
    #[must_use]
    pub(super) fn for_seconds(self, seconds: Option<f64>) -> Self {
        let until = seconds.map(|seconds| self.session.clock.now().after(Duration::from_secs_f64(seconds)));
        Self { until, ..self }
    }

    /// Frames that made way for newer ones, of those that were handed on as lost.
    pub(super) fn replaced_told(&self) -> u64 {
        self.counts().replaced_told
    }

    fn counts(&self) -> Counts {
        match &self.stream {
            Stream::Raw(inbox) => inbox.counts(),
            Stream::Decoded(decoding) => decoding.source().counts(),
        }
    }

    /// Reports what the inbox had to give up because the pipeline was too slow for it.
    fn report(&mut self, now: Stamp) {
        let counts = self.counts();
        let lost = [
            ("replaced", counts.replaced - self.told.replaced, "camera frames"),
            ("can_overflow", counts.can_overflow - self.told.can_overflow, "CAN frames"),
        ];
        for (name, more, what) in lost.into_iter().filter(|(_, more, _)| *more > 0) {
            self.health.count(name, more);
            self.health.falters(now, &format!("the pipeline is too slow: older {what} made way for newer ones"));
        }
        self.health.measure("can_most_waiting", counts.can_most_waiting);
        self.told = counts;
    }
}

fn decoder(dbc: &Path, named: &str) -> anyhow::Result<(CanDecoder, DbcText)> {
    signals::decoder(dbc, &signals::named(named)?)
}

/// Whether `error` says that camera or bus are asked for what they are not; that they are absent or taken may pass.
pub(super) fn is_misuse(error: &anyhow::Error) -> bool {
    let camera = error.downcast_ref().is_some_and(|error| {
        matches!(
            error,
            CameraError::Config(_)
                | CameraError::Unsupported { .. }
                | CameraError::Substituted { .. }
                | CameraError::Control { .. }
                | CameraError::UnknownControl { .. }
        )
    });
    let bus =
        error.downcast_ref().is_some_and(|error| !matches!(error, BusError::Absent { .. } | BusError::Kernel { .. }));
    camera || bus
}

/// Whether a calibration is of pictures of the camera's shape; of another size, it is scaled.
pub(super) fn check_calibration(calibration: Option<&Calibration>, agreed: &Agreed) -> Result<(), String> {
    let Some(Calibration { width_px, height_px, .. }) = calibration else { return Ok(()) };
    let (of_camera, of_calibration) = (aspect(agreed.size.width, agreed.size.height), aspect(*width_px, *height_px));
    if (of_camera / of_calibration - 1.0).abs() < 0.01 {
        return Ok(());
    }
    let size = agreed.size;
    Err(format!(
        "calibration is for {width_px}x{height_px}, but the camera gives {size}: another shape, which it cannot be scaled to"
    ))
}

fn aspect(width: u32, height: u32) -> f64 {
    f64::from(width) / f64::from(height)
}

fn start_buses(
    config: &Config,
    decoder: Option<&CanDecoder>,
    intake: &Intake,
    board: &HealthBoard,
    prepare: &Prepare,
) -> anyhow::Result<Vec<Bus>> {
    let start = |bus: &BusConfig| {
        let ids = decoder.map(|decoder| decoder.ids(bus.bus)).unwrap_or_default();
        let health = board.enter(&bus.interface, false, intake.now());
        Bus::start(bus, &ids, intake.clone(), health, Arc::clone(prepare))
    };
    Ok(config.bus.iter().map(start).collect::<Result<_, _>>()?)
}

impl Source for Live<'_> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if self.session.interrupt.asked() {
            return Ok(None);
        }
        let event = match &mut self.stream {
            Stream::Raw(inbox) => inbox.next(),
            Stream::Decoded(decoding) => decoding.next(),
        }?;
        let Some(event) = event else { return Ok(None) };
        let now = event.arrival();
        if self.until.is_some_and(|until| now >= until) {
            return Ok(None);
        }
        if matches!(event, Event::Lost { .. } | Event::Frame(_)) {
            self.report(now);
        }
        Ok(Some(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{PixelFormat, Size};

    fn agreed(width: u32, height: u32) -> Agreed {
        let (path, card, bus) = ("/dev/video0".into(), "a camera".into(), "somewhere".into());
        let (format, stride) = (PixelFormat::Yuyv, width as usize * 2);
        Agreed { path, card, bus, format, size: Size::new(width, height), stride, rate_hz: Some(30.0) }
    }

    fn calibration(width_px: u32, height_px: u32) -> Calibration {
        let lens = "fx_px = 500.0\nfy_px = 500.0\ncx_px = 320.0\ncy_px = 180.0\nposition_m = [1.5, 0.0, 1.2]";
        toml::from_str(&format!("width_px = {width_px}\nheight_px = {height_px}\n{lens}")).expect("a calibration")
    }

    #[test]
    fn a_calibration_of_another_shape_than_the_camera_is_refused_and_one_of_another_size_is_not() {
        let fits = |width, height| check_calibration(Some(&calibration(width, height)), &agreed(640, 360));
        assert_eq!(fits(1280, 720), Ok(()));
        assert_eq!(check_calibration(None, &agreed(640, 360)), Ok(()));
        let refused = fits(640, 480).expect_err("4:3 is not 16:9");
        assert!(refused.contains("640x480") && refused.contains("640x360"), "{refused}");
    }

    #[test]
    fn what_camera_and_bus_cannot_be_is_misuse_and_what_may_pass_is_none() {
        let name = || "x".to_owned();
        let cases: [(anyhow::Error, bool); 5] = [
            (CameraError::Config(name()).into(), true),
            (CameraError::UnknownControl { device: name(), name: name(), known: name() }.into(), true),
            (CameraError::Absent { device: name(), seen: name() }.into(), false),
            (BusError::NoIds { interface: name(), bus: 1 }.into(), true),
            (BusError::Absent { interface: name(), known: name() }.into(), false),
        ];
        for (error, expected) in cases {
            assert_eq!(is_misuse(&error), expected, "{error:?}");
        }
    }
}
