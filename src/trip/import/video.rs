//! A video file, decoded by the `ffmpeg` program in a child process.
//!
//! ```text
//! ffprobe ─▶ size, rate, presentation times        ffmpeg ─raw pictures through a pipe─▶ frames
//! ```
//!
//! A file that is cut or damaged gives what can be decoded, then how many frames are missing, then an error.
//! Pictures are NV12 in BT.601's limited range, as `data` reads it; RGB8 where a side is odd.

use super::ImportError;
use crate::data::{BufferPool, Event, Frame, FrameId, Image, PixelFormat, SharedBytes, Size, Stamp};
use crate::source::{Source, SourceError};
use crate::trip::TripMetadata;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// What a child may print: enough for the times of ten million frames.
const MAX_PRINTED_BYTES: u64 = 512 << 20;
/// Pictures that readers may hold before the pool allocates more.
const POOLED: usize = 8;

/// The programs used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTools {
    /// Decodes.
    pub ffmpeg: PathBuf,
    /// Says what is in the file.
    pub ffprobe: PathBuf,
}

impl Default for VideoTools {
    /// By name, wherever the system finds them.
    fn default() -> Self {
        Self { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into() }
    }
}

/// The frames of a video file.
#[derive(Debug)]
pub struct VideoFile {
    path: PathBuf,
    child: Child,
    pictures: ChildStdout,
    complaints: Option<JoinHandle<String>>,
    format: PixelFormat,
    size: Size,
    promise: Promise,
    times: Vec<Stamp>,
    interval_ns: i64,
    last: Option<Stamp>,
    next_id: u64,
    pool: BufferPool,
    ended: bool,
    /// Frames that did not come though they should have, as it turned out.
    missing: u64,
    /// Why it ended early, until that is told.
    cut: Option<ImportError>,
}

