//! The way to the publisher: being opened, standing, lost, and why nothing comes.

use crate::clock::{MeasuringClock, MonotonicClock};
use crate::subscribe::{Config, Counts, Presence, Received, SubscribeError, Subscriber};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How long one wait lasts: an interrupt is seen within it.
const WAIT: Duration = Duration::from_millis(100);
/// How long others are asked for; they are a hint, and masks wait meanwhile.
const ELSEWHERE: Duration = Duration::from_millis(300);

type Opened = Result<Subscriber, SubscribeError>;

/// A subscriber, once there is somebody to connect to.
pub(super) struct Link {
    config: Config,
    state: State,
}

enum State {
    Opening(Receiver<Opened>),
    Open { subscriber: Box<Subscriber>, connected: bool },
}

/// Who is there, as of the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Outlook {
    pub connected: bool,
    /// Publishers of our camera.
    pub publishers: usize,
    /// Publishers of other cameras, looked for only while nothing comes.
    pub elsewhere: Vec<Presence>,
}

impl Link {
    /// Begins to open a subscriber, on a thread of its own: one attempt may take seconds.
    pub(super) fn open(config: Config) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let own = config.clone();
        let opening = std::thread::Builder::new().name("subscribe-open".into());
        opening.spawn(move || open_when_there(&own, &sender))?;
        Ok(Self { config, state: State::Opening(receiver) })
    }

    /// The next mask, if one comes soon.
    pub(super) fn recv(&mut self) -> anyhow::Result<Option<Received>> {
        match &mut self.state {
            State::Opening(receiver) => match receiver.recv_timeout(WAIT) {
                Ok(opened) => self.state = State::Open { subscriber: Box::new(opened?), connected: true },
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the subscriber could not be opened"),
            },
            State::Open { subscriber, .. } => match subscriber.recv_timeout(WAIT) {
                Ok(received) => return Ok(Some(received)),
                Err(SubscribeError::Timeout { .. }) => (),
                Err(error) => return Err(error.into()),
            },
        }
        Ok(None)
    }

    pub(super) fn subscriber(&self) -> Option<&Subscriber> {
        match &self.state {
            State::Opening(_) => None,
            State::Open { subscriber, .. } => Some(subscriber),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.subscriber().map(Subscriber::counts).unwrap_or_default()
    }

    pub(super) fn publishers(&self) -> usize {
        self.subscriber().map_or(0, Subscriber::publishers)
    }

    /// Looks who is there; tells of a connection that is lost or back. `silent`: nothing has come yet.
    pub(super) fn look(&mut self, silent: bool) -> Result<Outlook, SubscribeError> {
        let State::Open { subscriber, connected } = &mut self.state else { return Ok(Outlook::default()) };
        let now = subscriber.is_connected()?;
        match (*connected, now) {
            (true, false) => tracing::warn!(
                "the connection is gone, because the publisher or router ended or the network failed: trying again"
            ),
            (false, true) => tracing::info!("connected again"),
            _ => (),
        }
        *connected = now;
        let publishers = subscriber.publishers();
        let ask = silent && now && publishers == 0;
        let elsewhere = if ask { subscriber.elsewhere(ELSEWHERE)? } else { Vec::new() };
        Ok(Outlook { connected: now, publishers, elsewhere })
    }

    /// Why nothing has come yet.
    pub(super) fn why_silent(&self, outlook: &Outlook) -> String {
        let Config { prefix, vehicle, camera, connect, listen, .. } = &self.config;
        if !outlook.connected {
            let places: Vec<&str> = connect.iter().chain(listen).map(String::as_str).collect();
            return format!("no connection at {}", places.join(", "));
        }
        let key = format!("{prefix}/{vehicle}/{camera}/mask");
        match outlook.publishers {
            0 if outlook.elsewhere.is_empty() => format!("connected, no publisher of '{key}'"),
            0 => format!("connected, no publisher of '{key}'; {}", self.hint(&outlook.elsewhere)),
            publishers => format!("connected to {publishers} publisher of '{key}', no mask yet"),
        }
    }

    /// Who else publishes and how to listen to it.
    pub(super) fn hint(&self, elsewhere: &[Presence]) -> String {
        let heard: Vec<String> = elsewhere.iter().map(|other| self.how_to_hear(other)).collect();
        heard.join("; ")
    }

    fn how_to_hear(&self, other: &Presence) -> String {
        let (Presence { prefix, vehicle, camera, .. }, own) = (other, &self.config);
        let names =
            [("prefix", prefix, &own.prefix), ("vehicle", vehicle, &own.vehicle), ("camera", camera, &own.camera)];
        let differing = names.into_iter().filter(|(_, other, own)| other != own);
        let options: Vec<String> = differing.map(|(option, name, _)| format!("--{option} {}", quoted(name))).collect();
        format!("heard publisher vehicle={vehicle}, camera={camera}: use {}", options.join(" "))
    }
}

/// `name` as a shell takes it: it comes from the network.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/:".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

/// Opens as soon as somebody answers. Ends with the process.
fn open_when_there(config: &Config, outcome: &Sender<Opened>) {
    let mut told = false;
    let keeps_waiting = || {
        if !told {
            let places = config.connect.join(", ");
            tracing::info!("nobody answers at {places} yet: waiting for a publisher or router there");
            told = true;
        }
        true
    };
    let opened = Subscriber::open_when_there(config, || MonotonicClock.now(), keeps_waiting);
    let _ = outcome.send(opened); // nobody waits any more: the program is ending
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link { config: Config::default(), state: State::Opening(mpsc::channel().1) }
    }

    #[test]
    fn a_hint_names_the_options_that_differ_and_no_shell_word() {
        let heard = |prefix: &str, vehicle: &str| Presence {
            prefix: prefix.into(),
            vehicle: vehicle.into(),
            camera: "front".into(),
            session: 1,
        };
        let told = link().hint(&[heard("segfuse", "bus-7"), heard("fleet/x", "a;'b")]);
        assert_eq!(
            told,
            "heard publisher vehicle=bus-7, camera=front: use --vehicle bus-7; \
             heard publisher vehicle=a;'b, camera=front: use --prefix fleet/x --vehicle 'a;'\\''b'"
        );
    }
}
