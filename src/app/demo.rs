//! `segfuse demo`: the whole program on a rendered drive, with nothing but itself.

use super::arguments::SceneArguments;
use super::output::{print, write_json};
use super::session::Session;
use super::{evaluate, network, render, replay};
use crate::config::Config;
use crate::engine::network::PlainOptions;
use crate::evaluate::report;
use crate::sink::overlay::{self, OverlayFormat};
use crate::trip::{Range, TripReader, WhenFull};
use anyhow::Context;
use clap::{Args, Parser};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  segfuse demo
  segfuse demo --out /tmp/demo --seconds 5 --seed 3
  segfuse demo --network tiny                       on a slow machine

Needs nothing installed; with ffmpeg on the PATH the overlay is an MP4, without it an animated PNG.
While it runs, `segfuse subscribe` in another terminal receives its masks.";

/// Where config/zenoh.json5 listens.
const DEFAULT_PORT: &str = "127.0.0.1:7447";

/// Options of `segfuse demo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder for everything that it makes.
    #[arg(long, value_name = "FOLDER", default_value = "segfuse-demo")]
    pub out: PathBuf,
    /// A network folder, a plain ONNX file, or the name of an embedded network: small or tiny.
    #[arg(long, value_name = "PATH|NAME", default_value = network::DEFAULT)]
    pub network: String,
    /// Which frames run the network: every K; where more labels than P percent are expected to differ from its own; or
    /// every K beside the frames that follow.
    #[arg(long, value_name = "every:K|adaptive:P%|overlapped:K:D", default_value = "every:3")]
    pub schedule: crate::perceive::Schedule,
    /// Do not publish over Zenoh.
    #[arg(long)]
    pub no_publish: bool,
    /// The drive.
    #[command(flatten)]
    pub drive: SceneArguments,
}

/// Renders, replays, evaluates; says where everything is.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let folder = &arguments.out;
    std::fs::create_dir_all(folder).with_context(|| format!("--out {}: cannot be made", folder.display()))?;
    let made = Made::in_folder(folder);
    let scene = render::scene(None, &arguments.drive)?;
    print(&format_args!("rendering {} frames of {} …", scene.frames(), scene.size))?;
    render::render(&scene, &made.drive, session)?;
    if session.interrupt.asked() {
        return print(&format_args!("interrupted: {} holds what was rendered", made.drive.display()));
    }
    let network = network::named(&arguments.network, None, || Ok(PlainOptions::default()))?;
    print(&format_args!("running '{}', publishing, drawing …", network.name()))?;
    let options = made.replay_options(arguments);
    let mut config = Config::default();
    config.perceive.schedule = arguments.schedule;
    config.trip.when_full = WhenFull::Wait;
    let source = TripReader::open(&made.drive, Range::default())?;
    let summary = replay::replay(&options, &config, &network, source, session)?;
    let written = write_json(&made.summary, &summary);
    print(&format_args!("\n{summary}\n"))?;
    summary.check()?;
    written?;
    if session.interrupt.asked() {
        return print(&format_args!("interrupted: {} holds what was perceived", made.run.display()));
    }
    let (evaluation, mut context) = evaluate::of_trip(&made.run, None, &crate::evaluate::Config::default(), session)?;
    context.title = "segfuse demo".into();
    context.facts.extend(summary.facts());
    report::write(&made.report, &evaluation, &context)?;
    print(&made.account(evaluation.miou))
}

/// What the demo leaves behind.
struct Made {
    drive: PathBuf,
    run: PathBuf,
    overlay: PathBuf,
    report: PathBuf,
    summary: PathBuf,
}

impl Made {
    fn in_folder(folder: &Path) -> Self {
        Self {
            drive: folder.join("drive.mcap"),
            run: folder.join("run.mcap"),
            overlay: folder
                .join("overlay")
                .with_extension(OverlayFormat::detect(&overlay::Config::default().ffmpeg).extension()),
            report: folder.join("report.html"),
            summary: folder.join("run.json"),
        }
    }

    /// The same as typing `segfuse replay` with these files.
    fn replay_options(&self, arguments: &Arguments) -> replay::Arguments {
        #[derive(Parser)]
        struct Typed {
            #[command(flatten)]
            replay: replay::Arguments,
        }
        let mut typed = Typed::parse_from(["replay".as_ref(), self.drive.as_os_str()]).replay;
        typed.network.network = Some(arguments.network.clone());
        typed.out = Some(self.run.clone());
        typed.overlay = Some(self.overlay.clone());
        typed.publish = cfg!(feature = "zenoh") && !arguments.no_publish;
        typed.no_publish = arguments.no_publish;
        typed.await_subscriber = Some(0.0);
        if typed.publish && TcpListener::bind(DEFAULT_PORT).is_err() {
            tracing::warn!("another program listens on {DEFAULT_PORT}: the demo publishes on a free port instead");
            typed.publishing.listen = vec!["tcp/127.0.0.1:0".into()];
        }
        typed
    }

    fn account(&self, miou: Option<f64>) -> String {
        let Self { drive, run, overlay, report, summary } = self;
        let score = miou.map_or_else(String::new, |miou| format!(" ({miou:.1} mIoU against the scene's exact labels)"));
        let drive = drive.display();
        format!(
            "Made:\n  {drive}   the drive: frames, labels, CAN, vehicle state\n  {}     the drive with its masks\n  \
             {}  frames with masks laid over\n  {}  the report{score}\n  {}     the summary\n\n\
             To subscribe, in one terminal:   segfuse subscribe\n              and in another:     segfuse replay {drive} --realtime",
            run.display(),
            overlay.display(),
            report.display(),
            summary.display(),
        )
    }
}