impl VideoFile {
    /// Asks `ffprobe` what is in `path` and starts `ffmpeg`; the first frame is stamped `start`.
    pub fn open(path: &Path, start: Stamp, tools: &VideoTools) -> Result<Self, ImportError> {
        path.metadata().map_err(|error| ImportError::io(path, "open", error))?;
        let stream = probe_stream(path, tools)?;
        let size = Size::new(stream.width, stream.height);
        let rate_hz = stream.rate_hz().ok_or_else(|| ImportError::recording(path, "its frame rate is not known"))?;
        let (times, promise) = probe_times(path, start, tools, &stream)?;
        let even = size.width.is_multiple_of(2) && size.height.is_multiple_of(2);
        let format = if even { PixelFormat::Nv12 } else { PixelFormat::Rgb8 };
        let mut child = decode(path, format, tools)?;
        let pictures = child.stdout.take().ok_or_else(|| ImportError::recording(path, "ffmpeg has no output"))?;
        let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || printed(stderr, 1 << 16)));
        Ok(Self {
            path: path.to_owned(),
            child,
            pictures,
            complaints,
            format,
            size,
            promise,
            times,
            interval_ns: (1e9 / rate_hz).round() as i64,
            last: None,
            next_id: 0,
            pool: BufferPool::new(POOLED),
            ended: false,
            missing: 0,
            cut: None,
        })
    }

    /// What the trip should say of itself.
    pub fn metadata(&self) -> TripMetadata {
        let source = format!("video of {} decoded by ffmpeg to {}", self.size, self.format.name());
        TripMetadata { source, ..TripMetadata::default() }
    }

    /// The next picture; `None` where ffmpeg gives no more.
    fn read_picture(&mut self) -> Result<Option<SharedBytes>, ImportError> {
        let rows = if self.format == PixelFormat::Nv12 { self.size.height * 3 / 2 } else { self.size.height };
        let len = self.format.row_bytes(self.size.width) * rows as usize;
        let mut read = Ok(());
        let picture = self.pool.fill(len, |bytes| read = self.pictures.read_exact(bytes));
        match read {
            Ok(()) => Ok(Some(picture)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(ImportError::io(&self.path, "decode", error)),
        }
    }

    /// What is missing at the end, as an event; why stands in `cut` then.
    fn end(&mut self) -> Result<Option<Event>, ImportError> {
        self.ended = true;
        let status = self.child.wait().map_err(|error| ImportError::io(&self.path, "decode", error))?;
        let said = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if self.next_id == 0 {
            return Err(ImportError::recording(
                &self.path,
                format!("ffmpeg ended with {status}: {}", first_lines(&said)),
            ));
        }
        let complained = !status.success() || !said.trim().is_empty();
        let missing = self.missing(complained);
        self.missing = missing;
        if missing == 0 && status.success() {
            self.tell_doubts(&said);
            return Ok(None);
        }
        self.cut = Some(ImportError::recording(&self.path, self.told(missing, &said)));
        let (stamp, frames) = (self.stamp(), u32::try_from(missing).unwrap_or(u32::MAX));
        Ok((frames > 0).then_some(Event::Lost { stamp, frames }))
    }

    /// Frames that the file promises and that did not come. Edit lists leave out frames of healthy files, so the count
    /// is believed only where the pictures end before the file says that they do, or the programs complain.
    fn missing(&self, complained: bool) -> u64 {
        let interval_s = self.interval_ns as f64 / 1e9;
        let covered_s = match (self.times.first(), self.last) {
            (Some(first), Some(last)) => last.signed_ns_since(*first) as f64 / 1e9 + interval_s,
            _ => 0.0,
        };
        let short = self.promise.seconds.map_or(0.0, |seconds| (seconds - covered_s) / interval_s);
        let complained = complained || self.promise.complained;
        let packets = (self.times.len() as u64).saturating_sub(self.next_id);
        match self.promise.frames.map(|frames| frames.saturating_sub(self.next_id)) {
            Some(missing) if complained || short > 1.5 => missing,
            None if complained => packets.max(short.round().max(0.0) as u64),
            _ => 0,
        }
    }

    fn told(&self, missing: u64, said: &str) -> String {
        let about = if self.promise.frames.is_none() { "about " } else { "" };
        let said = if said.trim().is_empty() { String::new() } else { format!(" (ffmpeg: {})", first_lines(said)) };
        format!(
            "{about}{missing} of {} frames are missing: the file is cut or damaged{said}; the {} that could be decoded are \
             in the trip, import a whole copy of the file to have all",
            self.next_id + missing,
            self.next_id
        )
    }

    /// What is odd about a file of which no frame is missing.
    fn tell_doubts(&self, said: &str) {
        let (frames, times) = (self.next_id, self.times.len());
        if !said.trim().is_empty() {
            tracing::warn!(path = %self.path.display(), frames, said = first_lines(said), "ffmpeg complained: pictures may be damaged");
        }
        if frames != times as u64 {
            tracing::warn!(frames, times, "the video's frames and times differ: frames without one follow the rate");
        }
    }

    fn stamp(&self) -> Stamp {
        let steady = self.last.map_or(Stamp::ZERO, |last| last.offset_ns(self.interval_ns));
        let known = self.times.get(self.next_id as usize).copied().unwrap_or(steady);
        self.last.map_or(known, |last| known.max(last))
    }

    fn read_frame(&mut self) -> Result<Option<Event>, ImportError> {
        if self.ended {
            return self.cut.take().map_or(Ok(None), Err);
        }
        let Some(bytes) = self.read_picture()? else {
            let lost = self.end()?;
            return if lost.is_some() { Ok(lost) } else { self.cut.take().map_or(Ok(None), Err) };
        };
        let image = Image::packed(self.format, self.size, bytes);
        let image = image.map_err(|error| ImportError::recording(&self.path, error.to_string()))?;
        let (id, stamp) = (FrameId(self.next_id), self.stamp());
        self.next_id += 1;
        self.last = Some(stamp);
        Ok(Some(Event::Frame(Frame { id, sequence: None, stamp, arrival: stamp, image })))
    }
}

