//! `segfuse flow`: optical flow of two pictures, and how far a flow is from the truth.

use super::output::{keep_apart, print};
use crate::data::{Image, PixelFormat, Size};
use crate::flow::{DenseFlow, FlowErrors, FlowField, GreyPyramid};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

const ESTIMATE_EXAMPLES: &str = "\
Examples:
  segfuse flow estimate 000010_10.png 000010_11.png --out flow.png      KITTI's 16-bit PNG
  segfuse flow estimate frame10.jpg frame11.jpg --out flow.flo          Middlebury's floats
  segfuse flow estimate frame10.jpg frame11.jpg --out flow.png --check  without what has no way back

The flow says of each pixel of FIRST where in SECOND its content is: x to the right, y down, in pixels.
It is the one that masks are carried by: patches on pictures of at most 320 pixels, made for a network's
feature grid, not for a benchmark of single pixels. Where a picture shows nothing (flat, black) nothing
moves, and --check keeps that.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  segfuse flow compare flow.png flow_gt.png
  segfuse flow compare flow.flo flow10.flo --json

Unknown pixels of TRUTH do not count; those of ESTIMATE are outliers and in no mean.";

/// The flow commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Estimate where each pixel of one picture is in another.
    Estimate(Estimate),
    /// Measure a flow against the truth: end-point error, outliers.
    Compare(Compare),
}

/// Options of `segfuse flow estimate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = ESTIMATE_EXAMPLES)]
pub struct Estimate {
    /// The picture whose pixels are looked for: PNG or JPEG.
    pub first: PathBuf,
    /// The picture in which they are looked for.
    pub second: PathBuf,
    /// The flow: .png as KITTI has it, or .flo as Middlebury has it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Estimate the way back as well, and leave out, as unknown, pixels from which it does not lead home: those that are
    /// hidden in SECOND or were followed wrongly. Takes twice the time.
    #[arg(long)]
    pub check: bool,
}

/// Options of `segfuse flow compare`.
#[derive(Args, Clone, Debug)]
#[command(after_help = COMPARE_EXAMPLES)]
pub struct Compare {
    /// The flow to measure: .png or .flo.
    pub estimate: PathBuf,
    /// The true flow.
    pub truth: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Runs one of the flow commands.
pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Estimate(arguments) => estimate(arguments),
        Command::Compare(arguments) => compare(arguments),
    }
}

fn estimate(Estimate { first, second, out, check }: &Estimate) -> anyhow::Result<()> {
    keep_apart(&[first, second], &[Some(out)])?;
    let [one, other] = [read_picture(first)?, read_picture(second)?];
    if one.size() != other.size() {
        let sizes = format!("{} is {}, {} is {}", first.display(), one.size(), second.display(), other.size());
        return Err(anyhow!("{sizes}: flow needs two pictures of one size"));
    }
    let pyramid = |image: &Image, path: &Path| GreyPyramid::build(image).with_context(|| path.display().to_string());
    let (earlier, current) = (pyramid(&other, second)?, pyramid(&one, first)?);
    let Size { width, height } = one.size();
    if !current.is_searchable() {
        return Err(anyhow!(
            "{} and {} are {width}x{height}: too small for flow, which looks for 8x8 pixels in pictures of at most 320",
            first.display(),
            second.display()
        ));
    }
    let (rows, cols, mut estimator) = (height as usize, width as usize, DenseFlow::new());
    let mut flow = estimator.estimate(&earlier, &current, rows, cols);
    let left_out = check.then(|| flow.keep_what_comes_back(&estimator.estimate(&current, &earlier, rows, cols), 1.0));
    flow.write(out)?;
    let lengths = flow.motions().map(|[x, y]| f64::from(x.hypot(y))).filter(|length| length.is_finite());
    let (pixels, gone) = (rows * cols, left_out.unwrap_or(0));
    let mean = lengths.sum::<f64>() / (pixels - gone).max(1) as f64;
    let part = 100.0 * gone as f64 / pixels as f64;
    let left_out = left_out.map_or(String::new(), |_| format!(", {part:.1} % left out"));
    print(&format_args!("{}: {width}x{height}, {mean:.2} pixels in the mean{left_out}", out.display()))
}

fn read_picture(path: &Path) -> anyhow::Result<Image> {
    let shown = || path.display().to_string();
    let picture = image::ImageReader::open(path).with_context(shown)?.with_guessed_format().with_context(shown)?;
    let picture = picture.decode().with_context(shown)?.into_rgb8();
    let size = Size::new(picture.width(), picture.height());
    Image::packed(PixelFormat::Rgb8, size, picture.into_raw().into()).with_context(shown)
}

fn compare(Compare { estimate, truth, json }: &Compare) -> anyhow::Result<()> {
    let [found, real] = [FlowField::read(estimate)?, FlowField::read(truth)?];
    let cannot = |reason: String| anyhow!("{} and {}: {reason}", estimate.display(), truth.display());
    let errors = FlowErrors::between(&found, &real).map_err(cannot)?;
    if errors.known == 0 {
        return Err(cannot("the truth is known nowhere: there is nothing to compare".to_owned()));
    }
    if *json {
        return print(&serde_json::to_string_pretty(&errors).context("as JSON")?);
    }
    let end_point_error = errors.end_point_error.map_or("unknown".to_owned(), |mean| format!("{mean:.4} pixels"));
    let outliers = errors.outliers.unwrap_or(100.0);
    let share = 100.0 * errors.estimated as f64 / errors.known as f64;
    print(&format_args!(
        "end-point error  {end_point_error}\noutliers (Fl)    {outliers:.3} %, over 3 pixels and 5 %\npixels           {} with a known truth, {share:.1} % of them estimated",
        errors.known
    ))
}
