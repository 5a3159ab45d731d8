//! A trip that was cut or damaged anywhere is read as far as its chunks are whole, and says so.

#[path = "support/sample_trip.rs"]
mod sample_trip;

use proptest::prelude::*;
use sample_trip::{config, metadata, step, write};
use segfuse::data::Event;
use segfuse::trip::{
    Compression, Config, Perceptions, Range, TripError, TripMetadata, TripReader, TripWriter, info, recover,
};
use std::path::Path;
use std::process::{Command, Stdio};

/// A chunk as the `mcap` crate's own reader sees it.
struct Chunk {
    start: usize,
    end: usize,
    /// Messages up to its end.
    messages: usize,
}

fn chunks(bytes: &[u8]) -> Vec<Chunk> {
    let summary = mcap::Summary::read(bytes).expect("a whole file").expect("it has a summary");
    let mut indexes = summary.chunk_indexes.clone();
    indexes.sort_by_key(|index| index.chunk_start_offset);
    let mut messages = 0;
    let mut chunk = |index: &mcap::records::ChunkIndex| {
        messages += summary.stream_chunk(bytes, index).expect("a whole chunk").count();
        let start = index.chunk_start_offset as usize;
        Chunk { start, end: start + index.chunk_length as usize, messages }
    };
    indexes.iter().map(&mut chunk).collect()
}

/// Events and messages of perceptions that can be read, and how many errors came between them.
fn read_all(path: &Path) -> Result<(Vec<Event>, usize), TripError> {
    let mut reader = TripReader::open(path, Range::default())?;
    let (mut events, mut errors) = (Vec::new(), 0);
    loop {
        match reader.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return Ok((events, errors)),
            Err(error) if error.is_skippable() => errors += 1,
            Err(error) => return Err(error),
        }
    }
}

fn read_everything_without_panic(path: &Path) {
    let _ = read_all(path);
    let _ = info(path).map(|info| info.to_string());
    if let Ok(perceptions) = Perceptions::open(path, Range::default()) {
        let _ = perceptions.take(10_000).count();
    }
}