impl Source for VideoFile {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        self.read_frame().map_err(|error| SourceError::Stopped(Box::new(error)))
    }

    fn frames(&self) -> Option<u64> {
        Some(if self.ended { self.next_id + self.missing } else { self.times.len() as u64 })
    }
}

impl Drop for VideoFile {
    fn drop(&mut self) {
        if !self.ended {
            // Both fail only if the child is gone already, which is what they are for.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[derive(Debug, Deserialize)]
struct Probe {
    #[serde(default)]
    streams: Vec<VideoStream>,
}

#[derive(Debug, Deserialize)]
struct VideoStream {
    width: u32,
    height: u32,
    avg_frame_rate: String,
    r_frame_rate: String,
    nb_frames: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// What a file says of its length before any of it is decoded.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    /// Frames to be shown, if the container counts them (MP4 does).
    frames: Option<u64>,
    /// Length of the pictures.
    seconds: Option<f64>,
    /// Whether reading its packets met something wrong.
    complained: bool,
}

impl VideoStream {
    fn rate_hz(&self) -> Option<f64> {
        let parse = |text: &str| {
            let (above, below) = text.split_once('/')?;
            Some(above.parse::<f64>().ok()? / below.parse::<f64>().ok()?).filter(|rate| rate.is_finite() && *rate > 0.0)
        };
        parse(&self.avg_frame_rate).or_else(|| parse(&self.r_frame_rate))
    }

    /// Seconds of the stream: stated as such, or as Matroska does in a tag `00:00:08.000000000`.
    fn seconds(&self) -> Option<f64> {
        let stated = self.duration.as_ref().and_then(|text| text.parse().ok());
        let tag = || self.tags.iter().find(|(name, _)| name.eq_ignore_ascii_case("duration")).map(|(_, text)| text);
        let clock = || tag()?.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.trim().parse::<f64>().ok()?));
        stated.or_else(clock).filter(|seconds: &f64| seconds.is_finite())
    }
}

fn probe_stream(path: &Path, tools: &VideoTools) -> Result<VideoStream, ImportError> {
    let entries = "stream=width,height,avg_frame_rate,r_frame_rate,nb_frames,duration:stream_tags";
    let (printed, _) = probe(path, tools, &[entries, "-of", "json"])?;
    let found: Probe = serde_json::from_str(&printed)
        .map_err(|error| ImportError::recording(path, format!("ffprobe's answer is not understood: {error}")))?;
    found.streams.into_iter().next().ok_or_else(|| ImportError::recording(path, "there is no video in it"))
}

/// Presentation times in order, moved so that the first is `start`, and what the file promises. Packets are read, not
/// decoded: cheap.
fn probe_times(
    path: &Path,
    start: Stamp,
    tools: &VideoTools,
    stream: &VideoStream,
) -> Result<(Vec<Stamp>, Promise), ImportError> {
    let (printed, said) = probe(path, tools, &["packet=pts_time,flags", "-of", "csv=p=0"])?;
    let packets = || printed.lines().filter_map(|line| line.split_once(','));
    let (hidden, shown): (Vec<_>, Vec<_>) = packets().partition(|(_, flags)| flags.contains('D'));
    let mut seconds: Vec<f64> =
        shown.iter().filter_map(|(time, _)| time.parse().ok()).filter(|s: &f64| s.is_finite()).collect();
    seconds.sort_by(f64::total_cmp);
    let first = seconds.first().copied().unwrap_or(0.0);
    let times = seconds.iter().map(|time| start.offset_ns(((time - first) * 1e9).round() as i64)).collect();
    let counted: Option<u64> = stream.nb_frames.as_ref().and_then(|text| text.parse().ok());
    let frames = counted.map(|frames| frames.saturating_sub(hidden.len() as u64));
    Ok((times, Promise { frames, seconds: stream.seconds(), complained: !said.trim().is_empty() }))
}

/// What `ffprobe` answers, and what it complains of.
fn probe(path: &Path, tools: &VideoTools, entries: &[&str]) -> Result<(String, String), ImportError> {
    let mut command = Command::new(&tools.ffprobe);
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries"]).args(entries).arg(url(path));
    let mut child = start(&mut command, &tools.ffprobe, path)?;
    let complaints = child.stderr.take().map(|stderr| std::thread::spawn(move || printed(stderr, 1 << 16)));
    let answer = child.stdout.take().map(|stdout| printed(stdout, MAX_PRINTED_BYTES)).unwrap_or_default();
    let status = child.wait().map_err(|error| ImportError::io(path, "look into", error))?;
    let said = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if status.success() {
        return Ok((answer, said));
    }
    let remedy = "it is no video, or cut before its index: import a whole copy of the file";
    Err(ImportError::recording(path, format!("ffprobe: {}; {remedy}", first_lines(&said))))
}

/// Enough of what a program says to know why.
fn first_lines(said: &str) -> String {
    let lines: Vec<String> = said.lines().map(without_addresses).filter(|line| !line.is_empty()).take(3).collect();
    lines.join("; ").chars().take(300).collect()
}

/// `[h264 @ 0x55d0c8a2f3c0] no frame` without the address, which says nothing and differs each time: `h264: no frame`.
fn without_addresses(line: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = line.trim();
    while let Some((name, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(" @ 0x")) {
        let Some((address, after)) = after.split_once(']') else { break };
        if name.contains(']') || !address.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            break;
        }
        parts.extend((name != "NULL").then_some(name));
        rest = after.trim_start();
    }
    parts.push(rest);
    parts.join(": ")
}

fn decode(path: &Path, format: PixelFormat, tools: &VideoTools) -> Result<Child, ImportError> {
    let pixels = if format == PixelFormat::Nv12 { "nv12" } else { "rgb24" };
    let mut command = Command::new(&tools.ffmpeg);
    command.args(["-nostdin", "-v", "error", "-noautorotate", "-i"]).arg(url(path));
    command.args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
    if format == PixelFormat::Nv12 {
        command.args(["-vf", "scale=out_color_matrix=bt601:out_range=tv"]);
    }
    command.args(["-pix_fmt", pixels, "-f", "rawvideo", "pipe:1"]);
    start(&mut command, &tools.ffmpeg, path)
}

fn start(command: &mut Command, program: &Path, path: &Path) -> Result<Child, ImportError> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A terminal sends Ctrl-C to a whole group: in its own the child lives until this program is done with it.
    command.process_group(0).spawn().map_err(|source| ImportError::Program {
        path: path.to_owned(),
        program: program.to_owned(),
        source,
    })
}

/// A file and nothing else: without this, names with a colon would be taken for network addresses.
fn url(path: &Path) -> std::ffi::OsString {
    let mut url = std::ffi::OsString::from("file:");
    url.push(path);
    url
}

/// All that a child prints, `limit` bytes of it kept.
fn printed(mut output: impl Read, limit: u64) -> String {
    let mut text = Vec::new();
    // A broken pipe ends the text early; the child's exit status tells the rest.
    let _ = output.by_ref().take(limit).read_to_end(&mut text);
    let _ = std::io::copy(&mut output, &mut std::io::sink());
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_says_is_told_without_its_addresses() {
        for (said, expected) in [
            ("[NULL @ 0x564c1f2b] no start code", "no start code"),
            ("[h264 @ 0x55d0] [eof @ 0x1a] cut\n\n  [a] b @ 0x1\n", "h264: eof: cut; [a] b @ 0x1"),
            ("[mov @ 0x55d0", "[mov @ 0x55d0"),
            ("[in#0 @ 0x7f] ", "in#0: "),
        ] {
            assert_eq!(first_lines(said), expected, "{said}");
        }
    }
}
