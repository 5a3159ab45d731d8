//! An evaluation as a table for the terminal.

use super::calibration::Calibration;
use super::evaluation::{ClassScore, Evaluation, sizes_told};
use std::fmt::{self, Display, Formatter};

/// Characters of the bar that stands for 100 %.
const BAR: usize = 20;

impl Display for Evaluation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_head(self, f)?;
        if self.frames > 0 {
            write_classes(self, f)?;
            write_distances(self, f)?;
            write_calibration(self, f)?;
        } else {
            write_shares(self, f)?;
        }
        write_consistency(self, f)?;
        write_notices(self, f)
    }
}

fn write_head(found: &Evaluation, f: &mut Formatter<'_>) -> fmt::Result {
    let frames = format!("{} of {} frames have labels", found.frames, found.frames_seen);
    writeln!(f, "{frames} · classes of '{}'", plain(&found.class_table))?;
    for (what, who) in [("engine", &found.engine), ("network", &found.network)] {
        if let Some(who) = who {
            writeln!(f, "{what} {}", plain(who))?;
        }
    }
    if found.frames == 0 {
        return Ok(());
    }
    let (miou, accuracy) = (figure(found.miou), figure(found.pixel_accuracy));
    writeln!(f, "\n  mIoU            {miou:>6} %\n  pixel accuracy  {accuracy:>6} %")
}

fn write_classes(found: &Evaluation, f: &mut Formatter<'_>) -> fmt::Result {
    let width = found.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
    writeln!(f, "\n  {:width$}     IoU  {:BAR$}  precision  recall  of truth", "class", "")?;
    for class in &found.classes {
        write_class(class, width, f)?;
    }
    Ok(())
}

fn write_class(class: &ClassScore, width: usize, f: &mut Formatter<'_>) -> fmt::Result {
    let filled = (class.iou.unwrap_or(0.0) / 100.0 * BAR as f64).round() as usize;
    let bar = "█".repeat(filled) + &"·".repeat(BAR - filled.min(BAR));
    let (iou, precision) = (figure(class.iou), figure(class.precision));
    let (recall, share) = (figure(class.recall), figure(class.truth_share));
    writeln!(f, "  {:width$}  {iou:>6}  {bar}  {precision:>9}  {recall:>6}  {share:>8}", plain(&class.name))
}

/// Without labels: what the masks show.
fn write_shares(found: &Evaluation, f: &mut Formatter<'_>) -> fmt::Result {
    let shown = |class: &&ClassScore| class.predicted_share.is_some_and(|share| share > 0.0);
    writeln!(f, "\n  of masks  class")?;
    for class in found.classes.iter().filter(shown) {
        writeln!(f, "  {:>6} %  {}", figure(class.predicted_share), plain(&class.name))?;
    }
    Ok(())
}

fn write_distances(found: &Evaluation, f: &mut Formatter<'_>) -> fmt::Result {
    if found.per_distance.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  frames from key  frames    mIoU  pixel accuracy")?;
    for at in &found.per_distance {
        let (miou, accuracy) = (figure(at.miou), figure(at.pixel_accuracy));
        writeln!(f, "  {:>15}  {:>6}  {miou:>6}  {accuracy:>14}", at.distance, at.frames)?;
    }
    Ok(())
}

fn write_calibration(found: &Evaluation, f: &mut Formatter<'_>) -> fmt::Result {
    if found.calibration.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n  confidence         claimed   right  off by (ECE)")?;
    for Calibration { of, claimed, right, ece, .. } in &found.calibration {
        writeln!(f, "  {of:<17}  {claimed:>7.2}  {right:>6.2}  {ece:>12.2}")?;
    }
    Ok(())
}

fn write_consistency(found: &Evaluation, f: &mut Formatter<'_>) -> fmt::Result {
    let steady = &found.temporal_consistency;
    if steady.pairs + steady.pairs_left_out == 0 {
        return Ok(());
    }
    let left_out = match steady.pairs_left_out {
        0 => String::new(),
        left_out => format!("; {left_out} left out: frames are missing between the two"),
    };
    writeln!(f, "\n  from frame to frame ({} pairs{left_out})", steady.pairs)?;
    for (what, value) in [
        ("unchanged pixels", steady.unchanged),
        ("unchanged where the truth is", steady.steady),
        ("flicker (A B A)", steady.flicker),
        ("video consistency, 8 frames", steady.vc8),
        ("video consistency, 16 frames", steady.vc16),
    ] {
        if value.is_some() {
            writeln!(f, "  {what:<28}  {:>6} %", figure(value))?;
        }
    }
    Ok(())
}

fn write_notices(found: &Evaluation, f: &mut Formatter<'_>) -> fmt::Result {
    let notices = found.notices();
    if !notices.is_empty() {
        writeln!(f)?;
    }
    notices.iter().try_for_each(|notice| writeln!(f, "  note: {}", plain(notice)))
}

impl Evaluation {
    /// What a reader of the figures must know besides them, in sentences.
    pub fn notices(&self) -> Vec<String> {
        let (skipped, pixels) = (&self.skipped, &self.pixels);
        let mut notices = Vec::new();
        let mut tell = |count: u64, what: &str| {
            if count > 0 {
                notices.push(format!("{count} {what}"));
            }
        };
        tell(skipped.frames_without_truth, "frames have no labels and are not in the figures");
        tell(skipped.truth_without_prediction, "label images have no mask and are not in the figures");
        tell(skipped.unreadable, "frames could not be read");
        let sizes = sizes_told(&self.resized);
        tell(self.resized_predictions, &format!("masks were resized to the size of their labels (nearest): {sizes}"));
        tell(
            pixels.unknown_truth,
            "label pixels have ids that their class table does not know: is it the right table?",
        );
        tell(
            pixels.unknown_predicted,
            "mask pixels have ids that their class table does not know: is it the right one?",
        );
        notices.extend(skipped.reasons.iter().cloned());
        if !self.classes_left_out.is_empty() {
            let names = self.classes_left_out.join(", ");
            notices.push(format!("in neither labels nor masks, so not in the mean: {names}"));
        }
        notices
    }
}

/// Two decimals, or a dash.
pub(super) fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// `text` with control characters escaped: names come from files and must not steer a terminal.
pub(super) fn plain(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(plain("wei\u{1b}[2Jß\n"), "wei\\u{1b}[2Jß\\n");
    }

    #[test]
    fn a_figure_that_is_not_there_is_a_dash() {
        assert_eq!((figure(None), figure(Some(64.104))), ("–".to_owned(), "64.10".to_owned()));
    }
}
