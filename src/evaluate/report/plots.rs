//! The plots, as SVG text. Text and grid take their colours from the page's style, for light and dark.

use crate::evaluate::{EvaluateError, Evaluation, Sweep, SweepRow, TimelinePoint};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;
use std::ops::Range;

const SIZE: (u32, u32) = (960, 300);
/// mIoU and pixel accuracy, visible on white and on black; `.miou` and `.accuracy` of the style are the same.
const MIOU_COLOR: RGBColor = RGBColor(47, 129, 247);
const ACCURACY_COLOR: RGBColor = RGBColor(219, 126, 20);
const GRID_COLOR: RGBColor = RGBColor(128, 128, 128);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Line = Vec<(f64, f64)>;

/// Each plot is there if it has at least two points to show.
#[derive(Debug)]
pub(super) struct Plots {
    pub(super) distance: Option<String>,
    pub(super) calibration: Option<String>,
    pub(super) miou: Option<String>,
    pub(super) shares: Option<String>,
}

impl Plots {
    /// Seconds are counted from `zero_s`.
    pub(super) fn draw(found: &Evaluation, zero_s: f64) -> Result<Self, EvaluateError> {
        Ok(Self {
            distance: distance(found)?,
            calibration: calibration(found)?,
            miou: miou(found, zero_s)?,
            shares: shares(found, zero_s)?,
        })
    }
}

/// Mean IoU against the share of key frames and against the time of a frame; nothing where it is known once only.
pub(super) fn sweep(found: &Sweep) -> Result<[Option<String>; 2], EvaluateError> {
    let line = |x: fn(&SweepRow) -> f64, y: fn(&SweepRow) -> Option<f64>| -> Line {
        let mut line: Line = found.rows.iter().filter_map(|row| Some((x(row), y(row)?))).collect();
        line.sort_by(|one, other| one.0.total_cmp(&other.0));
        line
    };
    let plot = |x: fn(&SweepRow) -> f64, x_name: &'static str| {
        let lines = [(MIOU_COLOR, line(x, |row| row.miou)), (ACCURACY_COLOR, line(x, |row| Some(row.worst?.miou)))];
        let Some(last) = lines[0].1.last().filter(|_| lines[0].1.len() > 1).map(|point| point.0) else {
            return Ok(None);
        };
        let axes = Axes { x: 0.0..last * 1.02, x_labels: 11, y: fitting_range(&lines), x_name, y_name: "%" };
        svg(|area| draw_lines(area, &axes, &lines, true)).map(Some)
    };
    Ok([
        plot(|row| row.key_share, "key frames in percent")?,
        plot(|row| row.cost.ms_per_frame, "milliseconds a frame")?,
    ])
}

fn distance(found: &Evaluation) -> Result<Option<String>, EvaluateError> {
    let line = |value: fn(&crate::evaluate::DistanceScore) -> Option<f64>| -> Line {
        found.per_distance.iter().filter_map(|at| Some((f64::from(at.distance), value(at)?))).collect()
    };
    let lines = [(MIOU_COLOR, line(|at| at.miou)), (ACCURACY_COLOR, line(|at| at.pixel_accuracy))];
    let Some(last) = lines[0].1.last().filter(|_| lines[0].1.len() > 1).map(|point| point.0) else { return Ok(None) };
    let axes = Axes {
        x: -0.1..last + 0.1,
        x_labels: (last as usize + 1).min(12),
        y: fitting_range(&lines),
        x_name: "frames since the key frame",
        y_name: "%",
    };
    svg(|area| draw_lines(area, &axes, &lines, true)).map(Some)
}

fn calibration(found: &Evaluation) -> Result<Option<String>, EvaluateError> {
    let line = |of: &str| -> Line {
        let bins = found.calibration.iter().filter(|found| found.of == of).flat_map(|found| &found.bins);
        bins.map(|bin| (bin.claimed, bin.right)).collect()
    };
    let (keys, propagated) = (line("key frames"), line("propagated frames"));
    if keys.len().max(propagated.len()) < 2 {
        return Ok(None);
    }
    let ideal = vec![(50.0, 50.0), (100.0, 100.0)];
    let lines = [(GRID_COLOR, ideal), (MIOU_COLOR, keys), (ACCURACY_COLOR, propagated)];
    let y = 0.0..100.0;
    let axes = Axes { x: 49.0..101.0, x_labels: 11, y, x_name: "right, as claimed, in percent", y_name: "% right" };
    svg(|area| draw_lines(area, &axes, &lines, true)).map(Some)
}

fn miou(found: &Evaluation, zero_s: f64) -> Result<Option<String>, EvaluateError> {
    let (x_name, xs) = time_axis(&found.timeline, zero_s);
    let points: Line = xs.into_iter().zip(&found.timeline).filter_map(|(x, point)| Some((x, point.miou?))).collect();
    let (Some(first), Some(last)) = (points.first(), points.last().filter(|_| points.len() > 1)) else {
        return Ok(None);
    };
    let axes = Axes { x: first.0..last.0, x_labels: 10, y: 0.0..100.0, x_name, y_name: "%" };
    svg(|area| draw_lines(area, &axes, &[(MIOU_COLOR, points.clone())], false)).map(Some)
}

