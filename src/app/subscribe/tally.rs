//! What came, in lines for people or objects for programs.

use super::link::{Link, Outlook};
use crate::data::Stamp;
use crate::subscribe::{Counts, Presence, Received};
use serde_json::{Value, json};

/// What came, since the start and in the current second.
pub(super) struct Tally {
    pub(super) total: u64,
    keys: u64,
    second_began: Stamp,
    in_second: u64,
    age_ms: Option<f64>,
    worst_age_ms: Option<f64>,
    /// The most publishers that were there at once.
    most_publishers: usize,
    outlook: Outlook,
    json: bool,
}

impl Tally {
    pub(super) fn new(now: Stamp, json: bool) -> Self {
        Self {
            total: 0,
            keys: 0,
            second_began: now,
            in_second: 0,
            age_ms: None,
            worst_age_ms: None,
            most_publishers: 0,
            outlook: Outlook::default(),
            json,
        }
    }

    pub(super) fn take(&mut self, received: &Received, link: &Link) {
        self.total += 1;
        self.in_second += 1;
        self.keys += u64::from(received.header.origin.distance() == 0);
        self.age_ms = received.age_ms();
        self.worst_age_ms = self.worst_age_ms.into_iter().chain(self.age_ms).reduce(f64::max);
        self.most_publishers = self.most_publishers.max(link.publishers());
    }

    /// The line of a second that is over.
    pub(super) fn line(&mut self, now: Stamp, link: &mut Link) -> anyhow::Result<Option<String>> {
        let seconds = now.signed_ns_since(self.second_began) as f64 / 1e9;
        if seconds < 1.0 {
            return Ok(None);
        }
        let rate_hz = self.in_second as f64 / seconds;
        if self.in_second == 0 {
            self.age_ms = None;
        }
        (self.second_began, self.in_second) = (now, 0);
        self.outlook = link.look(self.total == 0)?;
        self.most_publishers = self.most_publishers.max(self.outlook.publishers);
        Ok(Some(if self.json { self.json_line(rate_hz, link) } else { self.text_line(rate_hz, link) }))
    }

    fn json_line(&self, rate_hz: f64, link: &Link) -> String {
        let counts = link.counts();
        let Outlook { connected, publishers, elsewhere } = &self.outlook;
        json!({
            "rate_hz": rate_hz,
            "age_ms": self.age_ms,
            "received": self.total,
            "gaps": counts.gaps,
            "missed": counts.missed,
            "joined_at": counts.joined_at,
            "before_joining": counts.before_joining,
            "restarts": counts.restarts,
            "publishers": publishers,
            "connected": connected,
            "elsewhere": elsewhere.iter().map(named).collect::<Vec<_>>(),
        })
        .to_string()
    }

    fn text_line(&self, rate_hz: f64, link: &Link) -> String {
        if self.total == 0 {
            return format!("waiting: {}", link.why_silent(&self.outlook));
        }
        let (counts, total, publishers) = (link.counts(), self.total, self.outlook.publishers);
        let age = if rate_hz > 0.0 { ms(self.age_ms) } else { "-".to_owned() };
        let lost = if self.outlook.connected { "" } else { "  connection lost" };
        format!(
            "{rate_hz:5.1} masks/s  age {age}  received {total}  gaps {} ({} missed)  publishers {publishers}{lost}",
            counts.gaps, counts.missed
        )
    }

    /// The totals.
    pub(super) fn summary(&self, link: &Link) -> String {
        let most_publishers = self.most_publishers.max(link.publishers());
        let (counts, total, keys) = (link.counts(), self.total, self.keys);
        let propagated = total - keys;
        if self.json {
            return json!({
                "received": total,
                "keys": keys,
                "propagated": propagated,
                "gaps": counts.gaps,
                "missed": counts.missed,
                "joined_at": counts.joined_at,
                "before_joining": counts.before_joining,
                "overflowed": counts.overflowed,
                "damaged": counts.damaged,
                "foreign": counts.foreign,
                "restarts": counts.restarts,
                "publishers": most_publishers,
                "worst_age_ms": self.worst_age_ms,
            })
            .to_string();
        }
        let age = if total == 0 { "none".into() } else { ms(self.worst_age_ms) };
        format!(
            "received {total} masks ({keys} key, {propagated} propagated), {} missed in {} gaps ({} overflowed here, \
             {} damaged), {} publisher restarts, at most {most_publishers} publishers at once, worst age {age}{}",
            counts.missed,
            counts.gaps,
            counts.overflowed,
            counts.damaged,
            counts.restarts,
            joined(&counts),
        )
    }
}

/// When the first mask heard was not the first one published: which it was and what came before.
fn joined(counts: &Counts) -> String {
    let at = counts.joined_at.unwrap_or(0);
    match (at, counts.before_joining) {
        (0, 0) => String::new(),
        (0, before) => format!(", {before} masks of further publishers before they were heard"),
        (at, 0) => format!(", joined at sequence {at} ({at} masks before it, counted as missed)"),
        (at, before) => format!(", joined at sequence {at} ({before} masks before it)"),
    }
}

fn named(publisher: &Presence) -> Value {
    json!({"prefix": publisher.prefix, "vehicle": publisher.vehicle, "camera": publisher.camera})
}

fn ms(age_ms: Option<f64>) -> String {
    age_ms.map_or_else(|| "unknown (replay at full speed)".to_owned(), |age_ms| format!("{age_ms:.1} ms"))
}
