//! vivid, the camera of the virtual machine, and a consumer that writes down what it gets of it.

#![allow(unreachable_pub, reason = "a module of every test that includes it, not of a library")]
#![allow(dead_code, reason = "each test file compiles its own copy and uses a part of it")]

use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{Event, HealthBoard, HealthState, Image, PixelFormat, Size, Stamp};
use segfuse::source::camera::{Camera, CameraError, Config};
use segfuse::source::inbox::Inbox;
use segfuse::source::{Prepare, Source};
use segfuse::sys::v4l2::Device;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

pub const RATE_HZ: f64 = 30.0;
pub const PERIOD_MS: f64 = 1000.0 / RATE_HZ;
/// Within which a fault is to be seen, ms: the stall that is configured, and one frame's time because the driver's thread
/// shares two emulated processors with everything here.
pub const SEEN_MS: f64 = 100.0 + PERIOD_MS;
/// Within which frames are to come again once the fault is over: well within 2 s.
pub const WELL_MS: f64 = 1500.0;
pub const UNBIND: &str = "/sys/bus/platform/drivers/vivid/unbind";
pub const BIND: &str = "/sys/bus/platform/drivers/vivid/bind";

pub fn now() -> Stamp {
    MonotonicClock.now()
}

pub fn ms_since(earlier: Stamp) -> f64 {
    now().signed_ns_since(earlier) as f64 / 1e6
}

pub fn pause(ms: u64) {
    sleep(Duration::from_millis(ms));
}

/// vivid as it streams 30 frames a second without gaps, each stamped with the start of its exposure.
pub fn config() -> Config {
    Config {
        format: Some(PixelFormat::Yuyv),
        size: Some(Size::new(640, 360)),
        rate_hz: Some(RATE_HZ),
        controls: [("timestamp_source".to_owned(), 1)].into(),
        ..Config::default()
    }
}

/// What a consumer saw.
#[derive(Default)]
pub struct Seen {
    /// Each frame's stamp, when it was taken out of the inbox, and how many were told as lost before it.
    pub frames: Vec<(Stamp, Stamp, u32)>,
    /// When, and how many.
    pub lost: Vec<(Stamp, u32)>,
    pub lost_before: u32,
    /// Pictures that are held on to.
    pub held: Vec<Image>,
    pub hold: usize,
}

/// A camera, and a consumer that works on each frame for a while.
pub struct Drive {
    pub camera: Option<Camera>,
    pub consumer: Option<JoinHandle<()>>,
    pub seen: Arc<Mutex<Seen>>,
    pub board: HealthBoard,
    pub stop: Arc<AtomicBool>,
}

impl Drive {
    pub fn start(config: &Config) -> Self {
        Self::with(config, 0, 0).expect("vivid is there")
    }

    /// A capture thread that is held up for `ms` before it begins.
    pub fn held_up(config: &Config, ms: u64) -> Self {
        Self::prepared(config, (0, 0), Arc::new(move |_| pause(ms))).expect("vivid is there")
    }

    /// A consumer that takes `work_ms` a frame and holds on to the last `hold` of them.
    pub fn with(config: &Config, work_ms: u64, hold: usize) -> Result<Self, CameraError> {
        Self::prepared(config, (work_ms, hold), Arc::new(|_| ()))
    }

