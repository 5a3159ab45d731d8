//! Finding a camera, and finding it again when it comes back under another number.
//!
//! ```text
//! "/dev/video0" ─▶ that path ─▶ once known, only where the same camera is there, else by its place on the bus
//! "bus:NAME"    ─▶ the first /dev/video* that captures and says that it is plugged in at NAME
//! ```

use super::CameraError;
use super::config::BUS;
use crate::sys::v4l2::{Ability, Device, Failure};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Where a camera is to be found.
#[derive(Clone, Debug)]
pub(super) struct Place {
    device: String,
    /// The camera's place on its bus: as it is configured, or as it was first found.
    bus: Option<String>,
}

/// A camera that was found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) device: Device,
    pub(super) ability: Ability,
}

impl Place {
    pub(super) fn new(device: &str) -> Self {
        Self { device: device.to_owned(), bus: device.strip_prefix(BUS).map(str::to_owned) }
    }

    /// Opens the camera, wherever it is now.
    pub(super) fn open(&mut self) -> Result<Opened, CameraError> {
        let by_path = if self.device.starts_with(BUS) { None } else { self.open_path()? };
        let found = match by_path {
            Some(found) => found,
            None => self.open_bus()?,
        };
        self.bus = Some(found.ability.bus.clone());
        Ok(found)
    }

    /// The configured path; `None` if nothing is there, or another camera than the one known.
    fn open_path(&self) -> Result<Option<Opened>, CameraError> {
        match look(Path::new(&self.device)) {
            Ok(found) if self.is_known(&found.ability) => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(refusal(&self.device, failure)),
        }
    }

    fn open_bus(&self) -> Result<Opened, CameraError> {
        let looked: Vec<_> = nodes().into_iter().map(|path| (look(&path), path)).collect();
        let seen = seen(&looked);
        let found = looked.into_iter().filter_map(|(found, _)| found.ok());
        let is_it =
            |found: &Opened| self.bus.is_some() && self.is_known(&found.ability) && found.ability.captures.is_some();
        { found }.find(is_it).ok_or_else(|| CameraError::Absent { device: self.device.clone(), seen })
    }

    fn is_known(&self, ability: &Ability) -> bool {
        self.bus.as_ref().is_none_or(|bus| *bus == ability.bus)
    }
}

/// Every `/dev/video*`, in the order of their numbers.
pub(super) fn nodes() -> Vec<PathBuf> {
    let number = |name: &str| name.strip_prefix("video")?.parse::<u32>().ok();
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut found: Vec<u32> = entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    found.sort_unstable();
    found.into_iter().map(|number| PathBuf::from(format!("/dev/video{number}"))).collect()
}

/// Opens a path and asks what is there.
pub(super) fn look(path: &Path) -> Result<Opened, Failure> {
    let device = Device::open(path)?;
    let ability = device.ability()?;
    Ok(Opened { path: path.to_owned(), device, ability })
}

/// What a failed call means for whoever asked for the device.
pub(super) fn refusal(device: &str, failure: Failure) -> CameraError {
    let device = device.to_owned();
    match failure.errno {
        Errno::ACCESS | Errno::PERM => CameraError::Denied { device, failure },
        Errno::BUSY => CameraError::Busy { device, failure },
        Errno::NOTTY => CameraError::Unsupported { device, reason: "not a video device; name another one".into() },
        _ => CameraError::Call { device, failure },
    }
}

fn seen(looked: &[(Result<Opened, Failure>, PathBuf)]) -> String {
    let word = |(found, path): &(Result<Opened, Failure>, PathBuf)| match found {
        Ok(found) if found.ability.captures.is_none() => None,
        Ok(found) => Some(format!("{} is {BUS}{}", path.display(), found.ability.bus)),
        Err(failure) => Some(format!("{}: {failure}", path.display())),
    };
    let words: Vec<_> = looked.iter().filter_map(word).collect();
    if words.is_empty() { "no /dev/video* captures".into() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_is_not_there_is_told_with_what_is_and_the_remedy() {
        for device in ["/dev/no-such-camera", "bus:nowhere"] {
            let error = Place::new(device).open().expect_err(device);
            assert!(matches!(error, CameraError::Absent { .. }), "{error}");
            let told = error.to_string();
            assert!(told.starts_with(&format!("camera {device}: not there; ")), "{told}");
        }
    }

    #[test]
    fn what_is_no_video_device_is_refused_by_name() {
        let error = Place::new("/dev/null").open().expect_err("no camera").to_string();
        assert_eq!(error, "camera /dev/null: not a video device; name another one");
    }

    #[test]
    fn refusals_are_told_apart() {
        let told = |errno| refusal("/dev/video7", Failure { call: "S_FMT", errno }).to_string();
        for (errno, part) in [(Errno::BUSY, "another program"), (Errno::ACCESS, "group"), (Errno::IO, "S_FMT: ")] {
            assert!(told(errno).contains(part), "{}", told(errno));
        }
    }
}