#[test]
fn a_trip_cut_at_any_of_200_bytes_opens_up_to_its_last_complete_chunk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, cut, mended) = (folder.path().join("whole"), folder.path().join("cut"), folder.path().join("mended"));
    let (events, _) = write(&whole, 60, &config());
    let bytes = std::fs::read(&whole).expect("written");
    let chunks = chunks(&bytes);
    assert!(chunks.len() > 10, "{} chunks", chunks.len());
    let mut failures = Vec::new();
    for at in cuts(bytes.len(), 200) {
        std::fs::write(&cut, &bytes[..at]).expect("room");
        let kept = chunks.iter().rev().find(|chunk| chunk.end <= at).map_or(0, |chunk| chunk.messages);
        let inside = chunks.iter().find(|chunk| (chunk.start + 1..chunk.end).contains(&at));
        let expected = Expected { kept, lost: inside.map(|chunk| (at - chunk.start) as u64) };
        if let Err(reason) = check_cut(&cut, &mended, &expected, &events) {
            failures.push(format!("cut at {at} of {}: {reason}", bytes.len()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// 200 places spread by a fixed seed, and the ends.
fn cuts(len: usize, count: u64) -> impl Iterator<Item = usize> {
    let place = move |seed| {
        let bytes: [u8; 8] = sample_trip::noise(seed + 77, 8).try_into().expect("eight bytes");
        (u64::from_le_bytes(bytes) % len as u64) as usize
    };
    (0..count).map(place).chain([0, 1, 8, len - 1])
}

struct Expected {
    kept: usize,
    /// Bytes lost, for a cut inside a chunk.
    lost: Option<u64>,
}

fn check_cut(cut: &Path, mended: &Path, expected: &Expected, events: &[Event]) -> Result<(), String> {
    let opened = read_all(cut);
    let recovered = recover(cut, mended);
    if expected.kept == 0 {
        return match (opened, recovered) {
            (Ok((read, _)), Err(TripError::Unrecoverable { .. })) if read.is_empty() => Ok(()),
            (Err(TripError::NotATrip { .. }), Err(TripError::NotATrip { .. })) => Ok(()),
            (opened, recovered) => Err(format!("nothing is whole, but {opened:?} and {recovered:?}")),
        };
    }
    let (read, errors) = opened.map_err(|error| error.to_string())?;
    let report = recovered.map_err(|error| error.to_string())?;
    let info = info(mended).map_err(|error| error.to_string())?;
    let masks =
        report.messages.iter().filter(|(topic, _)| topic.starts_with("/perception")).map(|(_, n)| n).sum::<u64>();
    let (mended_events, _) = read_all(mended).map_err(|error| error.to_string())?;
    let sound = errors == 0
        && read == events[..read.len()]
        && read.len() + masks as usize == expected.kept
        && report.messages.values().sum::<u64>() as usize == expected.kept
        && expected.lost.is_none_or(|lost| report.bytes_lost == lost && report.lost.len() == 1 && !report.was_finished)
        && info.condition.complete
        && mended_events == read;
    let (kept, lost) = (expected.kept, expected.lost);
    if sound {
        Ok(())
    } else {
        Err(format!("expected {kept} messages, {lost:?} lost, got {} events, {report:?}", read.len()))
    }
}

#[test]
fn a_flipped_byte_in_a_chunk_is_told_and_costs_that_chunk_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, mended) = (folder.path().join("trip"), folder.path().join("mended"));
    let (events, _) = write(&path, 60, &config());
    let bytes = std::fs::read(&path).expect("written");
    let chunk = &chunks(&bytes)[5];
    let mut broken = bytes.clone();
    broken[usize::midpoint(chunk.start, chunk.end)] ^= 0x10;
    std::fs::write(&path, &broken).expect("room");
    let (read, errors) = read_all(&path).expect("the summary is whole");
    assert_eq!(errors, 1);
    assert!(read.len() < events.len() && read.len() > events.len() / 2);
    // What was in the chunk is told as lost on the way; the mended trip begins with what is left.
    let kept: Vec<_> = read.into_iter().filter(|event| events.contains(event)).collect();
    let report = recover(&path, &mended).expect("the other chunks are whole");
    assert_eq!(report.lost.len(), 1, "{report}");
    assert!(report.lost[0].after_s.is_some() && report.lost[0].before_s > report.lost[0].after_s, "{report}");
    assert!(report.to_string().contains("between"), "{report}");
    assert!(!info(&path).expect("readable").condition.complete);
    assert_eq!(read_all(&mended).expect("whole").0, kept);
}

#[test]
fn a_recovered_trip_still_says_what_was_lost_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, mended, again) = (folder.path().join("t"), folder.path().join("mended"), folder.path().join("again"));
    write(&path, 60, &config());
    let whole = std::fs::read(&path).expect("written");
    let all = chunks(&whole);
    let (chunk, last) = (&all[5], all.last().expect("chunks"));
    for cut in [false, true] {
        let mut broken = whole.clone();
        broken[usize::midpoint(chunk.start, chunk.end)] ^= 0x10;
        broken.truncate(if cut { last.end } else { whole.len() });
        std::fs::write(&path, &broken).expect("room");
        let report = recover(&path, &mended).expect("the other chunks are whole");
        let told = info(&mended).expect("whole").made_from.expect("it says so");
        let messages = report.messages_lost.values().sum::<u64>();
        assert!(report.frames_lost > 0 && messages > report.frames_lost, "{report}");
        assert_eq!((told.finished, told.lost_frames, told.lost_messages), (!cut, report.frames_lost, messages));
        let reader = TripReader::open(&mended, Range::default()).expect("whole");
        assert_eq!(reader.condition(), told, "runs of it say so as well");
        // What is recovered once more has lost no more.
        recover(&mended, &again).expect("whole");
        assert_eq!(info(&again).expect("whole").made_from, Some(told));
    }
    std::fs::write(&path, &whole).expect("room");
    recover(&path, &mended).expect("whole");
    assert!(info(&mended).expect("whole").made_from.is_none_or(|condition| condition.is_whole()));
}

