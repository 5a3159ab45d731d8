//! A Zenoh sink for a run: options put together, and the wait for somebody to listen.

use super::arguments::PublishArguments;
use super::replay::Arguments;
use super::session::Session;
use crate::clock::{MeasuringClock, MonotonicClock};
use crate::data::Stamp;
use crate::sink::Sink;
use crate::sink::zenoh::{self, CongestionControl, Run, ZenohError, ZenohSink};
use crate::subscribe::SubscribeError;
use crate::wire::session::{self as wire, SessionError};
use std::time::Duration;

/// How long a subscriber is awaited unless it is said.
const AWAITED_S: f64 = 3.0;
/// How often the wait for a subscriber looks.
const LOOK: Duration = Duration::from_millis(20);

/// Where a publisher listens that connects to others, unless it is told.
const ANY_PORT: &str = "tcp/127.0.0.1:0";

/// How long nobody more may come before the replay begins: subscribers that wait look every 250 ms.
const SETTLING: Duration = Duration::from_millis(750);

/// A run's publisher.
pub(super) struct Publishing {
    sink: ZenohSink,
}

impl Publishing {
    /// Opens the session, and waits for a subscriber as long as `arguments` say.
    pub(super) fn start(
        arguments: &Arguments,
        configured: &zenoh::Config,
        run: Run,
        session: &Session,
    ) -> anyhow::Result<Self> {
        // A replay loses nothing for a slow receiver.
        let configured = zenoh::Config { congestion_control: CongestionControl::Block, ..configured.clone() };
        let publishing = Self::open(&configured, &arguments.publishing, run)?;
        publishing.await_subscriber(arguments.await_subscriber.unwrap_or(AWAITED_S), session);
        Ok(publishing)
    }

    /// Opens the session.
    pub(super) fn open(configured: &zenoh::Config, arguments: &PublishArguments, run: Run) -> anyhow::Result<Self> {
        let options = options(configured, arguments);
        let sink = ZenohSink::open(&options, run, || MonotonicClock.now())?;
        let key = format!("{}/{}/{}/mask", options.prefix, options.vehicle, options.camera);
        tracing::info!(%key, endpoints = ?sink.endpoints(), "publishing");
        Ok(Self { sink })
    }

    /// Latency is counted from when a frame was due: its stamp plus `offset_ns`.
    pub(super) fn pace_from(&mut self, offset_ns: i64) {
        self.sink.pace_from(offset_ns);
    }

    /// The sink.
    pub(super) fn sink(&mut self) -> &mut dyn Sink {
        &mut self.sink
    }

    fn await_subscriber(&self, seconds: f64, session: &Session) {
        let until = session.clock.now().after(Duration::from_secs_f64(seconds));
        while !self.sink.has_subscriber() && session.clock.now() < until && !session.interrupt.asked() {
            std::thread::sleep(LOOK);
        }
        if self.sink.has_subscriber() {
            self.settle(until, session);
        } else {
            tracing::info!("nobody subscribes yet: masks are published all the same");
        }
    }

    /// Lets others that wait too come in: until none has connected for a while, at most `until`.
    fn settle(&self, until: Stamp, session: &Session) {
        let (mut here, mut last_came) = (self.sink.neighbours(), session.clock.now());
        loop {
            let now = session.clock.now();
            if now >= until.min(last_came.after(SETTLING)) || session.interrupt.asked() {
                return;
            }
            std::thread::sleep(LOOK);
            let here_now = self.sink.neighbours();
            if here_now > here {
                last_came = now;
            }
            here = here_now;
        }
    }
}

/// The configured options with those of the command line on top.
fn options(configured: &zenoh::Config, arguments: &PublishArguments) -> zenoh::Config {
    let mut options = configured.clone();
    let put = |place: &mut String, given: &Option<String>| place.clone_from(given.as_ref().unwrap_or(&place.clone()));
    put(&mut options.vehicle, &arguments.vehicle);
    put(&mut options.camera, &arguments.camera);
    put(&mut options.prefix, &arguments.prefix);
    if arguments.zenoh_config.is_some() {
        options.session.config_file.clone_from(&arguments.zenoh_config);
    }
    if !arguments.listen.is_empty() {
        options.session.listen = Some(arguments.listen.clone());
    }
    if !arguments.connect.is_empty() {
        options.session.connect = Some(arguments.connect.clone());
        listen_anywhere(&mut options.session);
    }
    options
}

/// Who connects need not have the default port, which others may have taken, but must be reachable: peers pass on
/// where a publisher listens, not its masks.
fn listen_anywhere(session: &mut wire::Config) {
    if session.listen.is_none() && session.config_file.is_none() {
        session.listen = Some(vec![ANY_PORT.to_owned()]);
    }
}

/// Whether `error` is a wrong option or configuration; an endpoint that is taken or silent is none.
pub(super) fn is_misuse(error: &anyhow::Error) -> bool {
    let session = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(ZenohError::Keys(_) | ZenohError::Option { .. }), _)
        | (_, Some(SubscribeError::Keys(_) | SubscribeError::Queue(_))) => return true,
        (Some(ZenohError::Session(session)), _) | (_, Some(SubscribeError::Session(session))) => session,
        _ => return false,
    };
    matches!(session, SessionError::File { .. } | SessionError::Endpoint { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Keys;

    #[test]
    fn who_connects_listens_on_any_port_unless_told_where() {
        let told = || Some(vec!["tcp/127.0.0.1:1".to_owned()]);
        let file = || Some("zenoh.json5".into());
        let cases = [
            (wire::Config::default(), Some(vec![ANY_PORT.to_owned()])),
            (wire::Config { listen: told(), ..Default::default() }, told()),
            (wire::Config { config_file: file(), ..Default::default() }, None),
        ];
        for (mut session, expected) in cases {
            listen_anywhere(&mut session);
            assert_eq!(session.listen, expected);
        }
    }

    #[test]
    fn wrong_names_and_files_are_misuse_and_silent_endpoints_are_not() {
        let refused = || SessionError::Refused { connect: Vec::new(), reason: String::new() };
        let file = || SessionError::File { path: "zenoh.json5".into(), reason: String::new() };
        let name = || Keys::new("p", "a/b", "c").expect_err("not a name");
        let cases: [(anyhow::Error, bool); 6] = [
            (ZenohError::from(name()).into(), true),
            (SubscribeError::from(name()).into(), true),
            (ZenohError::from(file()).into(), true),
            (SubscribeError::from(file()).into(), true),
            (ZenohError::from(refused()).into(), false),
            (SubscribeError::from(refused()).into(), false),
        ];
        for (error, expected) in cases {
            assert_eq!(is_misuse(&error), expected, "{error:?}");
        }
    }
}
