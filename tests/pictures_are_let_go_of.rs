//! Once a frame is answered nobody holds its picture: a camera gets its buffer back, and one that is gone is let go of.

#[path = "support/networks.rs"]
mod tiny_networks;

use segfuse::align::{self, Aligner};
use segfuse::data::{AlignedFrame, Event, Image, Perception, PixelFormat, SharedBytes, Size, Stamp};
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::{Network, PlainOptions};
use segfuse::perceive::{Lateness, Perceiver};
use segfuse::pipeline::Pipeline;
use segfuse::sink::{Sink, SinkError};
use segfuse::source::inbox::{Inbox, Intake};
use segfuse::source::{Source, SourceError};
use std::sync::{Arc, Weak};
use tiny_networks::{networks, shifted_picture};

const SIZE: Size = Size::new(96, 64);
const FRAMES: u64 = 12;

/// A camera's buffer, as it is lent.
struct Buffer(Vec<u8>);

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A camera that gives its next picture when it is asked, and looks what became of those before.
struct Camera {
    inbox: Inbox,
    intake: Option<Intake>,
    lent: Vec<Weak<Buffer>>,
    /// Pictures that were held when nothing waited to be answered any more.
    held: Vec<usize>,
}

impl Source for Camera {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        let number = self.lent.len() as u64;
        self.held.push(self.lent.iter().filter(|buffer| buffer.strong_count() > 0).count());
        if number == FRAMES {
            self.intake = None;
        }
        if let Some(intake) = &self.intake {
            let picture = shifted_picture(SIZE, 2.0 * number as f32);
            let buffer = Arc::new(Buffer(picture.bytes().to_vec()));
            self.lent.push(Arc::downgrade(&buffer));
            let bytes = SharedBytes::from_owner(buffer);
            let image = Image::new(PixelFormat::Rgb8, SIZE, picture.stride(), bytes).expect("as the picture was");
            intake.frame(Stamp::from_ns(number * 33_000_000), None, image);
        }
        self.inbox.next()
    }
}

/// Counts masks.
#[derive(Default)]
struct Masks(u64);

impl Sink for Masks {
    fn on_perception(&mut self, _: &AlignedFrame, _: &Perception) -> Result<(), SinkError> {
        self.0 += 1;
        Ok(())
    }
}

#[test]
fn an_answered_frame_is_held_by_nobody_with_any_schedule() {
    let network = Network::from_onnx(&networks().join("plain.onnx"), &PlainOptions::default()).expect("it is right");
    for schedule in ["every:1", "every:4", "adaptive:5%:6", "overlapped:4:2"] {
        let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
        let engine = CpuEngine::new(&network, &config).expect("rten is built in");
        let perceive = segfuse::perceive::Config { schedule: schedule.parse().expect("one"), ..Default::default() };
        let mut perceiver = Perceiver::new(engine, perceive).with_lateness(Lateness::Allowed);
        let (inbox, intake) = Inbox::new(Arc::new(|| Stamp::from_ns(FRAMES * 33_000_000)));
        let mut camera = Camera { inbox, intake: Some(intake), lent: Vec::new(), held: Vec::new() };
        let mut masks = Masks::default();
        let aligner = Aligner::new(align::Config { max_wait_ms: 0, ..align::Config::default() });
        let (_, ended) = Pipeline::new(aligner, &mut perceiver, vec![&mut masks]).run(&mut camera, &|| false);
        ended.expect("nothing fails");
        assert_eq!(masks.0, FRAMES, "{schedule}");
        assert!(camera.held.iter().all(|&held| held == 0), "{schedule}: {:?}", camera.held);
    }
}