    pub fn prepared(config: &Config, (work_ms, hold): (u64, usize), prepare: Prepare) -> Result<Self, CameraError> {
        let (mut inbox, intake) = Inbox::new(Arc::new(now));
        let board = HealthBoard::new();
        let health = board.enter("camera", true, now());
        let camera = Camera::start(config, intake, health, prepare)?;
        let seen =
            Seen { frames: Vec::with_capacity(10_000), lost: Vec::with_capacity(10_000), hold, ..Seen::default() };
        let seen = Arc::new(Mutex::new(seen));
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let consumer = std::thread::spawn(move || {
            while let Some(event) = inbox.next().expect("nothing fails for good") {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let is_frame = matches!(event, Event::Frame(_));
                told.lock().expect("no panic").see(event);
                if is_frame && work_ms > 0 {
                    pause(work_ms);
                }
            }
        });
        Ok(Self { camera: Some(camera), consumer: Some(consumer), seen, board, stop })
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    pub fn state(&self) -> HealthState {
        self.board.state(now())
    }

    pub fn reason(&self) -> String {
        self.board.sources(now())[0].reason.clone().unwrap_or_default()
    }

    pub fn counted(&self, name: &str) -> u64 {
        let counts = self.board.sources(now()).remove(0).counts;
        counts.iter().find(|(known, _)| known == name).map_or(0, |&(_, count)| count)
    }

    /// Frames and losses whose moment lies in a time.
    pub fn between(&self, from: Stamp, to: Stamp) -> (usize, u32) {
        let seen = self.seen();
        let frames = seen.frames.iter().filter(|(_, at, _)| (from..to).contains(at)).count();
        (frames, seen.lost.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, lost)| lost).sum())
    }

    /// How long from `since` until `is` becomes true, ms; 9999 if it does not within 6 s.
    pub fn until(&self, since: Stamp, is: impl Fn(&Self) -> bool) -> f64 {
        while ms_since(since) < 6000.0 {
            if is(self) {
                return ms_since(since);
            }
            pause(1);
        }
        9999.0
    }

    /// How much of a sign the board shows.
    pub fn shown(&self, sign: Sign) -> u64 {
        match sign {
            Sign::Count(name) => self.counted(name),
            Sign::Lost => u64::from(self.state() == HealthState::Lost),
        }
    }

    pub fn has_frame_after(&self, since: Stamp) -> bool {
        self.seen().frames.last().is_some_and(|&(_, at, _)| at > since)
    }

    pub fn settle(&self) {
        let began = now();
        let settled = self.until(began, |drive| drive.state() != HealthState::Lost && drive.has_frame_after(began));
        assert!(settled < 6000.0, "no frames: {:?}", self.board.sources(now()));
    }
}

impl Seen {
    pub fn see(&mut self, event: Event) {
        match event {
            Event::Frame(frame) => {
                self.frames.push((frame.stamp, now(), std::mem::take(&mut self.lost_before)));
                if self.held.len() == self.hold && self.hold > 0 {
                    self.held.rotate_left(1);
                    self.held.pop();
                }
                if self.hold > 0 {
                    self.held.push(frame.image);
                }
            }
            Event::Lost { stamp, frames } => {
                self.lost.push((stamp, frames));
                self.lost_before += frames;
            }
            _ => {}
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let stopping = now();
        drop(self.camera.take());
        let took_ms = ms_since(stopping);
        self.stop.store(true, Ordering::Relaxed);
        self.consumer.take().expect("once").join().expect("the consumer does not panic");
        assert!(took_ms < 200.0, "the camera took {took_ms:.0} ms to stop");
    }
}

/// Sets one of vivid's controls, and lets go of the device again.
pub fn set(name: &str, value: i64) {
    let path = first_node();
    let device = Device::open(&path).expect("vivid is there");
    let control = device.control_named(name).unwrap_or_else(|| panic!("vivid has no {name}: {:?}", names(&device)));
    device.set_control(&control, value).unwrap_or_else(|failure| panic!("{name} = {value}: {failure}"));
}

pub fn names(device: &Device) -> Vec<String> {
    device.controls().into_iter().map(|control| control.name).collect()
}

pub fn first_node() -> PathBuf {
    (0..8).map(|number| PathBuf::from(format!("/dev/video{number}"))).find(|path| path.exists()).expect("a camera")
}

/// What a fault is seen by on the health board.
#[derive(Clone, Copy)]
pub enum Sign {
    /// A count that goes up, and that the camera is not ok.
    Count(&'static str),
    /// That it is lost.
    Lost,
}

impl Sign {
    /// Within which it is to be shown, ms.
    pub fn within_ms(self) -> f64 {
        match self {
            // Of frames that are dropped by chance, one in two, hardly ten in a row are spared.
            Self::Count("lost") => 10.0 * PERIOD_MS,
            _ => SEEN_MS,
        }
    }
}