#[test]
fn a_topic_whose_description_is_lost_costs_no_other_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, mended) = (folder.path().join("trip"), folder.path().join("mended"));
    let mut writer = TripWriter::create(&path, &metadata(), &config()).expect("a temporary folder is writable");
    let mut frames = 0;
    for (events, frame, mut perception) in (0..30).map(step) {
        // Nothing is late before the tenth frame, which has a chunk of its own.
        perception.late = (perception.frame.0 >= 10).then_some(perception.frame);
        if [10, 11].contains(&perception.frame.0) {
            writer.flush().expect("room");
        }
        for event in &events {
            writer.write_event(event).expect("small");
        }
        writer.write_perception(frame.frame.arrival, &perception).expect("small");
        frames += 1;
    }
    writer.finish().expect("room");
    let mut bytes = std::fs::read(&path).expect("written");
    let all = chunks(&bytes);
    let first_late = all.iter().position(|chunk| {
        let summary = mcap::Summary::read(&bytes).expect("whole").expect("a summary");
        let index = summary.chunk_indexes.iter().find(|index| index.chunk_start_offset as usize == chunk.start);
        let messages = summary.stream_chunk(&bytes, index.expect("of this chunk")).expect("whole");
        messages.flatten().any(|message| message.channel.topic == "/perception/late")
    });
    let chunk = &all[first_late.expect("late key frames are recorded")];
    bytes[usize::midpoint(chunk.start, chunk.end)] ^= 0x10;
    // Without the summary, which describes it once more.
    bytes.truncate(all.last().expect("chunks").end);
    std::fs::write(&path, &bytes).expect("room");
    let (events, _) = read_all(&path).expect("readable");
    let read = events.iter().filter(|event| matches!(event, Event::Frame(_))).count();
    assert_eq!(read, frames - 1, "all but the one in the damaged chunk");
    let report = recover(&path, &mended).expect("readable");
    assert_eq!(report.undescribed, 19, "{report}");
}

#[test]
fn what_keeps_no_message_is_no_recovered_trip() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, mended) = (folder.path().join("trip"), folder.path().join("mended"));
    write(&path, 60, &config());
    let mut bytes = std::fs::read(&path).expect("written");
    let all = chunks(&bytes);
    // Every topic is described in the first chunks, and by the summary.
    for chunk in &all[..4] {
        bytes[usize::midpoint(chunk.start, chunk.end)] ^= 0x10;
    }
    bytes.truncate(all.last().expect("chunks").end);
    std::fs::write(&path, &bytes).expect("room");
    let error = recover(&path, &mended).expect_err("nothing tells what the messages are").to_string();
    assert!(error.contains("messages are"), "{error}");
    assert!(!mended.exists(), "an empty file would pass for a whole one");
}

#[test]
fn a_broken_record_length_does_not_hide_the_chunks_behind_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, mended) = (folder.path().join("trip"), folder.path().join("mended"));
    write(&path, 60, &config());
    let mut bytes = std::fs::read(&path).expect("written");
    let chunks = chunks(&bytes);
    let total = chunks.last().expect("chunks").messages;
    bytes[chunks[5].start + 6] = 0x7f;
    bytes.truncate(bytes.len() - 100);
    std::fs::write(&path, &bytes).expect("room");
    let report = recover(&path, &mended).expect("the other chunks are whole");
    let kept = report.messages.values().sum::<u64>() as usize;
    assert_eq!(kept, total - (chunks[5].messages - chunks[4].messages), "{report}");
    assert!(report.bytes_lost > 0 && !report.lost.is_empty(), "{report}");
}

