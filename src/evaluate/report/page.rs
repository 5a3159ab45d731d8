//! The page: its order, and the parts that hold for any evaluation.

use super::super::table::figure;
use super::plots::Plots;
use super::{ReportContext, sections};
use crate::evaluate::{Calibration, Evaluation, Sweep};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Nothing may be fetched: pictures come from data URIs, style from the page.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

pub(super) fn page(found: &Evaluation, context: &ReportContext, plots: &Plots) -> Markup {
    whole(&context.title, &content(found, context, plots))
}

/// The page of several schedules.
pub(super) fn sweep(found: &Sweep, [by_keys, by_time]: &[Option<String>; 2]) -> Markup {
    let note = html! {
        span.swatch.miou {} "mIoU over all frames " span.swatch.accuracy {} "at the worst distance from the key frame"
    };
    whole(
        "Schedules compared",
        &html! {
            header { h1 { "Schedules compared" } p.subtitle { (found.trip) } }
            (sections::sweep_facts(found))
            (sections::sweep_rows(found))
            (plot("mIoU and the share of key frames", &note, by_keys.as_deref()))
            (plot("mIoU and the time of a frame", &note, by_time.as_deref()))
            footer { (FOOTER) }
        },
    )
}

/// A page of its own, which loads nothing.
fn whole(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    }
}

fn content(found: &Evaluation, context: &ReportContext, plots: &Plots) -> Markup {
    html! {
        header { h1 { (context.title) } p.subtitle { (context.subtitle) } }
        (cards(found))
        (notices(found))
        (facts(found, context))
        @if found.frames > 0 { (sections::classes(found)) }
        (plot("Accuracy and distance from the key frame", &distance_note(), plots.distance.as_deref()))
        (plot("Confidence and truth", &calibration_note(found), plots.calibration.as_deref()))
        (plot("mIoU over time", &html! { (TIME_NOTE) }, plots.miou.as_deref()))
        (plot("What the masks show over time", &html! { (SHARES_NOTE) }, plots.shares.as_deref()))
        @if found.frames == 0 { (sections::legend(found)) }
        @if found.frames > 0 { (sections::confusion(found)) }
        (sections::frames(found, context.zero_s(found)))
        (sections::definitions(found))
        footer { (FOOTER) }
    }
}

const FOOTER: &str = concat!("segfuse ", env!("CARGO_PKG_VERSION"), " · this page is one file and loads nothing");
const TIME_NOTE: &str = "Each frame by itself, over the classes that it has. The mean of these is not the mIoU of the \
     whole set, in which rare classes count the same.";
const SHARES_NOTE: &str = "Share of the pixels that each class takes, stacked in order of class.";

fn distance_note() -> Markup {
    html! {
        span.swatch.miou {} "mIoU " span.swatch.accuracy {} "pixel accuracy, over all frames at each distance. 0: key frames,
        on which the network itself ran; at the others its features were carried along."
    }
}

fn calibration_note(found: &Evaluation) -> Markup {
    html! {
        @for Calibration { of, claimed, right, ece, .. } in &found.calibration {
            (format!("{of}: {claimed:.2} % claimed, {right:.2} % right, expected calibration error {ece:.2} points. "))
        }
        "Of the pixels whose margin between the two best classes claims that they are right with some probability, the share
        that is: " span.swatch.miou {} "key frames " span.swatch.accuracy {} "propagated frames. On the grey line confidence
        is what it says; above it, it is modest."
    }
}

fn cards(found: &Evaluation) -> Markup {
    let steady = &found.temporal_consistency;
    let cards = [
        ("mIoU", percent(found.miou), found.miou.is_some()),
        ("pixel accuracy", percent(found.pixel_accuracy), found.pixel_accuracy.is_some()),
        ("frames with labels", found.frames.to_string(), found.frames > 0),
        ("frames", found.frames_seen.to_string(), found.frames != found.frames_seen),
        ("steady where the truth is", percent(steady.steady), steady.steady.is_some()),
        ("unchanged pixels", percent(steady.unchanged), steady.steady.is_none() && steady.unchanged.is_some()),
        ("video consistency, 8 frames", percent(steady.vc8), steady.vc8.is_some()),
        ("flicker", percent(steady.flicker), steady.flicker.is_some()),
    ];
    html! {
        div.cards {
            @for (name, value, _) in cards.iter().filter(|(.., shown)| *shown) {
                div.card { span.value { (value) } span.name { (name) } }
            }
        }
    }
}

fn percent(value: Option<f64>) -> String {
    format!("{} %", figure(value))
}

fn notices(found: &Evaluation) -> Markup {
    let notices = found.notices();
    html! {
        @if !notices.is_empty() { ul.notices { @for notice in &notices { li { (notice) } } } }
    }
}

fn facts(found: &Evaluation, context: &ReportContext) -> Markup {
    let own = [("engine", &found.engine), ("network", &found.network)];
    let known = own.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let table = [("class table", found.class_table.as_str())];
    let given = context.facts.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    html! {
        dl.facts {
            @for (name, value) in known.chain(table).chain(given) { div { dt { (name) } dd { (value) } } }
        }
    }
}

fn plot(title: &str, note: &Markup, svg: Option<&str>) -> Markup {
    html! {
        @if let Some(svg) = svg {
            section { h2 { (title) } p.note { (note) } div.scroll.plot { (PreEscaped(svg)) } }
        }
    }
}
