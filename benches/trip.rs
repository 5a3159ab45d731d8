//! Trip write and read: three seconds of 1280x720 at 30 fps as a car records it, against a plain copy of the same bytes.
//!
//! A frame is a JPEG-sized blob, a mask as networks make them, and 30 CAN frames. Each case checks its answer.

mod support;

use segfuse::data::{
    CanFrame, CanId, Event, Frame, FrameId, Image, LabelMask, Origin, Perception, Size, SourceStamp, Stamp,
};
use segfuse::trip::{Compression, Config, Perceptions, Range, TripMetadata, TripReader, TripWriter};
use std::path::Path;
use support::Bench;

const SIZE: Size = Size::new(1280, 720);
const FRAMES: u64 = 90;
const JPEG_BYTES: usize = 200_000;
const CAN_PER_FRAME: u64 = 30;

fn main() {
    let folder = std::env::temp_dir().join(format!("segfuse-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let frames: Vec<_> = (0..FRAMES).map(recorded).collect();
    let mut bench = Bench::start("trip");
    let plain = copy_plainly(&folder, &frames) as usize;
    bench.case("trip/copy/90x1280x720", 2 * plain, || _ = copy_plainly(&folder, &frames), || Ok(()));
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let path = folder.join("trip.mcap");
        let name = format!("{compression:?}").to_lowercase();
        let moved = plain + write_trip(&path, compression, &frames) as usize;
        let write = || _ = write_trip(&path, compression, &frames);
        bench.case(&format!("trip/write-{name}/90x1280x720"), moved, write, || same_masks(&path, &frames));
        write_trip(&path, compression, &frames);
        let read = || _ = read_trip(&path);
        bench.case(&format!("trip/read-{name}/90x1280x720"), moved, read, || same_masks(&path, &frames));
    }
    bench.finish();
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

/// Whether the masks that are read are those that were written.
fn same_masks(path: &Path, frames: &[Recorded]) -> Result<(), String> {
    let masks = Perceptions::open(path, Range::default()).map_err(|error| error.to_string())?;
    for (read, (_, written)) in masks.zip(frames) {
        let read = read.map_err(|error| error.to_string())?;
        if read.mask != written.mask {
            return Err(format!("another mask at {}", written.stamp));
        }
    }
    Ok(())
}

type Recorded = (Vec<Event>, Perception);

fn recorded(number: u64) -> Recorded {
    let stamp = Stamp::from_ns(1_000_000_000 + number * 33_333_333);
    let frame = Frame {
        id: FrameId(number),
        sequence: None,
        stamp,
        arrival: stamp.offset_ns(10_000_000),
        image: image(number),
    };
    let mut events: Vec<_> =
        (0..CAN_PER_FRAME).map(|n| Event::Can(can(stamp.offset_ns(n as i64 * 300_000), n))).collect();
    events.push(Event::Frame(frame));
    let mask = LabelMask::new(SIZE, labels(number).into()).expect("one label a pixel");
    (
        events,
        Perception {
            frame: FrameId(number),
            stamp,
            origin: Origin::Key,
            mask,
            age: None,
            confidence: None,
            disagreement: None,
            late: None,
        },
    )
}

/// A grey JPEG file with bytes that do not compress behind its end, as long as a camera's are.
fn image(number: u64) -> Image {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let grey = image::GrayImage::from_pixel(SIZE.width, SIZE.height, image::Luma([90]));
    grey.write_to(&mut file, image::ImageFormat::Jpeg).expect("memory");
    let mut bytes = file.into_inner();
    bytes.extend((bytes.len()..JPEG_BYTES).map(|_| next()));
    Image::jpeg(SIZE, bytes.into()).expect("not empty")
}

/// Regions with slanted, moving borders.
fn labels(number: u64) -> Vec<u8> {
    let label = |x: u64, y: u64| ((x + y / 3 + number * 4) / 160 + y / 90) % 19;
    (0..720).flat_map(|y| (0..1280).map(move |x| label(x, y) as u8)).collect()
}

fn can(arrival: Stamp, n: u64) -> CanFrame {
    let id = CanId::Standard(0x100 + n as u16);
    CanFrame::new(0, id, SourceStamp::realtime(arrival.ns() as i64), arrival, &n.to_le_bytes()).expect("eight bytes")
}

fn write_trip(path: &Path, compression: Compression, frames: &[Recorded]) -> u64 {
    let config = Config { compression, ..Config::default() };
    let mut writer = TripWriter::create(path, &TripMetadata::default(), &config).expect("writable");
    for (events, perception) in frames {
        for event in events {
            writer.write_event(event).expect("room");
        }
        let arrival = perception.stamp.offset_ns(10_000_000);
        writer.write_perception(arrival, perception).expect("room");
    }
    let summary = writer.finish().expect("room");
    assert_eq!(summary.messages.values().sum::<u64>(), FRAMES * (CAN_PER_FRAME + 3));
    summary.bytes
}

fn read_trip(path: &Path) -> u64 {
    let mut reader = TripReader::open(path, Range::default()).expect("a whole trip");
    let events = std::iter::from_fn(|| reader.next_event().expect("a whole trip")).count() as u64;
    let masks =
        Perceptions::open(path, Range::default()).expect("a whole trip").inspect(|mask| assert!(mask.is_ok())).count()
            as u64;
    assert_eq!((events, masks), (FRAMES * (CAN_PER_FRAME + 1), FRAMES));
    path.metadata().expect("written").len()
}

/// The same bytes into one file, in order, as fast as the system takes them.
fn copy_plainly(folder: &Path, frames: &[Recorded]) -> u64 {
    use std::io::Write;
    let path = folder.join("copy");
    let mut file = std::fs::File::create(&path).expect("writable");
    for (events, perception) in frames {
        let images = events.iter().filter_map(|event| match event {
            Event::Frame(frame) => Some(&frame.image),
            _ => None,
        });
        images.for_each(|image| file.write_all(image.bytes()).expect("room"));
        file.write_all(perception.mask.labels()).expect("room");
    }
    file.sync_data().expect("room");
    path.metadata().expect("written").len()
}
