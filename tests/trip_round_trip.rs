//! What goes into a trip comes out of it, the same bytes and the same order.

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{config, metadata, step, write};
use segfuse::data::{Event, Frame, FrameId, Image, Perception, PixelFormat, Size, Stamp};
use segfuse::sink::{Sink, SinkError};
use segfuse::source::Source;
use segfuse::trip::{
    Compression, Config, Lookup, Perceptions, Range, Recorder, TripReader, TripWriter, WhenFull, info,
};
use std::path::Path;
use std::time::Duration;

fn read(path: &Path, range: Range) -> Vec<Event> {
    let mut reader = TripReader::open(path, range).expect("a whole trip");
    std::iter::from_fn(|| reader.next().expect("a whole trip")).collect()
}

fn read_perceptions(path: &Path) -> Vec<Perception> {
    let perceptions = Perceptions::open(path, Range::default()).expect("a whole trip");
    perceptions.map(|perception| perception.expect("a whole trip")).collect()
}

#[test]
fn every_event_and_perception_comes_back_under_every_compression() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let path = folder.path().join("trip.mcap");
        let (events, perceptions) = write(&path, 30, &Config { compression, ..config() });
        assert!(read(&path, Range::default()) == events, "{compression:?}");
        assert!(read_perceptions(&path) == perceptions, "{compression:?}");
    }
}

#[test]
fn the_mcap_crate_finds_the_files_sums_spans_and_counts_to_be_what_is_in_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let path = folder.path().join("trip.mcap");
        write(&path, 30, &Config { compression, ..config() });
        let file = std::fs::read(&path).expect("written");
        // It holds each chunk against its own sum.
        let messages: Vec<_> =
            mcap::MessageStream::new(&file).expect("a file").collect::<Result<_, _>>().expect("whole");
        let summary = mcap::Summary::read(&file).expect("whole").expect("there is one");
        let stats = summary.stats.expect("they are written");
        let times = || messages.iter().map(|message| message.log_time);
        assert_eq!(Some(stats.message_start_time), times().min());
        assert_eq!(Some(stats.message_end_time), times().max());
        assert_eq!(
            (stats.message_count, stats.channel_message_counts.values().sum()),
            (messages.len() as u64, messages.len() as u64)
        );
        assert_eq!(stats.chunk_count as usize, summary.chunk_indexes.len());
        // The end of the data: opcode 0x0f, its length of 4, and the sum over all bytes before.
        let end = file.windows(9).rposition(|bytes| bytes == [0x0f, 4, 0, 0, 0, 0, 0, 0, 0]).expect("the data's end");
        let told = u32::from_le_bytes(file[end + 9..end + 13].try_into().expect("4 bytes"));
        assert_eq!(told, crc32fast::hash(&file[..end]), "{compression:?}");
    }
}

#[test]
fn a_live_frame_keeps_its_drivers_number_wherever_chunks_and_ranges_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let frames: Vec<Event> = (0..20)
        .map(|id: u64| {
            let (stamp, arrival) = (Stamp::from_ns(id * 33_000_000), Stamp::from_ns(id * 33_000_000 + 9_000_000));
            let image = Image::packed(PixelFormat::Grey, Size::new(64, 32), vec![id as u8; 2048].into()).expect("2048");
            // Past 2^32 it goes on from 0; every fifth frame has none.
            let sequence = (id % 5 != 4).then(|| (u32::MAX - 9).wrapping_add(id as u32));
            Event::Frame(Frame { id: FrameId(id), sequence, stamp, arrival, image })
        })
        .collect();
    for chunk_span_ms in [1, 40, 1000] {
        let config = Config { chunk_span_ms, ..Config::default() };
        let mut writer = TripWriter::create(&path, &metadata(), &config).expect("a temporary folder is writable");
        for frame in &frames {
            writer.write_event(frame).expect("small");
        }
        assert_eq!(writer.finish().expect("room").messages["/camera/sequence"], 16);
        assert!(read(&path, Range::default()) == frames, "chunks of {chunk_span_ms} ms");
        let range = Range { from: Some(Duration::from_millis(165)), until: Some(Duration::from_millis(330)) };
        assert!(read(&path, range) == frames[5..=10], "chunks of {chunk_span_ms} ms");
    }
}

#[test]
fn the_file_says_what_it_holds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    write(&path, 30, &config());
    let reader = TripReader::open(&path, Range::default()).expect("a whole trip");
    assert_eq!(reader.metadata(), &metadata());
    assert_eq!((reader.frames(), reader.frame_count(), reader.masks()), (Some(30), 30, 30));
    assert!(reader.is_complete());
    let info = info(&path).expect("a whole trip");
    assert!(info.condition.complete, "{:?}", info.condition);
    assert_eq!((info.frames, info.lost_frames, info.frame_gaps), (30, 6, 0));
    assert_eq!(info.quantities.get("speed"), Some(&30));
    let rate = info.images.as_ref().expect("it has a camera").rate_hz;
    assert!((rate - 30.0).abs() < 1e-3, "{rate}");
    assert!(info.to_string().contains("/vehicle/can"), "{info}");
    serde_json::to_string(&info).expect("plain values");
}

