//! The cameras, the buses, and what is heard on them.

use super::super::live::{Plan, check_calibration};
use super::super::session::Session;
use super::{Finding, Mark};
use crate::config::Config;
use crate::data::{CanId, Event, HealthBoard, PixelFormat, Quantity, Reading};
use crate::source::camera::{Camera, CameraError};
use crate::source::can::bus::{self, Bus, BusConfig};
use crate::source::can::{CanDecoder, Decoding};
use crate::source::inbox::Inbox;
use crate::source::{Prepare, Source, camera};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Every camera, and whether the one configured is among them and gives what is asked of it.
pub(super) fn cameras(config: &Config, session: &Session) -> Vec<Finding> {
    let (all, device) = (camera::discover(), &config.camera.device);
    let mut findings: Vec<Finding> = all.iter().map(|found| told(found, is_meant(found, device))).collect();
    if findings.iter().all(|finding| finding.mark != Mark::Fault) {
        findings.push(tried(config, &all, session));
    }
    findings
}

/// Starts the configured camera as a drive would, and lets it go again.
fn tried(config: &Config, all: &[camera::Found], session: &Session) -> Finding {
    let clock = Arc::clone(&session.clock);
    let (_inbox, intake) = Inbox::new(Arc::new(move || clock.now()));
    let health = HealthBoard::new().enter("camera", true, intake.now());
    let asked = camera::Config { wait: false, ..config.camera.clone() };
    let started = Camera::start(&asked, intake, health, Arc::new(|_: &str| ()));
    let agreed = match &started {
        Ok(camera) => camera.agreed(),
        Err(error) => return refused(error, &config.camera, all),
    };
    let Some(agreed) = agreed else { return Finding::fault("camera", "it told nothing of itself", "tell its makers") };
    let rate = agreed.rate_hz.map(|rate_hz| format!(" at {rate_hz:.2} Hz")).unwrap_or_default();
    let seen = format!("as configured: {} {}{rate}", agreed.size, agreed.format.name());
    match check_calibration(config.calibration.as_ref(), agreed) {
        Ok(()) => Finding::ok("camera", seen),
        Err(reason) => Finding::fault("camera", reason, "mend [calibration], or camera.size"),
    }
}

fn refused(error: &CameraError, config: &camera::Config, all: &[camera::Found]) -> Finding {
    let seen = error.to_string();
    match error {
        CameraError::Busy { .. } => Finding::warning("camera", seen, "if that is a drive, all is well"),
        CameraError::Absent { .. } if config.wait => Finding::warning(
            "camera",
            format!("{} is not there yet", config.device),
            "a drive waits for it (camera.wait)",
        ),
        CameraError::Absent { .. } => {
            let other = all.first().map(|other| format!(", or set camera.device = \"{}\"", best_name(other)));
            Finding::fault("camera", seen, format!("plug it in{}", other.unwrap_or_default()))
        }
        _ => Finding::fault("camera", seen, "mend [camera]"),
    }
}

fn is_meant(found: &camera::Found, device: &str) -> bool {
    let place = found.camera.as_ref().map(|camera| format!("bus:{}", camera.bus));
    let same = |path: &Path| path.canonicalize().is_ok_and(|path| path == found.path);
    place.as_deref() == Ok(device) || Path::new(device) == found.path || same(Path::new(device))
}

/// A name that stays when the number changes, if there is one.
fn best_name(found: &camera::Found) -> String {
    found.stable_paths.first().unwrap_or(&found.path).display().to_string()
}

