//! Which cameras there are, for people who look for theirs.

use super::format::known;
use super::place::{look, nodes};
use crate::data::PixelFormat;
use crate::sys::v4l2::{Device, FormatAsked, FourCc, Fraction, FrameSizes, Planes};
use std::path::{Path, PathBuf};

/// A node that captures, or that nobody could look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// `/dev/video0`.
    pub path: PathBuf,
    /// Paths under `/dev/v4l/` that lead to it whatever its number.
    pub stable_paths: Vec<PathBuf>,
    /// What it is, or why it cannot be opened.
    pub camera: Result<Description, String>,
}

/// What a camera says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Its driver.
    pub driver: String,
    /// Its name.
    pub card: String,
    /// Where it is plugged in: with `bus:` before it, a device for the configuration.
    pub bus: String,
    /// What it offers.
    pub formats: Vec<FoundFormat>,
}

/// A format on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundFormat {
    /// V4L2's letters for it.
    pub code: String,
    /// Ours; `None` if it cannot be read here.
    pub format: Option<PixelFormat>,
    /// Each size, or range of sizes, with its frames a second.
    pub sizes: Vec<(String, Vec<f64>)>,
}

/// Every `/dev/video*` that captures, or cannot be opened, in the order of their numbers. Changes nothing on them.
pub fn discover() -> Vec<Found> {
    let stable = stable_paths();
    let found = |path: PathBuf| {
        let camera = match look(&path) {
            Ok(opened) => {
                let (planes, ability) = (opened.ability.captures?, opened.ability);
                let formats = formats(&opened.device, planes);
                Ok(Description { driver: ability.driver, card: ability.card, bus: ability.bus, formats })
            }
            Err(failure) => Err(failure.to_string()),
        };
        let leads_here = stable.iter().filter(|(_, to)| *to == path).map(|(link, _)| link.clone());
        Some(Found { stable_paths: leads_here.collect(), path, camera })
    };
    nodes().into_iter().filter_map(found).collect()
}

/// Links under `/dev/v4l/by-*`, and where they lead.
fn stable_paths() -> Vec<(PathBuf, PathBuf)> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let links = entries(Path::new("/dev/v4l")).flat_map(|folder| entries(&folder).collect::<Vec<_>>());
    let mut all: Vec<_> = links.filter_map(|link| link.canonicalize().ok().map(|to| (link, to))).collect();
    all.sort();
    all
}

fn formats(device: &Device, planes: Planes) -> Vec<FoundFormat> {
    let format = |code: FourCc| FoundFormat {
        code: code.to_string(),
        format: known(code),
        sizes: device.sizes(code).iter().map(|sizes| (spelled(sizes), rates_hz(device, code, sizes))).collect(),
    };
    device.formats(planes).into_iter().map(|offered| format(offered.code)).collect()
}

fn rates_hz(device: &Device, code: FourCc, sizes: &FrameSizes) -> Vec<f64> {
    let (width, height) = sizes.greatest;
    device.intervals(FormatAsked { code, width, height }).into_iter().filter_map(Fraction::rate_hz).collect()
}

/// `640x480`, or `16x16 to 1920x1080 in steps of 8x8`.
pub(super) fn spelled(sizes: &FrameSizes) -> String {
    let size = |(width, height): (u32, u32)| format!("{width}x{height}");
    if sizes.least == sizes.greatest {
        return size(sizes.least);
    }
    format!("{} to {} in steps of {}", size(sizes.least), size(sizes.greatest), size(sizes.step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_spelled_one_by_one_or_as_a_range() {
        let sizes = FrameSizes { least: (16, 16), greatest: (1920, 1080), step: (8, 2) };
        assert_eq!(spelled(&sizes), "16x16 to 1920x1080 in steps of 8x2");
        assert_eq!(spelled(&FrameSizes { least: (640, 480), greatest: (640, 480), step: (0, 0) }), "640x480");
    }

    #[test]
    fn looking_for_cameras_needs_none() {
        assert!(discover().iter().all(|found| found.path.starts_with("/dev")));
    }
}