#[test]
fn recovery_never_writes_over_the_broken_file_and_refuses_what_is_no_trip() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip");
    write(&path, 5, &config());
    let before = std::fs::read(&path).expect("written");
    assert!(recover(&path, &path).is_err());
    assert_eq!(std::fs::read(&path).expect("still there"), before);
    std::fs::write(&path, "a text").expect("room");
    assert!(matches!(recover(&path, &folder.path().join("x")), Err(TripError::NotATrip { .. })));
    assert!(matches!(TripReader::open(&folder.path().join("absent"), Range::default()), Err(TripError::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn no_damage_makes_a_reader_panic(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("trip");
        let sample = SAMPLE.get_or_init(|| {
            unchecked(&folder.path().join("sample"))
        });
        let mut bytes = sample.clone();
        for (place, value) in flips {
            *place.get_mut(&mut bytes) = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(sample.len()));
        }
        std::fs::write(&path, &bytes).expect("room");
        read_everything_without_panic(&path);
        let _ = recover(&path, &folder.path().join("mended"));
    }

    #[test]
    fn no_bytes_behind_the_magic_make_a_reader_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("trip");
        std::fs::write(&path, [mcap::MAGIC, &tail].concat()).expect("room");
        read_everything_without_panic(&path);
    }
}

/// A small trip whose checksums are all switched off (0): what is inside chunks and summary reaches the parsers.
fn unchecked(path: &Path) -> Vec<u8> {
    let config = Config { compression: Compression::None, frames: false, masks: false, ..config() };
    let mut writer = TripWriter::create(path, &TripMetadata::default(), &config).expect("writable");
    for event in (0..2).flat_map(|number| step(number).0).filter(|event| !matches!(event, Event::Truth(_))) {
        writer.write_event(&event).expect("small");
    }
    writer.finish().expect("room");
    let mut bytes = std::fs::read(path).expect("written");
    for chunk in chunks(&bytes) {
        bytes[chunk.start + 33..chunk.start + 37].fill(0);
    }
    let end = bytes.len();
    bytes[end - 12..end - 8].fill(0);
    bytes
}

#[test]
fn no_single_byte_of_an_unchecked_trip_makes_a_reader_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip");
    let sample = unchecked(&path);
    // A record has nine bytes before its body: of each, a part of the places falls on its length.
    for place in (8..sample.len()).step_by(31) {
        let mut bytes = sample.clone();
        bytes[place] ^= 0xff;
        std::fs::write(&path, &bytes).expect("room");
        let _ = read_all(&path);
    }
    let _ = recover(&path, &folder.path().join("mended"));
}

/// Run by the next test in a process of its own, which is killed.
#[test]
#[ignore = "the other half of a_killed_process_leaves_every_complete_chunk"]
fn child_that_records_until_it_is_killed() {
    let Some(path) = std::env::var_os("SEGFUSE_TEST_TRIP") else { return };
    let mut writer = TripWriter::create(path.as_ref(), &metadata(), &config()).expect("writable");
    for (events, frame, perception) in (0..1_000_000).map(step) {
        for event in &events {
            writer.write_event(event).expect("room");
        }
        writer.write_perception(frame.frame.arrival, &perception).expect("room");
        // About real time: a million frames at once would fill the disk of a slow test.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn a_killed_process_leaves_every_complete_chunk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "child_that_records_until_it_is_killed"])
        .env("SEGFUSE_TEST_TRIP", &path)
        .stdout(Stdio::null())
        .spawn()
        .expect("this test runs");
    let written = || path.metadata().map_or(0, |metadata| metadata.len());
    let enough = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        written() > 500_000
    });
    child.kill().expect("it runs until it is killed");
    child.wait().expect("it was killed");
    assert!(enough, "only {} bytes were written", written());
    let (events, errors) = read_all(&path).expect("an unfinished trip opens");
    let expected: Vec<_> = (0..1000).flat_map(|number| step(number).0).take(events.len()).collect();
    assert!(errors == 0 && events.len() > 50 && events == expected, "{} events, {errors} errors", events.len());
    assert!(!TripReader::open(&path, Range::default()).expect("it opens").is_complete());
}