fn told(found: &camera::Found, is_meant: bool) -> Finding {
    let path = found.path.display();
    let description = match &found.camera {
        Ok(description) => description,
        Err(reason) if is_meant => {
            let remedy = "join the group video (usermod -aG video), or end the program that has it";
            return Finding::fault("camera", format!("{path}: {reason}"), remedy);
        }
        Err(reason) => return Finding::warning("camera", format!("{path}: {reason}"), "it is not the configured one"),
    };
    let usable = description.formats.iter().filter(|format| format.format.is_some());
    let formats: Vec<String> = usable.map(offer).collect();
    let seen = format!(
        "{path}{}: {} (driver {}, bus:{})\n{}",
        if is_meant { ", the configured one" } else { "" },
        description.card,
        description.driver,
        description.bus,
        formats.join("\n"),
    );
    if formats.is_empty() {
        let codes: Vec<&str> = description.formats.iter().map(|format| format.code.as_str()).collect();
        let names: Vec<&str> = PixelFormat::ALL.iter().map(|format| format.name()).collect();
        let remedy = format!("it offers {}, and {} are read", codes.join(", "), names.join(", "));
        return if is_meant {
            Finding::fault("camera", seen, remedy)
        } else {
            Finding::warning("camera", seen, remedy)
        };
    }
    match found.stable_paths.first() {
        Some(stable) if is_meant => Finding::ok("camera", format!("{seen}\nalso {}", stable.display())),
        _ => Finding::ok("camera", seen),
    }
}

/// One format with its sizes, the first few of them.
fn offer(format: &camera::FoundFormat) -> String {
    const SHOWN: usize = 4;
    let rates = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let sizes = format.sizes.iter().take(SHOWN).map(|(size, rates_hz)| match rates(rates_hz) {
        0.0 => size.clone(),
        most => format!("{size} at up to {most:.0}/s"),
    });
    let more = format.sizes.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("  {}: {}{more}", format.format.map_or("", PixelFormat::name), sizes.collect::<Vec<_>>().join(", "))
}

/// Every CAN interface, and whether those configured are there and up.
pub(super) fn buses(configured: &[BusConfig]) -> Vec<Finding> {
    let all = bus::discover();
    let meant = |name: &str| configured.iter().any(|bus| bus.interface == name);
    let mut findings: Vec<Finding> = all.iter().map(|found| standing(found, meant(&found.name))).collect();
    for bus in configured.iter().filter(|bus| all.iter().all(|found| found.name != bus.interface)) {
        let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let seen = format!("{}, a configured bus, is not there; there are: {names}", bus.interface);
        let remedy = "load its driver (`ip link` shows what there is), or name another as bus.interface";
        findings.push(if bus.wait {
            Finding::warning("bus", seen, "a drive waits for it (bus.wait)")
        } else {
            Finding::fault("bus", seen, remedy)
        });
    }
    if configured.is_empty() {
        let remedy = "a drive works without; with speed and yaw rate flow is better: name a [[bus]]";
        findings.push(Finding::warning("bus", "no bus is configured", remedy));
    }
    findings
}

fn standing(found: &bus::Found, is_meant: bool) -> Finding {
    let mut seen = vec![format!("{}{}", found.name, if is_meant { ", a configured one" } else { "" })];
    seen.push(if found.is_up { "up" } else { "down" }.to_owned());
    seen.extend(found.state.map(str::to_owned));
    seen.extend(found.bit_rate_hz.map(|rate| format!("{rate} bit/s")));
    seen.extend(found.data_bit_rate_hz.map(|rate| format!("data {rate} bit/s")));
    seen.extend(found.error_counters.map(|(sent, received)| format!("errors: {sent} sending, {received} receiving")));
    seen.push(found.driver.as_ref().map_or("virtual".to_owned(), |driver| format!("driver {driver}")));
    seen.push(if found.hardware_stamps { "stamps by the controller" } else { "stamps by the kernel" }.to_owned());
    seen.extend(found.unknown.clone());
    let seen = seen.join(", ");
    let up = if found.driver.is_some() { " type can bitrate 500000" } else { "" };
    match found.state {
        _ if !is_meant => Finding::ok("bus", seen),
        _ if !found.is_up => Finding::fault("bus", seen, format!("ip link set {} up{up}", found.name)),
        Some("bus-off") => Finding::fault(
            "bus",
            seen,
            format!("look at cable, termination and bit rate; then ip link set {} down, up", found.name),
        ),
        Some("error-passive" | "error-warning") => {
            Finding::warning("bus", seen, "look at cable, termination and bit rate: most frames fail")
        }
        _ => Finding::ok("bus", seen),
    }
}

