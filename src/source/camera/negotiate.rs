//! Agreeing with a camera on its pictures: asked, answered, compared. What came back different is refused by name.

use super::CameraError;
use super::config::Config;
use super::format::{code, known, name, readable};
use super::place::{Opened, refusal};
use crate::data::{PixelFormat, Size};
use crate::sys::v4l2::{Control, ControlKind, Device, Format, FormatAsked, FourCc, Fraction, Planes};
use std::path::PathBuf;

/// How far a rate may be from the one asked for.
const RATE_SHARE: f64 = 0.01;
/// What is reckoned with where a camera does not tell its rate.
const USUAL_RATE_HZ: f64 = 30.0;
/// Entries of a list in a message.
const MOST_TOLD: usize = 12;

/// What a camera gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreed {
    /// The node that it was found at.
    pub path: PathBuf,
    /// The camera's name.
    pub card: String,
    /// Where it is plugged in.
    pub bus: String,
    /// How the pictures' bytes are laid out.
    pub format: PixelFormat,
    /// Columns and rows.
    pub size: Size,
    /// Bytes from row to row; 0 for JPEG.
    pub stride: usize,
    /// Frames a second, as the camera says; `None` if it does not.
    pub rate_hz: Option<f64>,
}

impl Agreed {
    /// Frames a second, said or supposed.
    pub(super) fn reckoned_rate_hz(&self) -> f64 {
        self.rate_hz.unwrap_or(USUAL_RATE_HZ)
    }
}

/// Sets the camera to what is asked for.
pub(super) fn negotiate(opened: &Opened, config: &Config) -> Result<(Agreed, Planes), CameraError> {
    let talk = Talk { opened, name: opened.path.display().to_string(), planes: planes(opened)? };
    if let Some(input) = config.input {
        talk.device().set_input(i32::from(input)).map_err(|failure| talk.refuse(failure))?;
    }
    let format = talk.agree_format(config)?;
    let rate_hz = talk.agree_rate(config, format)?;
    let ability = &opened.ability;
    let agreed = Agreed {
        path: opened.path.clone(),
        card: ability.card.clone(),
        bus: ability.bus.clone(),
        format: known(format.code).expect("agree_format took a known one"),
        size: Size::new(format.width, format.height),
        stride: if known(format.code) == Some(PixelFormat::Jpeg) { 0 } else { format.stride as usize },
        rate_hz,
    };
    check_stall(&talk.name, config, rate_hz)?;
    Ok((agreed, talk.planes))
}

/// Sets the controls and holds them against what the camera made of them.
pub(super) fn set_controls(device: &Device, path: &str, config: &Config) -> Result<(), CameraError> {
    if config.controls.is_empty() {
        return Ok(());
    }
    let all = device.controls();
    for (wanted, &asked) in &config.controls {
        let control = all.iter().find(|control| control.name == *wanted);
        let control = control.ok_or_else(|| CameraError::UnknownControl {
            device: path.to_owned(),
            name: wanted.clone(),
            known: closest(&all, wanted),
        })?;
        set_control(device, control, asked).map_err(|got| CameraError::Control {
            device: path.to_owned(),
            name: wanted.clone(),
            asked,
            got,
            range: format!("{} to {} in steps of {}", control.minimum, control.maximum, control.step),
        })?;
    }
    Ok(())
}

/// The names of controls, those most like `wanted` first.
fn closest(all: &[Control], wanted: &str) -> String {
    let mut names: Vec<&str> = all.iter().map(|control| control.name.as_str()).collect();
    let likeness = |name: &str| strsim::jaro_winkler(name, wanted);
    names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    listed(names.into_iter().map(str::to_owned))
}

fn set_control(device: &Device, control: &Control, asked: i64) -> Result<(), String> {
    if control.kind == ControlKind::Other || !control.writable {
        return Err("it is not a number that can be set".into());
    }
    // The kernel would take the nearest value it knows without a word, or cut the number to 32 bits.
    if control.kind != ControlKind::Button && !(control.minimum..=control.maximum).contains(&asked) {
        return Err("it is out of range".into());
    }
    device.set_control(control, asked).map_err(|failure| failure.to_string())?;
    if !control.readable {
        return Ok(());
    }
    match device.control(control) {
        Ok(got) if got == asked => Ok(()),
        Ok(got) => Err(format!("it has {got} instead")),
        Err(failure) => Err(format!("it cannot be read back: {failure}")),
    }
}

fn planes(opened: &Opened) -> Result<Planes, CameraError> {
    let ability = &opened.ability;
    ability.captures.filter(|_| ability.streams).ok_or_else(|| CameraError::Unsupported {
        device: opened.path.display().to_string(),
        reason: format!("{} does not capture video to mapped memory; name another node", ability.card),
    })
}

fn check_stall(device: &str, config: &Config, rate_hz: Option<f64>) -> Result<(), CameraError> {
    let period_ms = 1000.0 / rate_hz.unwrap_or(USUAL_RATE_HZ);
    if f64::from(config.stall_ms) > period_ms {
        return Ok(());
    }
    let (stall_ms, enough_ms) = (config.stall_ms, (period_ms * 2.0).ceil());
    Err(CameraError::Config(format!(
        "camera.stall_ms is {stall_ms}, but {device} gives a frame every {period_ms:.1} ms; write {enough_ms} or more"
    )))
}

/// One camera that is being talked to.
struct Talk<'a> {
    opened: &'a Opened,
    name: String,
    planes: Planes,
}

