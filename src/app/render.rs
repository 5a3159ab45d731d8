//! `segfuse render`: a synthetic drive as a trip.

use super::Misuse;
use super::arguments::SceneArguments;
use super::output::{check_trip_output, keep_apart, print};
use super::progress::Progress;
use super::session::Session;
use super::stopping::Stopping;
use crate::data::{ClassTable, Ending, Event, PixelFormat};
use crate::files;
use crate::source::Source;
use crate::source::can::Decoding;
use crate::source::synthetic::{self, SyntheticSource};
use crate::trip::{Config, DbcText, TripMetadata, TripSummary, TripWriter};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  segfuse render --out drive.mcap
  segfuse render --seed 7 --size 1280x720 --fps 30 --seconds 20 --out drive.mcap
  segfuse render --scene scene.toml --out drive.mcap      every knob: weather, traffic, camera, CAN jitter and drift";

/// Options of `segfuse render`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where to write the trip.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// A scene file (config/scene.toml is the commented default); the options below take precedence.
    #[arg(long, value_name = "FILE")]
    pub scene: Option<PathBuf>,
    /// The drive.
    #[command(flatten)]
    pub drive: SceneArguments,
}

/// Renders; prints what was written.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let scene = scene(arguments.scene.as_deref(), &arguments.drive)?;
    keep_apart(&arguments.scene.as_deref().into_iter().collect::<Vec<_>>(), &[Some(&arguments.out)])?;
    check_trip_output("--out", &arguments.out)?;
    let written = render(&scene, &arguments.out, session)?;
    let frames = written.messages.get("/camera/image").copied().unwrap_or(0);
    print(&format_args!(
        "{}: {frames} of {} frames of {}, {} messages, {} bytes",
        arguments.out.display(),
        scene.frames(),
        scene.size,
        written.messages.values().sum::<u64>(),
        written.bytes,
    ))
}

/// The scene that a file describes, with the command line's options on top.
pub(super) fn scene(file: Option<&Path>, drive: &SceneArguments) -> anyhow::Result<synthetic::Config> {
    let mut scene = match file {
        Some(path) => {
            let text = files::read_text(path).with_context(|| format!("{}: cannot read the scene", path.display()))?;
            toml::from_str(&text).map_err(|error| Misuse(format!("{}: {error}", path.display())))?
        }
        // Without a file the pictures are stored as a camera on USB sends them.
        None => synthetic::Config { format: PixelFormat::Jpeg, ..synthetic::Config::default() },
    };
    drive.apply(&mut scene);
    scene.check().map_err(|error| Misuse(error.to_string()))?;
    Ok(scene)
}

/// Renders `scene` into the trip `out`.
pub(super) fn render(scene: &synthetic::Config, out: &Path, session: &Session) -> anyhow::Result<TripSummary> {
    let source = SyntheticSource::new(scene.clone())?;
    let metadata = metadata(scene, &source);
    let mut source = Stopping::new(Box::new(Decoding::new(source, super::import::example_decoder()?)), session);
    let mut writer = TripWriter::create(out, &metadata, &Config::default())?;
    let progress = Progress::new("render", Some(scene.frames()), session.quiet);
    while let Some(event) = source.next()? {
        writer.write_event(&event)?;
        if matches!(event, Event::Frame(_)) {
            progress.advance();
        }
    }
    progress.close();
    let ending = if session.interrupt.asked() { Ending::Interrupted } else { Ending::Complete };
    writer.note_ending(&ending, Some(scene.frames()));
    Ok(writer.finish()?)
}

fn metadata(scene: &synthetic::Config, source: &SyntheticSource) -> TripMetadata {
    TripMetadata {
        source: format!("synthetic drive, seed {}, {} at {} frames/s", scene.seed, scene.size, scene.fps),
        wall: Some(source.wall_mapping()),
        calibration: Some(scene.lens().calibration()),
        class_tables: vec![ClassTable::cityscapes()],
        dbc: Some(DbcText { name: "example.dbc".into(), text: synthetic::example_dbc().into() }),
        ..TripMetadata::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scene_file_states_the_defaults() {
        let shipped: synthetic::Config = toml::from_str(include_str!("../../config/scene.toml")).expect("well-formed");
        assert_eq!(shipped, scene(None, &SceneArguments::default()).expect("the defaults are sound"));
    }
}