/// What is heard on the configured buses within `seconds`: how often each quantity came.
pub(super) fn signals(config: &Config, seconds: f64, session: &Session) -> Vec<Finding> {
    let plan = match Plan::new(config) {
        Ok(plan) => plan,
        Err(error) => return vec![Finding::fault("signals", format!("{error:#}"), "mend the file that is named")],
    };
    if config.bus.is_empty() {
        return Vec::new();
    }
    let Some(decoder) = plan.decoder else {
        let remedy = "name signals.dbc and signals.signals";
        return vec![match config.bus.iter().find(|bus| !bus.all) {
            None => Finding::warning("signals", "no signals are configured: the buses are only recorded", remedy),
            Some(bus) => {
                let seen = format!("no signals are configured, so nothing of {} is read", bus.interface);
                Finding::fault("signals", seen, format!("{remedy}, or set bus.all = true to record it"))
            }
        }];
    };
    match listen(&config.bus, decoder, seconds, session) {
        Ok((_, 0)) => {
            let seen = format!("no frame of a configured message came in {seconds} s");
            let remedy = "is the ignition on, is it the right bus, at the right bit rate? --listen 10 waits longer";
            vec![Finding::warning("signals", seen, remedy)]
        }
        Ok((heard, frames)) => {
            Quantity::ALL.into_iter().map(|quantity| hearing(quantity, &heard, frames, seconds)).collect()
        }
        Err(error) => vec![Finding::fault("signals", error.to_string(), "mend the bus first")],
    }
}

/// How many values came of each quantity, and the newest; and how many frames there were.
type Heard = BTreeMap<Quantity, (u64, f64)>;

fn listen(buses: &[BusConfig], decoder: CanDecoder, seconds: f64, session: &Session) -> anyhow::Result<(Heard, u64)> {
    let clock = Arc::clone(&session.clock);
    let (inbox, intake) = Inbox::new(Arc::new(move || clock.now()));
    let (board, prepare): (HealthBoard, Prepare) = (HealthBoard::new(), Arc::new(|_: &str| ()));
    let until = session.clock.now().after(Duration::from_secs_f64(seconds));
    let ids: Vec<Vec<CanId>> = buses.iter().map(|bus| decoder.ids(bus.bus)).collect();
    let start = |(bus, ids): (&BusConfig, &Vec<CanId>)| {
        let health = board.enter(&bus.interface, false, intake.now());
        Bus::start(bus, ids, intake.clone(), health, Arc::clone(&prepare))
    };
    let _reading = buses.iter().zip(&ids).map(start).collect::<Result<Vec<_>, _>>()?;
    let (mut stream, mut heard, mut frames) = (Decoding::new(inbox, decoder), Heard::new(), 0);
    while session.clock.now() < until && !session.interrupt.asked() {
        match stream.next()? {
            Some(Event::Can(_)) => frames += 1,
            Some(Event::State(sample)) => {
                for quantity in Quantity::ALL {
                    if let Some(value) = sample.state.get(quantity).and_then(Reading::usable) {
                        let (count, newest) = heard.entry(quantity).or_default();
                        (*count, *newest) = (*count + 1, value);
                    }
                }
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok((heard, frames))
}

fn hearing(quantity: Quantity, heard: &Heard, frames: u64, seconds: f64) -> Finding {
    let (name, unit) = (quantity.name(), quantity.unit());
    if let Some((count, newest)) = heard.get(&quantity) {
        let rate_hz = *count as f64 / seconds.max(1e-3);
        return Finding::ok("signals", format!("{name}: {rate_hz:.0} a second, now {newest:.3} {unit}"));
    }
    let remedy = "is it named in the signals file, and does its message pass its checks (counter, checksum, range)?";
    Finding::warning(
        "signals",
        format!("{name}: not heard in {seconds} s ({frames} frames of configured messages)"),
        remedy,
    )
}
