//! A video through the program `ffmpeg`: raw pictures into its standard input, a thread in between.
//!
//! ```text
//! write ──full buffers──▶ thread ──pipe──▶ ffmpeg ──▶ .name.part ──finish: rename──▶ name
//!   ▲──────empty buffers────┘
//! ```
//! Three buffers go round, so nothing is allocated a frame and the queue is bounded. The caller waits
//! only for an empty buffer, and not without end.

use super::caption::{Inks, Layout};
use super::format::Encoder;
use super::paint::{Tint, mask_row};
use super::{OverlayError, OverlayOutcome, OverlaySink, mp4};
use crate::data::{ClassTable, LabelMask, Size};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The longest wait for ffmpeg to take a frame or to end: no working encoder is that slow.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// One being drawn, one being written, one between.
const BUFFERS: usize = 3;
/// Kept of what ffmpeg complains: the first lines say it.
const MAX_COMPLAINT: usize = 2048;
/// Between two looks whether ffmpeg has ended.
const LOOK: Duration = Duration::from_millis(10);

/// What the video is like.
pub(super) struct Settings {
    pub(super) encoder: Encoder,
    pub(super) rate_hz: f64,
    pub(super) patience: Duration,
}

/// A running ffmpeg.
#[derive(Debug)]
pub(super) struct VideoWriter {
    program: String,
    path: PathBuf,
    part: PathBuf,
    layout: Layout,
    tint: Tint,
    inks: Inks<Rgb888>,
    note: Option<&'static str>,
    child: Child,
    /// `None` once finishing: dropping it lets the thread close the pipe.
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    complaint: Receiver<String>,
    patience: Duration,
    frames: u64,
    finished: bool,
}

impl VideoWriter {
    pub(super) fn start(sink: &OverlaySink, layout: Layout, settings: &Settings) -> Result<Self, OverlayError> {
        let (program, part) = (&sink.config.ffmpeg, sink.part_path());
        let mut child = command(program, &part, layout.canvas, settings)
            .spawn()
            .map_err(|source| OverlayError::Start { program: program.display().to_string(), source })?;
        let stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        let stderr = child.stderr.take().expect("stderr was asked to be a pipe");
        let (full, frames) = mpsc::sync_channel(BUFFERS);
        let (given_back, empty) = mpsc::sync_channel(BUFFERS);
        (0..BUFFERS).try_for_each(|_| given_back.send(Vec::new())).expect("the receiver is in this function");
        Ok(Self {
            program: program.display().to_string(),
            path: sink.path.clone(),
            part,
            tint: Tint::new(&sink.classes, sink.config.alpha),
            inks: inks(&sink.classes),
            layout,
            note: settings.encoder.note(),
            child,
            full: Some(full),
            empty,
            thread: Some(thread::spawn(move || feed(stdin, &frames, &given_back))),
            complaint: listen(stderr),
            patience: settings.patience,
            frames: 0,
            finished: false,
        })
    }

    /// Draws one frame, `rgb` of the layout's picture size, and hands it on.
    pub(super) fn write(&mut self, rgb: &[u8], mask: &LabelMask, caption: &str) -> Result<(), OverlayError> {
        let mut buffer = self.empty_buffer()?;
        self.draw(&mut buffer, rgb, mask, caption);
        let sent = self.full.as_ref().is_some_and(|full| full.send(buffer).is_ok());
        self.frames += 1;
        if sent { Ok(()) } else { Err(self.ended()) }
    }