#[test]
fn a_range_leaves_out_frames_by_their_stamps_and_all_else_by_its_arrival() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let (events, _) = write(&path, 60, &config());
    let (from, until) = (Duration::from_millis(400), Duration::from_millis(900));
    let at = |event: &Event| match event {
        Event::Frame(frame) => frame.stamp,
        other => other.arrival(),
    };
    let zero = events.iter().find(|event| matches!(event, Event::Frame(_))).map(at).expect("a frame");
    let is_inside = |event: &Event| (zero.after(from)..=zero.after(until)).contains(&at(event));
    let expected: Vec<_> = events.into_iter().filter(is_inside).collect();
    assert!(expected.len() > 50);
    assert!(read(&path, Range { from: Some(from), until: Some(until) }) == expected);
}

#[test]
fn a_range_takes_a_frame_with_its_labels_and_its_mask_at_both_ends() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let (events, _) = write(&path, 60, &config());
    let start = events[0].arrival();
    let mut inside = 0;
    for ms in (200..240).chain(1000..1040) {
        let range = Range { from: Some(Duration::from_millis(ms)), until: Some(Duration::from_millis(ms + 300)) };
        let read = read(&path, range);
        let frames: Vec<_> =
            read.iter().filter_map(|e| if let Event::Frame(f) = e { Some(f.stamp) } else { None }).collect();
        let truths: Vec<_> =
            read.iter().filter_map(|e| if let Event::Truth(t) = e { Some(t.stamp) } else { None }).collect();
        let perceptions = Perceptions::open(&path, range).expect("a whole trip");
        let masks: Vec<_> = perceptions.map(|perception| perception.expect("whole").stamp).collect();
        assert_eq!((&frames, &frames), (&truths, &masks), "from {ms} ms after {start}");
        inside += frames.len();
    }
    assert!(inside > 80 * 8, "{inside} frames");
}

#[test]
fn a_trip_of_several_picture_sizes_tells_all_of_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let mut writer = TripWriter::create(&path, &metadata(), &config()).expect("writable");
    for number in 0..100_u64 {
        let size = if number < 60 { Size::new(8, 6) } else { Size::new(10 + number as u32, 6) };
        let image = Image::packed(PixelFormat::Grey, size, vec![0; size.pixels()].into()).expect("exact");
        // A pause in the middle: a median interval would not see it.
        let stamp = Stamp::from_ns((number + if number < 50 { 0 } else { 99 }) * 100_000_000);
        writer
            .write_event(&Event::Frame(Frame { id: FrameId(number), sequence: None, stamp, arrival: stamp, image }))
            .expect("small");
    }
    writer.finish().expect("room");
    let info = info(&path).expect("a whole trip");
    let images = info.images.as_ref().expect("a camera");
    assert_eq!((images.width, images.kinds.len(), images.kinds[0].frames), (8, 16, 60));
    assert!(
        info.to_string().contains("60 of 8x6 grey, 1 of 70x6 grey") && info.to_string().contains("25 of other sizes"),
        "{info}"
    );
    let topic = info.topics.iter().find(|topic| topic.topic == "/camera/image").expect("the camera's topic");
    assert_eq!((images.rate_hz, topic.rate_hz), (5.0, Some(5.0)), "99 intervals in 19.8 s");
}

#[test]
fn messages_of_overlapping_chunks_come_in_order_of_log_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let mut writer = TripWriter::create(&path, &metadata(), &config()).expect("writable");
    let late_and_early = [5_u64, 9, 1, 7, 2, 8, 0, 3, 6, 4];
    for &ms in &late_and_early {
        writer.write_event(&Event::Tick(Stamp::from_ns(ms * 1_000_000))).expect("small");
        if ms % 2 == 0 {
            writer.flush().expect("room");
        }
    }
    writer.finish().expect("room");
    let order: Vec<_> = read(&path, Range::default()).iter().map(|event| event.arrival().ns() / 1_000_000).collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[test]
fn frames_and_truth_are_found_by_their_stamp() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    write(&path, 40, &config());
    let mut lookup = Lookup::open(&path).expect("a whole trip");
    assert_eq!(lookup.truth_stamps().count(), 40);
    for number in [39, 0, 17, 16, 17] {
        let (events, aligned, _) = step(number);
        let Event::Truth(truth) = &events[0] else { panic!("a step begins with its truth") };
        assert_eq!(lookup.frame(aligned.frame.stamp).expect("readable"), Some(aligned.frame.clone()));
        assert_eq!(lookup.truth(truth.stamp).expect("readable").as_ref(), Some(truth));
    }
    assert_eq!(lookup.frame(Stamp::from_ns(1)).expect("readable"), None);
}

