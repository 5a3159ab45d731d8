//! A device's controls: exposure, gain, whatever the driver has, by number and by name.

use super::abi::{self, Argument};
use super::{Device, Failure, text};

/// Controls that are listed at most: vivid, which has one of everything, has about 150.
const MOST_CONTROLS: usize = 1024;
const READ_ONLY: u32 = 0x4;
const WRITE_ONLY: u32 = 0x40;

/// What kind of value a control takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// A number, a switch (0 or 1), an entry of a menu, a set of bits.
    Number,
    /// A number of 64 bits.
    LongNumber,
    /// No value: writing it does something.
    Button,
    /// Text or an array: neither read nor written here.
    Other,
}

/// A control that a device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its number.
    pub id: u32,
    /// Its name in lower case with underscores, as `v4l2-ctl` prints it.
    pub name: String,
    /// What it takes.
    pub kind: ControlKind,
    /// The least value.
    pub minimum: i64,
    /// The greatest value.
    pub maximum: i64,
    /// From one value to the next.
    pub step: u64,
    /// Whether it can be written.
    pub writable: bool,
    /// Whether it can be read.
    pub readable: bool,
}

impl Device {
    /// Every control, in the driver's order.
    pub fn controls(&self) -> Vec<Control> {
        let mut last = 0;
        let next = || {
            let mut found = abi::ControlDescription { id: last | abi::NEXT_CONTROL, ..Argument::zeroed() };
            self.ask(&abi::QUERY_EXT_CTRL, &mut found).ok()?;
            // A driver that does not go on would be asked for ever.
            (found.id > last).then(|| {
                last = found.id;
                control(&found)
            })
        };
        std::iter::from_fn(next).take(MOST_CONTROLS).collect()
    }

    /// The control with this name, as `v4l2-ctl` prints it.
    pub fn control_named(&self, name: &str) -> Option<Control> {
        self.controls().into_iter().find(|control| control.name == name)
    }

    /// A control's value.
    pub fn control(&self, control: &Control) -> Result<i64, Failure> {
        let mut value = abi::ExtendedControl { id: control.id, ..Argument::zeroed() };
        self.ask(&abi::G_EXT_CTRLS, &mut of_one(&mut value))?;
        Ok(read(control.kind, value.value))
    }

    /// Sets a control. The driver may make another value of it: read it back.
    pub fn set_control(&self, control: &Control, value: i64) -> Result<(), Failure> {
        let mut written = abi::ExtendedControl { id: control.id, value: halves(value), ..Argument::zeroed() };
        self.ask(&abi::S_EXT_CTRLS, &mut of_one(&mut written))
    }
}

/// A list of one control, which must outlive the call that the list is for.
fn of_one(control: &mut abi::ExtendedControl) -> abi::ExtendedControls {
    abi::ExtendedControls { count: 1, controls: control, ..Argument::zeroed() }
}

fn halves(value: i64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn read(kind: ControlKind, [low, high]: [u32; 2]) -> i64 {
    match kind {
        ControlKind::LongNumber => i64::from(high as i32) << 32 | i64::from(low),
        _ => i64::from(low as i32),
    }
}

fn control(found: &abi::ControlDescription) -> Control {
    let kind = match found.kind {
        1..=3 | 8 | 9 => ControlKind::Number,
        4 => ControlKind::Button,
        5 => ControlKind::LongNumber,
        _ => ControlKind::Other,
    };
    // An array has a kind of its elements, and no single value.
    let kind = if found.dimensions == 0 { kind } else { ControlKind::Other };
    Control {
        id: found.id,
        name: spelled(&text(&found.name)),
        kind,
        minimum: found.minimum,
        maximum: found.maximum,
        step: found.step,
        writable: found.flags & READ_ONLY == 0,
        readable: found.flags & WRITE_ONLY == 0 && kind != ControlKind::Button,
    }
}

/// `Exposure Time, Absolute` as `exposure_time_absolute`.
fn spelled(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controls_name_is_spelled_as_v4l2_ctl_does() {
        for (name, expected) in [
            ("Exposure Time, Absolute", "exposure_time_absolute"),
            ("Inject V4L2_BUF_FLAG_ERROR", "inject_v4l2_buf_flag_error"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("  (odd) -- ", "odd"),
            ("", ""),
        ] {
            assert_eq!(spelled(name), expected, "{name}");
        }
    }

    #[test]
    fn values_keep_their_sign_in_both_widths() {
        for value in [0, 1, -1, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            assert_eq!(read(ControlKind::LongNumber, halves(value)), value);
        }
        assert_eq!(read(ControlKind::Number, halves(-5)), -5);
    }
}
