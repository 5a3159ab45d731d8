//! What the overlay can be written as on this machine.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest wait for `ffmpeg -encoders`, which takes 0.1 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most of its answer that is read: the longest known is 20 kB.
const MAX_ANSWER: u64 = 1 << 20;

/// An encoder of ffmpeg, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// H.264 by x264.
    X264,
    /// H.264 by Cisco's library.
    OpenH264,
    /// VP9: browsers play it, some players do not.
    Vp9,
    /// MPEG-4 part 2: players play it, browsers do not.
    Mpeg4,
}

impl Encoder {
    const ALL: [Self; 4] = [Self::X264, Self::OpenH264, Self::Vp9, Self::Mpeg4];

    /// Its name in ffmpeg.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X264 => "libx264",
            Self::OpenH264 => "libopenh264",
            Self::Vp9 => "libvpx-vp9",
            Self::Mpeg4 => "mpeg4",
        }
    }

    /// Its settings: quality before size, speed before both.
    pub(super) const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::X264 => &["-preset", "veryfast", "-crf", "23"],
            Self::OpenH264 => &["-b:v", "6M"],
            Self::Vp9 => &["-b:v", "0", "-crf", "34", "-deadline", "realtime", "-cpu-used", "6"],
            Self::Mpeg4 => &["-q:v", "4"],
        }
    }

    /// What a viewer should know of the file.
    pub(super) const fn note(self) -> Option<&'static str> {
        match self {
            Self::X264 | Self::OpenH264 => None,
            Self::Vp9 => Some("VP9, because this ffmpeg has no H.264 encoder: some players do not play it"),
            Self::Mpeg4 => Some("MPEG-4 part 2, because this ffmpeg has no H.264 encoder: browsers do not play it"),
        }
    }
}

/// A kind of overlay file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlayFormat {
    /// An MP4 video, through ffmpeg.
    Video(Encoder),
    /// An animated PNG, which every browser plays; needs no other program.
    Animation,
}

impl OverlayFormat {
    /// A video if the program `ffmpeg` runs and has an encoder for one, else an animation (and a warning why).
    pub fn detect(ffmpeg: &Path) -> Self {
        Self::video(ffmpeg).unwrap_or_else(|reason| {
            tracing::warn!("overlay as animated PNG instead of a video: {}: {reason}", ffmpeg.display());
            Self::Animation
        })
    }

    /// A video; the error says why the program `ffmpeg` cannot make one.
    pub fn video(ffmpeg: &Path) -> Result<Self, String> {
        let encoder = best_encoder(ffmpeg)?;
        encoder.note().iter().for_each(|note| tracing::warn!("overlay video: {note}"));
        Ok(Self::Video(encoder))
    }

    /// The ending of its files.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Video(_) => "mp4",
            Self::Animation => "png",
        }
    }
}

impl fmt::Display for OverlayFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(encoder) => write!(f, "MP4 video ({})", encoder.name()),
            Self::Animation => write!(f, "animated PNG"),
        }
    }
}

fn best_encoder(ffmpeg: &Path) -> Result<Encoder, String> {
    let answer = ask(ffmpeg)?;
    let has = |encoder: &Encoder| answer.lines().any(|line| line.split_whitespace().nth(1) == Some(encoder.name()));
    Encoder::ALL.into_iter().find(has).ok_or_else(|| "it has none of libx264, libopenh264, libvpx-vp9, mpeg4".into())
}

/// What `ffmpeg -encoders` prints. It is ended if it takes too long.
fn ask(ffmpeg: &Path) -> Result<String, String> {
    let mut command = Command::new(ffmpeg);
    command.args(["-hide_banner", "-encoders"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = stdout.take(MAX_ANSWER).read_to_end(&mut text);
        sender.send(read.map(|_| String::from_utf8_lossy(&text).into_owned()))
    });
    let answer = receiver.recv_timeout(PATIENCE);
    let ended = child.kill().and_then(|()| child.wait());
    tracing::debug!(?ended, "asked ffmpeg for its encoders");
    answer.map_err(|_| "no answer within 10 s".to_owned())?.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_means_an_animation() {
        let format = OverlayFormat::detect(Path::new("/nonexistent/ffmpeg"));
        assert_eq!((format, format.extension()), (OverlayFormat::Animation, "png"));
    }
}