fn shares(found: &Evaluation, zero_s: f64) -> Result<Option<String>, EvaluateError> {
    let (x_name, xs) = time_axis(&found.timeline, zero_s);
    let (Some(&first), Some(&last)) = (xs.first(), xs.last().filter(|_| xs.len() > 1)) else { return Ok(None) };
    let axes = Axes { x: first..last, x_labels: 10, y: 0.0..100.0, x_name, y_name: "% of pixels" };
    svg(|area| draw_shares(area, &axes, &xs, found)).map(Some)
}

/// The name of the time axis and each point's place: seconds since `zero_s` where every point has
/// a stamp and time moves, else the frame's number.
fn time_axis(points: &[TimelinePoint], zero_s: f64) -> (&'static str, Vec<f64>) {
    let stamps: Option<Vec<f64>> = points.iter().map(|point| point.stamp_s).collect();
    match stamps.as_deref() {
        Some(stamps @ [first, .., last]) if last > first => ("seconds", stamps.iter().map(|s| s - zero_s).collect()),
        _ => ("frame", points.iter().map(|point| point.frame as f64).collect()),
    }
}

struct Axes {
    x: Range<f64>,
    y: Range<f64>,
    x_labels: usize,
    x_name: &'static str,
    y_name: &'static str,
}

type ColoredLine = (RGBColor, Line);

/// A range in steps of 5 that holds all values, at least 10 wide, within 0 to 100.
fn fitting_range(lines: &[ColoredLine]) -> Range<f64> {
    let values = || lines.iter().flat_map(|(_, line)| line.iter().map(|point| point.1));
    let (low, high) = (values().fold(100.0, f64::min), values().fold(0.0, f64::max));
    let low = (((low - 2.0) / 5.0).floor() * 5.0).clamp(0.0, 90.0);
    low..(((high + 2.0) / 5.0).ceil() * 5.0).clamp(low + 10.0, 100.0)
}

fn svg(draw: impl FnOnce(&Area) -> Result<(), EvaluateError>) -> Result<String, EvaluateError> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&area)?;
        area.present().map_err(refuse)?;
    }
    Ok(text)
}

fn refuse(error: impl Display) -> EvaluateError {
    EvaluateError::Plot(error.to_string())
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn chart<'a, 'b>(area: &'a Area<'b>, axes: &Axes) -> Result<Chart<'a, 'b>, EvaluateError> {
    let mut builder = ChartBuilder::on(area);
    builder.margin(8).margin_right(24).x_label_area_size(44).y_label_area_size(60);
    let mut chart = builder.build_cartesian_2d(axes.x.clone(), axes.y.clone()).map_err(refuse)?;
    let label = |value: &f64| format!("{}", (value * 100.0).round() / 100.0);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID_COLOR.mix(0.35))
        .light_line_style(TRANSPARENT)
        .axis_style(GRID_COLOR)
        .label_style(("sans-serif", 18))
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .y_labels(6)
        .x_labels(axes.x_labels)
        .x_desc(axes.x_name)
        .y_desc(axes.y_name)
        .draw()
        .map_err(refuse)?;
    Ok(chart)
}

fn draw_lines(area: &Area, axes: &Axes, lines: &[ColoredLine], dots: bool) -> Result<(), EvaluateError> {
    let mut chart = chart(area, axes)?;
    for (color, points) in lines {
        let series = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        chart.draw_series(if dots { series.point_size(4) } else { series }).map_err(refuse)?;
    }
    Ok(())
}

fn draw_shares(area: &Area, axes: &Axes, xs: &[f64], found: &Evaluation) -> Result<(), EvaluateError> {
    let mut chart = chart(area, axes)?;
    let mut base = vec![0.0; xs.len()];
    for (index, class) in found.classes.iter().enumerate() {
        let top: Vec<f64> =
            base.iter().zip(&found.timeline).map(|(base, point)| base + point.share_percent(index)).collect();
        let lower = xs.iter().copied().zip(base.iter().copied()).rev();
        let outline: Line = xs.iter().copied().zip(top.iter().copied()).chain(lower).collect();
        let [red, green, blue] = class.color;
        if top != base {
            let shape = Polygon::new(outline, RGBColor(red, green, blue).filled());
            chart.draw_series(std::iter::once(shape)).map_err(refuse)?;
        }
        base = top;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_plot_holds_its_values_in_steps_of_five() {
        let line = |values: [f64; 2]| [(MIOU_COLOR, vec![(0.0, values[0]), (1.0, values[1])])];
        for (values, expected) in [([64.0, 58.0], 55.0..70.0), ([99.9, 99.0], 90.0..100.0), ([0.0, 1.0], 0.0..10.0)] {
            assert_eq!(fitting_range(&line(values)), expected, "{values:?}");
        }
    }
}
