//! `segfuse subscribe`: what another process publishes, with its rate, age and gaps.

mod link;
mod tally;

use self::link::Link;
use self::tally::Tally;
use super::Misuse;
use super::arguments::PublishArguments;
use super::output::print;
use super::session::Session;
use crate::data::{ClassTable, Stamp};
use crate::subscribe::{Config, MAX_QUEUE, Received, Subscriber};
use crate::trip::encode_label_png;
use anyhow::{Context, bail};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  segfuse subscribe                                  a line a second: rate, age, gaps
  segfuse subscribe --save masks --count 100         save 100 masks as PNG, then end
  segfuse subscribe --connect tcp/192.168.1.10:7447 --vehicle bus-7 --camera front

It may be started before the publisher. Ctrl-C ends it with a summary.";

/// How long the publisher is asked what its classes are.
const ANSWER: Duration = Duration::from_secs(3);

/// Options of `segfuse subscribe`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Save each mask as PNG into this folder: colours for people, class ids as the pixel values. Files are called by
    /// the frame's number; those of a publisher that is started again lie in a folder session-NUMBER below.
    #[arg(long, value_name = "FOLDER")]
    pub save: Option<PathBuf>,
    /// End after this many masks.
    #[arg(long, value_name = "N", value_parser = masks)]
    pub count: Option<u64>,
    /// End after this long.
    #[arg(long, value_name = "SECONDS", value_parser = super::replay::seconds)]
    pub seconds: Option<f64>,
    /// Masks that may wait here, 1 to 120; when one more comes the oldest is dropped and counted.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = queue())]
    pub queue: usize,
    /// Print JSON: one object a second, and a last one with the totals.
    #[arg(long)]
    pub json: bool,
    /// Where masks are published.
    #[command(flatten)]
    pub publishing: PublishArguments,
}

fn masks(text: &str) -> Result<u64, String> {
    let count: u64 = text.parse().map_err(|_| format!("'{text}' is not a number of masks"))?;
    if count == 0 { Err("at least 1".into()) } else { Ok(count) }
}

fn queue() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MAX_QUEUE as u64)
}

/// Receives until it has enough; prints a line a second and a summary.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let end = arguments.seconds.map(|seconds| session.clock.now().after(Duration::from_secs_f64(seconds)));
    let mut saver = arguments.save.as_deref().map(Saver::create).transpose()?;
    let mut link = Link::open(config(arguments))?;
    let mut tally = Tally::new(session.clock.now(), arguments.json);
    let mut outcome = Ok(());
    while outcome.is_ok() && !done(arguments, &tally, end, session) {
        outcome = receive(&mut link, &mut tally, saver.as_mut(), session);
    }
    if outcome.is_ok() || tally.total > 0 {
        print(&tally.summary(&link))?;
    }
    outcome?;
    enough(arguments, &tally, &mut link, session)
}

/// The next mask, if one comes soon, and the line of a second that is over.
fn receive(link: &mut Link, tally: &mut Tally, saver: Option<&mut Saver>, session: &Session) -> anyhow::Result<()> {
    if let Some(received) = link.recv()? {
        tally.take(&received, link);
        if let (Some(saver), Some(subscriber)) = (saver, link.subscriber()) {
            saver.save(&received, subscriber)?;
        }
    }
    if let Some(line) = tally.line(session.clock.now(), link)? {
        print(&line)?;
    }
    Ok(())
}

/// Fewer masks than asked for is a failure, unless the user ended it.
fn enough(arguments: &Arguments, tally: &Tally, link: &mut Link, session: &Session) -> anyhow::Result<()> {
    let total = tally.total;
    let Some(count) = arguments.count.filter(|count| total < *count && !session.interrupt.asked()) else {
        return Ok(());
    };
    if total > 0 {
        bail!("received {total} of {count} masks: the publisher ended, or --seconds is too short");
    }
    let outlook = link.look(true)?;
    bail!("received none of {count} masks: {}", link.why_silent(&outlook))
}

fn done(arguments: &Arguments, tally: &Tally, end: Option<Stamp>, session: &Session) -> bool {
    let enough = arguments.count.is_some_and(|count| tally.total >= count);
    enough || session.interrupt.asked() || end.is_some_and(|end| session.clock.now() >= end)
}

fn config(arguments: &Arguments) -> Config {
    let given = &arguments.publishing;
    let default = Config::default();
    // Who listens for publishers connects to nobody unless told to.
    let connect =
        if given.connect.is_empty() && given.listen.is_empty() { default.connect } else { given.connect.clone() };
    Config {
        prefix: given.prefix.clone().unwrap_or(default.prefix),
        vehicle: given.vehicle.clone().unwrap_or(default.vehicle),
        camera: given.camera.clone().unwrap_or(default.camera),
        connect,
        listen: given.listen.clone(),
        config_file: given.zenoh_config.clone(),
        queue: arguments.queue,
        ..default
    }
}

/// Writes masks as pictures, with the publisher's own class colours.
struct Saver {
    folder: PathBuf,
    /// The session whose masks lie in the folder itself.
    first: Option<u32>,
    classes: Option<ClassTable>,
}

impl Saver {
    /// Makes the folder and tries it out: a mask that cannot be saved is told before any is awaited.
    fn create(folder: &Path) -> anyhow::Result<Self> {
        let shown = folder.display();
        if folder.exists() && !folder.is_dir() {
            return Err(Misuse(format!("--save {shown}: is a file, not a folder: name another")).into());
        }
        std::fs::create_dir_all(folder).with_context(|| format!("--save {shown}: cannot be made"))?;
        let trial = folder.join(format!(".segfuse-{}", std::process::id()));
        let tried = std::fs::write(&trial, []).and_then(|()| std::fs::remove_file(&trial));
        tried.with_context(|| format!("--save {shown}: cannot be written to"))?;
        Ok(Self { folder: folder.into(), first: None, classes: None })
    }

    fn save(&mut self, received: &Received, subscriber: &Subscriber) -> anyhow::Result<()> {
        let classes = match self.classes.take() {
            Some(classes) if classes.hash() == received.header.classes_hash => classes,
            _ => subscriber.classes(ANSWER).context("the publisher does not say what its classes are")?,
        };
        let png = encode_label_png(&received.labels, &classes)?;
        let folder = self.folder_of(received.header.session)?;
        write_whole(&folder.join(format!("{:08}.png", received.header.frame.0)), &png)?;
        self.classes = Some(classes);
        Ok(())
    }

    /// Where the masks of `session` go: every publisher counts its frames from its own beginning.
    fn folder_of(&mut self, session: u32) -> anyhow::Result<PathBuf> {
        if *self.first.get_or_insert(session) == session {
            return Ok(self.folder.clone());
        }
        let folder = self.folder.join(format!("session-{session:08x}"));
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
            tracing::info!("masks of another publisher session are saved in {}", folder.display());
        }
        Ok(folder)
    }
}

/// Writes a file that is whole or not there.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("{}: cannot be written", path.display());
    let mut file = File::create(path).with_context(cannot)?;
    file.write_all(bytes).inspect_err(|_| drop(std::fs::remove_file(path))).with_context(cannot)
}