fn record(path: &Path, config: &Config, frames: u64) -> (segfuse::trip::RecordingReport, u64) {
    let mut recorder = Recorder::start(path, &metadata(), config).expect("writable");
    let handle = recorder.handle();
    let mut refused = 0;
    for (events, frame, perception) in (0..frames).map(step) {
        let mut taken: Vec<_> = events.iter().map(|event| recorder.on_event(event)).collect();
        taken.push(recorder.on_perception(&frame, &perception));
        refused += taken.iter().filter(|taken| matches!(taken, Err(SinkError::Dropped { .. }))).count() as u64;
    }
    let _ = recorder.finish();
    (handle.report(), refused)
}

#[test]
fn a_recorder_that_waits_loses_nothing_even_with_the_smallest_queue() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let narrow = Config { queue_items: 1, queue_bytes: 1, when_full: WhenFull::Wait, ..config() };
    let (report, refused) = record(&path, &narrow, 30);
    assert!(refused == 0 && report.dropped.is_empty() && report.failure.is_none(), "{report:?}");
    let direct = folder.path().join("direct.mcap");
    let (events, perceptions) = write(&direct, 30, &config());
    assert!(read(&path, Range::default()) == events && read_perceptions(&path) == perceptions);
    assert_eq!(std::fs::read(&path).expect("written"), std::fs::read(&direct).expect("written"), "bit for bit");
}

#[test]
fn a_recorder_that_drops_counts_every_item() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let narrow = Config { queue_items: 2, compression: Compression::Zstd, ..config() };
    let (report, refused) = record(&path, &narrow, 200);
    let (events, perceptions) = (read(&path, Range::default()).len(), read_perceptions(&path).len());
    let offered = (0..200).map(|number| step(number).0.len() + 1).sum::<usize>();
    assert_eq!(report.dropped.values().sum::<u64>(), refused);
    assert_eq!(offered, events + perceptions + refused as usize);
    assert_eq!(info(&path).expect("readable").dropped, report.dropped, "the file tells it too");
}

#[test]
fn a_full_disk_is_told_and_counted_and_stops_nothing() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        eprintln!("SKIPPED: a_full_disk_is_told_and_counted_and_stops_nothing: no /dev/full");
        return;
    }
    match Recorder::start(full, &metadata(), &config()) {
        Err(error) => assert!(error.to_string().contains("/dev/full"), "{error}"),
        Ok(recorder) => {
            drop(recorder);
            panic!("a full disk took the beginning of a trip");
        }
    }
}

/// Run by the next test in a process of its own, whose files may not grow past 256 KiB.
#[test]
#[ignore = "the other half of a_disk_that_fills_up_ends_the_recording_and_nothing_else"]
fn child_that_records_onto_a_disk_that_fills_up() {
    let Some(path) = std::env::var_os("SEGFUSE_TEST_TRIP") else { return };
    let (report, refused) = record(path.as_ref(), &Config { when_full: WhenFull::Wait, ..config() }, 100);
    let offered = (0..100).map(|number| step(number).0.len() as u64 + 1).sum::<u64>();
    let dropped = report.dropped.values().sum::<u64>();
    assert!(report.failure.is_some() && report.summary.is_none(), "{report:?}");
    assert!(dropped > offered / 4 && dropped < offered && refused <= dropped, "{dropped} of {offered}");
}

#[test]
fn a_disk_that_fills_up_ends_the_recording_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let test = std::env::current_exe().expect("this test");
    let child = std::process::Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 512; exec \"$0\" --ignored --exact child_that_records_onto_a_disk_that_fills_up",
        ])
        .arg(test)
        .env("SEGFUSE_TEST_TRIP", &path)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    let mut reader = TripReader::open(&path, Range::default()).expect("what was written stays readable");
    assert!(!reader.is_complete() && reader.next().is_ok_and(|event| event.is_some()));
}

#[test]
fn the_mask_hash_of_a_trip_depends_on_every_mask_and_on_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hash = |name: &str, frames: u64, compression| {
        let path = folder.path().join(name);
        write(&path, frames, &Config { compression, ..config() });
        info(&path).expect("readable").mask_hash.expect("it has masks")
    };
    let reference = hash("a", 10, Compression::Zstd);
    assert_eq!(hash("b", 10, Compression::None), reference);
    assert_ne!(hash("c", 11, Compression::None), reference);
    let path = folder.path().join("d");
    let mut writer = TripWriter::create(&path, &metadata(), &config()).expect("writable");
    for (number, (_, frame, mut perception)) in (0..).zip((0..10).map(step)) {
        if number == 4 {
            perception.mask = step(40).2.mask;
        }
        writer.write_perception(frame.frame.arrival, &perception).expect("small");
    }
    writer.finish().expect("room");
    let changed = info(&path).expect("readable").mask_hash;
    assert!(changed.is_some_and(|changed| changed != reference), "one mask of ten is another");
}