impl Talk<'_> {
    fn device(&self) -> &Device {
        &self.opened.device
    }

    fn agree_format(&self, config: &Config) -> Result<Format, CameraError> {
        let asked = self.asked(config)?;
        let got = self.device().set_format(self.planes, asked).map_err(|failure| self.refuse(failure))?;
        if got.code != asked.code {
            return Err(self.substituted("format", (name(asked.code), name(got.code)), self.offered_formats()));
        }
        if (got.width, got.height) != (asked.width, asked.height) {
            let sizes =
                [(asked.width, asked.height), (got.width, got.height)].map(|(w, h)| Size::new(w, h).to_string());
            return Err(self.substituted("size", sizes.into(), self.offered_sizes(asked.code)));
        }
        self.check(got)
    }

    /// What is configured, and for the rest what the camera has.
    fn asked(&self, config: &Config) -> Result<FormatAsked, CameraError> {
        let has = self.device().format(self.planes).map_err(|failure| self.refuse(failure))?;
        let offered: Vec<FourCc> = self.device().formats(self.planes).iter().map(|format| format.code).collect();
        let code = match config.format {
            Some(format) => code(format, &offered),
            None if known(has.code).is_some() => has.code,
            None => readable(&offered).ok_or_else(|| {
                self.unsupported(format!(
                    "its formats cannot be read here: {}; use another camera",
                    self.offered_formats()
                ))
            })?,
        };
        let size = config.size.unwrap_or(Size::new(has.width, has.height));
        Ok(FormatAsked { code, width: size.width, height: size.height })
    }

    fn check(&self, format: Format) -> Result<Format, CameraError> {
        if format.memory_planes != 1 {
            let planes = format.memory_planes;
            return Err(self.unsupported(format!("{} in {planes} memory planes; choose a format of one", format.code)));
        }
        if !format.progressive {
            return Err(self.unsupported("its pictures are interlaced; choose a size or an input that is not".into()));
        }
        Ok(format)
    }

    fn agree_rate(&self, config: &Config, format: Format) -> Result<Option<f64>, CameraError> {
        let Some(asked_hz) = config.rate_hz else {
            return Ok(self.device().interval(self.planes).and_then(Fraction::rate_hz));
        };
        let asked = Fraction { numerator: 1000, denominator: (asked_hz * 1000.0).round() as u32 };
        let got_hz = self.device().set_interval(self.planes, asked).ok().flatten().and_then(Fraction::rate_hz);
        if got_hz.is_some_and(|got_hz| is_near(asked_hz, got_hz)) {
            return Ok(got_hz);
        }
        let got = got_hz.map_or("a rate that cannot be set".into(), |got_hz| format!("{got_hz:.3}"));
        Err(self.substituted("rate_hz", (asked_hz.to_string(), got), self.offered_rates(format)))
    }

    fn offered_formats(&self) -> String {
        let readable = |code: FourCc| known(code).map(|format| format.name().to_owned());
        listed(self.device().formats(self.planes).into_iter().filter_map(|format| readable(format.code)))
    }

    fn offered_sizes(&self, code: FourCc) -> String {
        listed(self.device().sizes(code).into_iter().map(|sizes| super::discover::spelled(&sizes)))
    }

    fn offered_rates(&self, format: Format) -> String {
        let asked = FormatAsked { code: format.code, width: format.width, height: format.height };
        let rates_hz = self.device().intervals(asked).into_iter().filter_map(Fraction::rate_hz);
        listed(rates_hz.map(|rate_hz| format!("{}", (rate_hz * 1000.0).round() / 1000.0)))
    }

    fn refuse(&self, failure: crate::sys::v4l2::Failure) -> CameraError {
        refusal(&self.name, failure)
    }

    fn unsupported(&self, reason: String) -> CameraError {
        CameraError::Unsupported { device: self.name.clone(), reason }
    }

    fn substituted(&self, key: &'static str, (asked, got): (String, String), offers: String) -> CameraError {
        CameraError::Substituted { device: self.name.clone(), key, asked, got, offers }
    }
}

fn is_near(asked_hz: f64, got_hz: f64) -> bool {
    (got_hz - asked_hz).abs() <= asked_hz * RATE_SHARE
}

/// The words in a row, the most of them; each once.
fn listed(words: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    words.for_each(|word| {
        if !all.contains(&word) {
            all.push(word);
        }
    });
    let more = all.len().saturating_sub(MOST_TOLD);
    all.truncate(MOST_TOLD);
    match (all.is_empty(), more) {
        (true, _) => "it does not tell".into(),
        (false, 0) => all.join(", "),
        (false, more) => format!("{} and {more} more", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_off_by_a_hundredth() {
        let near = [(30.0, 29.97), (30.0, 30.29), (29.97, 30.0)].map(|(asked_hz, got_hz)| is_near(asked_hz, got_hz));
        let far = [(30.0, 25.0), (30.0, 30.31), (12.5, 12.3)].map(|(asked_hz, got_hz)| is_near(asked_hz, got_hz));
        assert_eq!((near, far), ([true; 3], [false; 3]));
    }

    #[test]
    fn a_stall_that_is_no_longer_than_a_frame_is_refused_with_one_that_is() {
        let check = |stall_ms, rate_hz| {
            let config = Config { stall_ms, ..Config::default() };
            check_stall("/dev/video0", &config, rate_hz).map_err(|error| error.to_string())
        };
        assert_eq!((check(100, Some(30.0)), check(100, Some(12.5)), check(34, None)), (Ok(()), Ok(()), Ok(())));
        let told = check(100, Some(5.0)).expect_err("200 ms a frame");
        let expected = "camera.stall_ms is 100, but /dev/video0 gives a frame every 200.0 ms; write 400 or more";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_long_list_is_cut_and_an_empty_one_said_to_be() {
        let words = |count: usize| listed((0..count).map(|word| word.to_string()));
        assert_eq!(words(0), "it does not tell");
        assert_eq!(words(2), "0, 1");
        assert!(words(20).ends_with("10, 11 and 8 more"), "{}", words(20));
    }
}
