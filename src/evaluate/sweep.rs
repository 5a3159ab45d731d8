//! One trip under several schedules: what fewer key frames cost, and what they save.

use super::evaluation::Evaluation;
use super::table::{figure, plain};
use super::temporal::TemporalConsistency;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// All runs of one trip, the reference first: the network on every frame.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// The trip.
    pub trip: String,
    /// Name of the class table evaluated in.
    pub class_table: String,
    /// The network and its hash, the runtime.
    pub network: String,
    /// XXH3-64 of the network's files.
    pub network_hash: String,
    /// The runtime and its version.
    pub engine: String,
    /// Frames that have labels, of all frames.
    pub labelled: u64,
    /// A run each.
    pub rows: Vec<SweepRow>,
}

/// One schedule. Shares, IoU and losses are in percent and points of percent; `null` where nothing could tell.
#[derive(Clone, Debug, Serialize)]
pub struct SweepRow {
    /// What was run, and what it took.
    #[serde(flatten)]
    pub cost: RunCost,
    /// Key frames, in percent of the frames.
    pub key_share: f64,
    /// Mean IoU over the whole set.
    pub miou: Option<f64>,
    /// By how much it is less than the reference's.
    pub loss: Option<f64>,
    /// Share of the labelled pixels predicted right.
    pub pixel_accuracy: Option<f64>,
    /// The distance from the key frame with the lowest mean IoU.
    pub worst: Option<WorstDistance>,
    /// Steadiness from frame to frame.
    pub temporal_consistency: TemporalConsistency,
    /// How many times as fast as the reference, by the mean.
    pub speedup: f64,
}

/// The distance from the key frame at which masks are worst.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorstDistance {
    /// Frames behind the key frame.
    pub distance: u32,
    /// Mean IoU of the frames there.
    pub miou: f64,
    /// By how much it is less than the reference's of the whole set.
    pub loss: f64,
}

/// What a run took.
#[derive(Clone, Debug, Serialize)]
pub struct RunCost {
    /// Such as `every:5`.
    pub schedule: String,
    /// Frames answered.
    pub frames: u64,
    /// Of these, key frames: looked at by the whole network.
    pub keys: u64,
    /// From a frame to its mask: the mean over all frames, reading and scoring not included.
    pub ms_per_frame: f64,
    /// Median of the same.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
    /// XXH3-64 over the masks.
    pub mask_hash: String,
}

impl Sweep {
    /// Adds a run. The first one is the reference of all.
    pub fn push(&mut self, cost: RunCost, found: &Evaluation) {
        let reference = self.rows.first();
        let reference_miou = reference.map_or(found.miou, |reference| reference.miou);
        let reference_ms = reference.map_or(cost.ms_per_frame, |reference| reference.cost.ms_per_frame);
        let less = |miou: f64| reference_miou.map(|reference| reference - miou);
        let at = found.per_distance.iter().filter_map(|at| Some((at.distance, at.miou?)));
        let worst = at.min_by(|one, other| one.1.total_cmp(&other.1));
        self.labelled = found.frames;
        self.rows.push(SweepRow {
            key_share: if cost.frames > 0 { 100.0 * cost.keys as f64 / cost.frames as f64 } else { 0.0 },
            miou: found.miou,
            loss: found.miou.and_then(less),
            pixel_accuracy: found.pixel_accuracy,
            worst: worst.and_then(|(distance, miou)| Some(WorstDistance { distance, miou, loss: less(miou)? })),
            temporal_consistency: found.temporal_consistency,
            speedup: if cost.ms_per_frame > 0.0 { reference_ms / cost.ms_per_frame } else { 1.0 },
            cost,
        });
    }
}

impl Display for Sweep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let frames = self.rows.first().map_or(0, |row| row.cost.frames);
        writeln!(f, "{} of {frames} frames have labels · classes of '{}'", self.labelled, plain(&self.class_table))?;
        writeln!(f, "network {} · engine {}\n", plain(&self.network), plain(&self.engine))?;
        let width = self.rows.iter().map(|row| row.cost.schedule.len()).max().unwrap_or(0).max(12);
        writeln!(
            f,
            "  {:<width$} {:>7}  {:>6} {:>6}  {:>6} {:>4}  {:>6}  {:>8} {:>7} {:>7}  {:>6}",
            "schedule", "keys %", "mIoU", "loss", "worst", "at", "steady", "ms/frame", "p50", "p99", "faster"
        )?;
        self.rows.iter().try_for_each(|row| write_row(row, width, f))?;
        writeln!(
            f,
            "\n  loss: points of mIoU less than {}; worst: mIoU of the classes seen at the worst distance",
            self.reference()
        )?;
        write!(f, "  steady: unchanged pixels where the truth is; ms from a frame to its mask: mean, p50, p99")
    }
}

impl Sweep {
    /// The schedule that the others are compared with.
    pub(super) fn reference(&self) -> &str {
        self.rows.first().map_or("", |row| &row.cost.schedule)
    }
}

fn write_row(row: &SweepRow, width: usize, f: &mut Formatter<'_>) -> fmt::Result {
    let worst = row.worst.map_or((figure(None), String::new()), |at| (figure(Some(at.miou)), at.distance.to_string()));
    writeln!(
        f,
        "  {:<width$} {:>7.1}  {:>6} {:>6}  {:>6} {:>4}  {:>6}  {:>8.2} {:>7.2} {:>7.2}  {:>5.2}x",
        row.cost.schedule,
        row.key_share,
        figure(row.miou),
        figure(row.loss),
        worst.0,
        worst.1,
        figure(row.temporal_consistency.steady),
        row.cost.ms_per_frame,
        row.cost.p50_ms,
        row.cost.p99_ms,
        row.speedup,
    )
}
