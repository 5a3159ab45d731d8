//! `segfuse doctor`: what this computer has for a drive, and what is wrong with it.
//!
//! ```text
//! configuration ─▶ cameras, buses, signals │ clocks, process │ network, GPU, Zenoh, disk ─▶ findings ─▶ table, JSON, status
//! ```
//!
//! It starts camera and buses as a drive would, and lets them go again; beside a drive, what that holds for itself (the
//! camera, Zenoh's port) is told as taken. A fault is something without which the configured drive does not start or has no masks.

mod sources;
mod system;

use super::logging::printable;
use super::output::print;
use super::replay::seconds;
use super::session::Session;
use crate::config::Config;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  segfuse doctor                                       what is here, against the defaults
  segfuse doctor --config /etc/segfuse/vehicle.toml    against what a drive is configured for
  segfuse doctor --config vehicle.toml --json | jq '.[] | select(.mark != \"ok\")'

Exit status: 0 no fault (there may be warnings), 1 at least one fault, 2 wrong configuration.";

/// Options of `segfuse doctor`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration that a drive is to have.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
    /// How long to listen to the buses for their signals.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    pub listen: f64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    Ok,
    /// A drive works, but less well than it could.
    Warning,
    /// A drive does not start, or has no masks.
    Fault,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at, such as `camera`.
    subject: &'static str,
    mark: Mark,
    /// What was seen.
    seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { subject, mark: Mark::Ok, seen: seen.into(), remedy: None }
    }

    fn warning(subject: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, mark: Mark::Warning, seen: seen.into(), remedy: Some(remedy.into()) }
    }

    fn fault(subject: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, mark: Mark::Fault, seen: seen.into(), remedy: Some(remedy.into()) }
    }
}

/// All that was seen.
#[derive(Serialize)]
#[serde(transparent)]
struct Findings(Vec<Finding>);

/// Looks at everything; an error if something is a fault.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let config = arguments.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    let mut findings = sources::cameras(&config, session);
    findings.extend(sources::buses(&config.bus));
    findings.extend(sources::signals(&config, arguments.listen, session));
    findings.extend(system::clocks());
    findings.extend(system::process(&config.process));
    findings.extend(system::network(&config, session));
    findings.push(system::gpu(&config));
    #[cfg(feature = "zenoh")]
    findings.push(system::zenoh(&config.zenoh));
    findings.extend(system::disk(&config));
    let faults = findings.iter().filter(|finding| finding.mark == Mark::Fault).count();
    let findings = Findings(findings);
    if arguments.json {
        print(&serde_json::to_string_pretty(&findings)?)?;
    } else {
        print(&printable(&findings.to_string()))?;
    }
    anyhow::ensure!(faults == 0, "{faults} of these {}", if faults == 1 { "is a fault" } else { "are faults" });
    Ok(())
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Finding { subject, mark, seen, remedy }) in self.0.iter().enumerate() {
            let mark = match mark {
                Mark::Ok => "ok",
                Mark::Warning => "WARNING",
                Mark::Fault => "FAULT",
            };
            let line = if place == 0 { "" } else { "\n" };
            write!(f, "{line}{subject:<9} {mark:<8} {}", seen.replace('\n', "\n                   "))?;
            if let Some(remedy) = remedy {
                write!(f, "\n                   -> {remedy}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_stands_in_the_table_with_what_to_do_about_it() {
        let findings = Findings(vec![
            Finding::ok("camera", "/dev/video0: vivid"),
            Finding::fault("bus", "can0 is down", "ip link set can0 up type can bitrate 500000"),
        ]);
        let expected = "camera    ok       /dev/video0: vivid\nbus       FAULT    can0 is down\n                   \
                        -> ip link set can0 up type can bitrate 500000";
        assert_eq!(findings.to_string(), expected);
        let json = serde_json::to_value(&findings).expect("JSON");
        assert_eq!((&json[0]["mark"], &json[1]["subject"]), (&"ok".into(), &"bus".into()));
    }
}
