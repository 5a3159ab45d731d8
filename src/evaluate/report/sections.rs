//! The parts of the page that show classes and frames.

use super::super::confusion::percent;
use super::super::table::figure;
use crate::evaluate::{ClassScore, Evaluation, Picture, ShownFrame, Sweep, SweepRow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

/// The table of classes with a bar for each IoU.
pub(super) fn classes(found: &Evaluation) -> Markup {
    html! {
        section {
            h2 { "Classes" }
            div.scroll {
                table.classes {
                    thead { tr {
                        th { "class" } th.wide { "IoU" } th { "" } th { "precision" } th { "recall" } th { "of truth" }
                        th { "of masks" }
                    } }
                    tbody { @for class in &found.classes { (class_row(class)) } }
                }
            }
        }
    }
}

fn class_row(class: &ClassScore) -> Markup {
    let width = format!("width:{:.2}%;background:{}", class.iou.unwrap_or(0.0), css(class.color));
    html! {
        tr {
            th scope="row" { (swatch(class.color)) (class.name) }
            td.wide { div.track { div.bar style=(width) {} } }
            td.strong { (figure(class.iou)) }
            td { (figure(class.precision)) }
            td { (figure(class.recall)) }
            td { (figure(class.truth_share)) }
            td { (figure(class.predicted_share)) }
        }
    }
}

fn swatch(color: [u8; 3]) -> Markup {
    html! { span.swatch style={ "background:" (css(color)) } {} }
}

fn css([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The classes' colours.
pub(super) fn legend(found: &Evaluation) -> Markup {
    html! {
        p.legend { @for class in &found.classes { span { (swatch(class.color)) (class.name) } } }
    }
}

/// The confusion matrix with each row as shares of its true class.
pub(super) fn confusion(found: &Evaluation) -> Markup {
    let names = || found.classes.iter().map(|class| class.name.as_str());
    html! {
        section {
            h2 { "Confusion" }
            p.note { "Rows: the true class. Columns: what its pixels were taken for, in percent of the row." }
            div.scroll {
                table.confusion {
                    thead { tr { th {} @for name in names().chain(["none"]) { th { span { (name) } } } } }
                    tbody { @for (index, name) in names().enumerate() { (confusion_row(found, index, name)) } }
                }
            }
        }
    }
}

fn confusion_row(found: &Evaluation, index: usize, name: &str) -> Markup {
    let row = &found.confusion[index];
    let total = row.iter().sum();
    html! {
        tr {
            th scope="row" { (name) }
            @for (column, &count) in row.iter().enumerate() { (confusion_cell(percent(count, total), column == index)) }
        }
    }
}

fn confusion_cell(share: Option<f64>, hit: bool) -> Markup {
    let Some(share) = share else { return html! { td.absent { "–" } } };
    let text = if share >= 0.95 { format!("{share:.0}") } else { String::new() };
    html! {
        td class=(if hit { "hit" } else { "miss" }) title=(format!("{share:.2} %")) style=(format!("--v:{:.3}", share / 100.0)) {
            (text)
        }
    }
}

/// The frames shown, each with its pictures and its seconds since `zero_s`.
pub(super) fn frames(found: &Evaluation, zero_s: f64) -> Markup {
    let title = if found.frames > 0 { "Worst frames" } else { "Frames" };
    html! {
        @if !found.shown_frames.is_empty() {
            section {
                h2 { (title) }
                @if found.frames > 0 {
                    p.note {
                        "Lowest mIoU of their own, at most one of any five neighbours. Error map: "
                        span.swatch.wrong {} "wrong, " span.swatch.right {} "right, " span.swatch.ignored {} "not labelled."
                    }
                    (legend(found))
                }
                @for shown in &found.shown_frames { (frame(shown, zero_s)) }
            }
        }
    }
}

fn frame(shown: &ShownFrame, zero_s: f64) -> Markup {
    html! {
        article {
            h3 { (shown.name) span.note { (describe(shown, zero_s)) } }
            div.pictures {
                @match &shown.picture {
                    Ok(picture) => { (figure_of("picture", picture, &shown.name)) },
                    Err(reason) => { @if reason != "no picture" { p.note { "picture: " (reason) } } },
                }
                (figure_of("mask", &shown.prediction, &shown.name))
                @if let Some(truth) = &shown.truth { (figure_of("truth", truth, &shown.name)) }
                @if let Some(errors) = &shown.errors { (figure_of("errors", errors, &shown.name)) }
            }
        }
    }
}

fn describe(shown: &ShownFrame, zero_s: f64) -> String {
    let mut parts = Vec::new();
    if shown.miou.is_some() {
        parts.push(format!("mIoU {} %", figure(shown.miou)));
        parts.push(format!("pixel accuracy {} %", figure(shown.pixel_accuracy)));
    }
    parts.extend(shown.stamp.map(|stamp| format!("at {:.3} s", stamp.secs_f64() - zero_s)));
    parts.extend(shown.distance.map(|distance| match distance {
        0 => "key frame".to_owned(),
        frames => format!("{frames} after its key frame"),
    }));
    parts.join(" · ")
}

fn figure_of(what: &str, picture: &Picture, name: &str) -> Markup {
    let uri = format!("data:{};base64,{}", picture.media_type, STANDARD.encode(&picture.bytes));
    html! { figure { img src=(uri) alt={ (what) " of frame " (name) }; figcaption { (what) } } }
}

/// What was swept.
pub(super) fn sweep_facts(found: &Sweep) -> Markup {
    let labelled = found.labelled.to_string();
    let facts = [
        ("network", found.network.as_str()),
        ("network hash", &found.network_hash),
        ("engine", &found.engine),
        ("class table", &found.class_table),
        ("frames with labels", &labelled),
    ];
    html! { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

/// A row for each schedule.
pub(super) fn sweep_rows(found: &Sweep) -> Markup {
    html! {
        section {
            h2 { "Schedules" }
            p.note {
                "Loss: points of mIoU less than " (found.reference()) ". Worst: the distance from the key frame with the lowest
                mIoU. Steady: unchanged pixels where the truth is. Times are of this run on this machine, from a frame to
                its mask."
            }
            div.scroll {
                table.classes {
                    thead { tr {
                        th { "schedule" } th { "key frames" } th { "mIoU" } th { "loss" } th { "worst" } th { "at" } th { "steady" }
                        th { "ms a frame" } th { "p50 ms" } th { "p99 ms" } th { "faster" }
                    } }
                    tbody { @for row in &found.rows { (sweep_row(row)) } }
                }
            }
        }
    }
}

fn sweep_row(row: &SweepRow) -> Markup {
    html! {
        tr {
            th scope="row" { (row.cost.schedule) }
            td { (format!("{:.1} %", row.key_share)) }
            td.strong { (figure(row.miou)) }
            td { (figure(row.loss)) }
            td { (figure(row.worst.map(|worst| worst.miou))) }
            td { @if let Some(worst) = row.worst { (worst.distance) } }
            td { (figure(row.temporal_consistency.steady)) }
            td { (format!("{:.2}", row.cost.ms_per_frame)) }
            td { (format!("{:.2}", row.cost.p50_ms)) }
            td { (format!("{:.2}", row.cost.p99_ms)) }
            td { (format!("{:.2}x", row.speedup)) }
        }
    }
}

/// How each figure is defined.
pub(super) fn definitions(found: &Evaluation) -> Markup {
    html! {
        section.definitions {
            h2 { "How the figures are defined" }
            dl {
                dt { "IoU" }
                dd { "TP / (TP + FP + FN) of a class, from one confusion matrix over all frames. Pixels without a label
                    are left out. A mask pixel without a class counts as a miss of the true class." }
                dt { "mIoU" }
                dd { "Mean IoU of the classes that labels or masks have; a class in neither is left out and named above." }
                dt { "Pixel accuracy" }
                dd { "Labelled pixels predicted right." }
                dt { "Size" }
                dd { "A mask of another size than its labels is resized to theirs by nearest neighbour, as OpenCV's INTER_NEAREST does." }
                dt { "Unchanged, steady, flicker" }
                dd { "Pixels with the class of the frame before; the same where the true class also stayed the same;
                    pixels whose class went and came back within three frames. All at fixed pixels: motion counts as change.
                    Over frames further apart than 1.5 of the median interval none is counted: "
                    (found.temporal_consistency.pairs_left_out) " pairs left out." }
                dt { "Video consistency (VC) over n frames" }
                dd { "Of the pixels whose true class is the same in n consecutive frames, those predicted right in all n;
                    mean over all windows (Miao et al., VSPW, CVPR 2021)." }
                dt { "Frames" }
                dd { (found.frames_seen) " masks, " (found.frames) " with labels, " (found.pixels.labelled) " labelled pixels, "
                    (found.pixels.ignored) " ignored." }
            }
        }
    }
}
