//! What a damaged trip has lost is counted, wherever it is looked at: info, replay, recover, export.

mod support;

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{config, write};
use segfuse::data::Event;
use segfuse::trip::{Range, TripReader, info, recover};
use std::path::Path;

const FRAMES: u64 = 60;

/// Place of chunk `number` and the camera frames and messages in it, as the `mcap` crate's own reader sees them.
fn chunk(bytes: &[u8], number: usize) -> (usize, usize, u64, u64) {
    let summary = mcap::Summary::read(bytes).expect("a whole file").expect("it has a summary");
    let mut indexes = summary.chunk_indexes.clone();
    indexes.sort_by_key(|index| index.chunk_start_offset);
    let index = &indexes[number];
    let messages = summary.stream_chunk(bytes, index).expect("a whole chunk").map(|message| message.expect("whole"));
    let topics: Vec<_> = messages.map(|message| message.channel.topic.clone()).collect();
    let frames = topics.iter().filter(|topic| *topic == "/camera/image").count() as u64;
    let start = index.chunk_start_offset as usize;
    (start, start + index.chunk_length as usize, frames, topics.len() as u64)
}

/// Frames read, frames told as lost by events and by the reader's account, and its uncounted parts.
fn read(path: &Path) -> (u64, u64, u64, u64) {
    let mut reader = TripReader::open(path, Range::default()).expect("it opens");
    let (mut frames, mut lost, mut before) = (0, 0, None);
    loop {
        match reader.next_event() {
            Ok(Some(Event::Frame(_))) => frames += 1,
            Ok(Some(event)) => {
                assert!(before <= Some(event.arrival()), "events come in order");
                before = Some(event.arrival());
                if let Event::Lost { frames, .. } = event {
                    lost += u64::from(frames);
                }
            }
            Ok(None) => break,
            Err(error) => assert!(error.is_skippable(), "{error}"),
        }
    }
    (frames, lost, reader.losses().frames, reader.losses().uncounted)
}

/// Frames that the sample's camera lost by its own account: two at every tenth frame that is read.
fn lost_by_camera(path: &Path) -> u64 {
    info(path).expect("readable").lost_frames
}

/// A way to damage a chunk: `(file, chunk's start, chunk's end)`.
type Damage = fn(&mut Vec<u8>, usize, usize);

#[test]
fn frames_in_a_damaged_chunk_are_counted_however_it_is_damaged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, mended) = (folder.path().join("trip"), folder.path().join("mended"));
    write(&path, FRAMES, &config());
    let whole = std::fs::read(&path).expect("written");
    let flip: Damage = |bytes, start, end| bytes[usize::midpoint(start, end)] ^= 0x10;
    let wipe: Damage = |bytes, start, end| bytes[start + 60..end + 40].fill(0);
    let flip_and_cut: Damage = |bytes, start, end| {
        bytes[usize::midpoint(start, end)] ^= 0x10;
        bytes.truncate(bytes.len() - 100);
    };
    let length_and_cut: Damage = |bytes, start, _| {
        bytes[start + 6] = 0x7f;
        bytes.truncate(bytes.len() - 100);
    };
    let last = mcap::Summary::read(&whole).expect("whole").expect("summary").chunk_indexes.len() - 1;
    let mut faults = Vec::new();
    for (what, damage, number, by_recovery) in [
        ("a flipped byte", flip, 5, true),
        ("a flipped byte in the first chunk", flip, 0, true),
        ("a flipped byte in the last chunk", flip, last, true),
        ("a chunk wiped together with its index", wipe, 5, true),
        ("the last chunk wiped together with its index", wipe, last, true),
        ("a flipped byte without a summary", flip_and_cut, 5, true),
        ("a broken length without a summary", length_and_cut, 5, false),
    ] {
        let (start, end, frames, messages) = chunk(&whole, number);
        assert!(frames > 0, "{what}");
        let mut bytes = whole.clone();
        damage(&mut bytes, start, end);
        std::fs::write(&path, &bytes).expect("room");
        let (seen, told, counted, _) = read(&path);
        let camera = lost_by_camera(&path);
        if (seen, told, counted) != (FRAMES - frames, frames + camera, frames) {
            faults.push(format!("{what}: {seen} frames, {told} told lost ({camera} by the camera), {counted} counted; {frames} are damaged"));
        }
        let info = info(&path).expect("readable");
        let condition = &info.condition;
        if (info.frames, condition.damaged_frames) != (FRAMES - frames, frames) || condition.damaged_bytes == 0 {
            faults.push(format!("{what}: info says {} frames and {condition:?}", info.frames));
        }
        let report = recover(&path, &mended).expect("the other chunks are whole");
        let of_recovery = report.messages_lost.values().sum::<u64>();
        let expected = if by_recovery { (frames, messages, 0) } else { (0, 0, 1) };
        if (report.frames_lost, of_recovery, report.uncounted) != expected {
            faults.push(format!("{what}: recovery says {report}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