    /// Waits until ffmpeg has written everything, and gives the file its name.
    pub(super) fn finish(mut self) -> Result<OverlayOutcome, OverlayError> {
        self.full = None;
        loop {
            match self.empty.recv_timeout(self.patience) {
                Ok(_) => (),
                Err(RecvTimeoutError::Timeout) => return Err(self.stalled()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let fed = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        let Some(status) = self.wait() else { return Err(self.stalled()) };
        if !status.success() || !matches!(fed, Ok(Ok(()))) {
            return Err(self.ended());
        }
        if !mp4::is_whole(&self.part).unwrap_or(false) {
            return Err(self.cut());
        }
        std::fs::rename(&self.part, &self.path)
            .map_err(|source| OverlayError::File { path: self.path.clone(), source })?;
        self.finished = true;
        let note = self.note.map(str::to_owned);
        Ok(OverlayOutcome { path: self.path.clone(), frames: self.frames, note })
    }

    fn empty_buffer(&mut self) -> Result<Vec<u8>, OverlayError> {
        self.empty.recv_timeout(self.patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => self.stalled(),
            RecvTimeoutError::Disconnected => self.ended(),
        })
    }

    fn draw(&self, buffer: &mut Vec<u8>, rgb: &[u8], mask: &LabelMask, caption: &str) {
        let Layout { picture, canvas, .. } = self.layout;
        buffer.resize(canvas.pixels() * 3, 0);
        let (row_bytes, canvas_bytes) = (picture.width as usize * 3, canvas.width as usize * 3);
        let rows = buffer.chunks_exact_mut(canvas_bytes).zip(rgb.chunks_exact(row_bytes));
        for (y, (to, from)) in rows.take(picture.height as usize).enumerate() {
            to[..row_bytes].copy_from_slice(from);
            self.tint.blend_row(&mut to[..row_bytes], &mask_row(mask, y, picture), picture.width);
        }
        let mut target = RgbCanvas { size: canvas, bytes: buffer };
        let Ok(()) = self.layout.draw(&mut target, &self.inks, caption);
    }

    /// Looks until ffmpeg has ended; `None` if it does not within the patience.
    fn wait(&mut self) -> Option<ExitStatus> {
        let looks = self.patience.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(LOOK);
        }
        None
    }

    fn stalled(&mut self) -> OverlayError {
        self.kill();
        OverlayError::Stalled {
            program: self.program.clone(),
            seconds: self.patience.as_secs_f32(),
            frames: self.frames,
        }
    }

    fn ended(&mut self) -> OverlayError {
        let status = self.wait().map_or_else(|| "no exit status".to_owned(), |status| status.to_string());
        self.kill();
        OverlayError::Ended {
            program: self.program.clone(),
            status,
            frames: self.frames,
            complaint: self.first_complaint(),
        }
    }

    fn cut(&mut self) -> OverlayError {
        OverlayError::Cut { program: self.program.clone(), frames: self.frames, complaint: self.first_complaint() }
    }

    /// The first line of what ffmpeg complained: those after it mostly repeat it.
    fn first_complaint(&self) -> String {
        let complaint = self.complaint.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        tracing::debug!("{}: {complaint}", self.program);
        complaint.lines().next().unwrap_or("it said nothing").to_owned()
    }

    fn kill(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        tracing::debug!(?ended, "ended {}", self.program);
    }
}

impl Drop for VideoWriter {
    /// Leaves neither a process nor half a file behind.
    fn drop(&mut self) {
        if !self.finished {
            self.kill();
            drop(std::fs::remove_file(&self.part));
        }
    }
}

/// 8-bit RGB in, tagged BT.709 limited range out, the index at the front so that a browser starts at once.
fn command(program: &Path, part: &Path, size: Size, settings: &Settings) -> Command {
    let (size, rate) = (size.to_string(), settings.rate_hz.to_string());
    let mut file = OsString::from("file:");
    file.push(part);
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-nostats", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
    command.args(["-s", &size, "-framerate", &rate, "-i", "-", "-an", "-c:v", settings.encoder.name()]);
    command.args(settings.encoder.settings());
    command.args(["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]);
    command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
    command.args(["-movflags", "+faststart", "-f", "mp4", "-y"]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn feed(mut pipe: ChildStdin, full: &Receiver<Vec<u8>>, empty: &SyncSender<Vec<u8>>) -> io::Result<()> {
    for buffer in full {
        pipe.write_all(&buffer)?;
        // The writer stops listening once it finishes; the frames that it sent before still count.
        drop(empty.send(buffer));
    }
    pipe.flush()
}

/// The start of what ffmpeg complains, when it has ended; the rest is read and dropped so that it never blocks.
fn listen(mut stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = stderr.by_ref().take(MAX_COMPLAINT as u64).read_to_end(&mut text);
        let rest = io::copy(&mut stderr, &mut io::sink());
        tracing::trace!(?read, ?rest, "ffmpeg closed its standard error");
        sender.send(String::from_utf8_lossy(&text).trim().to_owned())
    });
    receiver
}

fn inks(classes: &ClassTable) -> Inks<Rgb888> {
    let color = |[red, green, blue]: [u8; 3]| Rgb888::new(red, green, blue);
    Inks {
        text: color([235, 238, 242]),
        paper: color([20, 24, 29]),
        classes: classes.classes().iter().map(|class| color(class.color)).collect(),
    }
}

struct RgbCanvas<'a> {
    size: Size,
    bytes: &'a mut [u8],
}

impl OriginDimensions for RgbCanvas<'_> {
    fn size(&self) -> embedded_graphics::geometry::Size {
        embedded_graphics::geometry::Size::new(self.size.width, self.size.height)
    }
}

impl DrawTarget for RgbCanvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            let inside = (0..self.size.width as i32).contains(&x) && (0..self.size.height as i32).contains(&y);
            if inside {
                let start = (y as usize * self.size.width as usize + x as usize) * 3;
                self.bytes[start..start + 3].copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::overlay::{Config, OverlayFormat};
    use std::os::unix::fs::PermissionsExt;

    /// A writer whose ffmpeg is the shell script `script`, with a patience of 0.3 s.
    fn writer(folder: &Path, script: &str) -> VideoWriter {
        let program = folder.join("ffmpeg");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let config = Config { ffmpeg: program, ..Config::default() };
        let format = OverlayFormat::Video(Encoder::X264);
        let layout = Layout::new(Size::new(640, 480), &ClassTable::camvid(), &config);
        let sink = OverlaySink::new(folder.join("out.mp4"), format, ClassTable::camvid(), 30.0, config).expect("sound");
        let patience = Duration::from_millis(300);
        let settings = Settings { encoder: Encoder::X264, rate_hz: 30.0, patience };
        VideoWriter::start(&sink, layout, &settings).expect("the script starts")
    }

    fn write(writer: &mut VideoWriter) -> Result<(), OverlayError> {
        let mask = LabelMask::new(Size::new(640, 480), vec![3; 640 * 480].into()).expect("640x480");
        writer.write(&vec![100; 640 * 480 * 3], &mask, "frame 1")
    }

    fn first_error(writer: &mut VideoWriter) -> OverlayError {
        (0..20).find_map(|_| write(writer).err()).expect("a program that takes nothing is noticed")
    }

    #[test]
    fn a_program_that_dies_midway_is_an_error_in_its_own_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path(), "head -c 1000000 >/dev/null; echo 'disk is full' >&2; exit 3");
        let error = first_error(&mut writer).to_string();
        assert!(error.contains("disk is full") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_program_that_stands_still_is_ended_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path(), "exec sleep 600");
        std::fs::write(&writer.part, b"half").expect("a half file");
        let error = first_error(&mut writer);
        assert!(matches!(error, OverlayError::Stalled { .. }), "{error}");
        let part = writer.part.clone();
        drop(writer);
        assert!(!part.exists());
    }

    #[test]
    fn a_program_that_never_ends_cannot_hold_up_the_finish() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path(), "cat >/dev/null; exec sleep 600");
        write(&mut writer).expect("it reads");
        let error = writer.finish().expect_err("it never ends");
        assert!(matches!(error, OverlayError::Stalled { .. }), "{error}");
    }

    #[test]
    fn a_program_that_fails_at_the_end_gives_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = writer(folder.path(), "cat >/dev/null; exit 1");
        write(&mut writer).expect("it reads");
        let error = writer.finish().expect_err("it failed");
        assert!(matches!(error, OverlayError::Ended { .. }), "{error}");
        assert!(!folder.path().join("out.mp4").exists());
    }
}
