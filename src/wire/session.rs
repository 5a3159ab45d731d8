//! Opening the Zenoh session that messages travel on: for publishers and subscribers alike.
//!
//! What is not configured is as in `config/zenoh.json5`, which is built in: loopback only, no
//! multicast, bounded waits. Opening never takes longer than 15 s and fails with a remedy.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use zenoh::{Session, Wait};

/// The configuration used when no file is named.
pub const BUILT_IN: &str = include_str!("../../config/zenoh.json5");

/// Longer than every wait in the built-in configuration; a file may ask for longer ones, but not hang the start.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// The protocols of endpoints: the features of the crate `zenoh` that Cargo.toml asks for.
const PROTOCOLS: [&str; 3] = ["tcp", "tls", "unixsock-stream"];

/// Where to meet the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A configuration of Zenoh's own, JSON5; `config/zenoh.json5` is the built-in one.
    pub config_file: Option<PathBuf>,
    /// Endpoints to listen on instead of the file's, such as `tcp/127.0.0.1:7447`.
    pub listen: Option<Vec<String>>,
    /// Endpoints to connect to instead of the file's.
    pub connect: Option<Vec<String>>,
}

/// Why there is no session. Recovery: mend the configuration or start what is missing, then start again.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The file is missing or unreadable.
    #[error("zenoh config {}: {reason}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An endpoint that cannot be understood.
    #[error("zenoh {what} {endpoints:?}: {reason}; write protocol/address, such as tcp/127.0.0.1:7447")]
    Endpoint {
        /// `listen` or `connect`.
        what: &'static str,
        /// The endpoints given.
        endpoints: Vec<String>,
        /// Zenoh's words.
        reason: String,
    },
    /// Another program listens there.
    #[error(
        "zenoh cannot listen on {listen:?}: the address is in use, perhaps by another publisher or a router; listen on \
         another one (--listen tcp/127.0.0.1:0 takes a free port, or `listen` under [zenoh.session]) and let \
         subscribers connect to both (--connect may be repeated), or run a zenoh router (zenohd) and let all connect to it"
    )]
    InUse {
        /// Endpoints to listen on.
        listen: Vec<String>,
    },
    /// Nobody answers there.
    #[error(
        "zenoh cannot connect to {connect:?}: {reason}; start the publisher or router there first, \
         or correct `connect`"
    )]
    Refused {
        /// Endpoints to connect to.
        connect: Vec<String>,
        /// Zenoh's words.
        reason: String,
    },
    /// A certificate or key that is missing or cannot be read.
    #[error(
        "zenoh cannot use TLS (listen {listen:?}, connect {connect:?}): {reason}; name readable PEM files under \
         transport.link.tls in the zenoh config file"
    )]
    Tls {
        /// Endpoints to listen on.
        listen: Vec<String>,
        /// Endpoints to connect to.
        connect: Vec<String>,
        /// Zenoh's words.
        reason: String,
    },
    /// Anything else.
    #[error("zenoh does not start (listen {listen:?}, connect {connect:?}): {reason}")]
    Open {
        /// Endpoints to listen on.
        listen: Vec<String>,
        /// Endpoints to connect to.
        connect: Vec<String>,
        /// Zenoh's words.
        reason: String,
    },
}

/// Opens a session. Blocks until it stands, from any thread and inside any async runtime.
pub fn open(config: &Config, shared_memory: bool) -> Result<Session, SessionError> {
    open_with(zenoh_config(config, shared_memory)?)
}

/// Opens a session if somebody answers at once: a single try at each endpoint, however long the file lets Zenoh try.
/// For who tries again by itself: every failure to connect is [`SessionError::Refused`].
pub fn open_at_once(config: &Config, shared_memory: bool) -> Result<Session, SessionError> {
    let mut zenoh_config = zenoh_config(config, shared_memory)?;
    let set = zenoh_config.insert_json5("connect/timeout_ms", "0");
    set.expect("the key exists and is a number");
    open_with(zenoh_config).map_err(|error| match error {
        SessionError::Open { listen, connect, reason } | SessionError::Tls { listen, connect, reason }
            if listen.is_empty() && !connect.is_empty() =>
        {
            SessionError::Refused { connect, reason }
        }
        other => other,
    })
}

fn open_with(zenoh_config: zenoh::Config) -> Result<Session, SessionError> {
    let (listen, connect) = (endpoints(&zenoh_config, "listen"), endpoints(&zenoh_config, "connect"));
    // On a thread of its own: Zenoh's blocking calls must not run inside a caller's async runtime.
    let (sender, receiver) = mpsc::channel();
    let opening = std::thread::Builder::new().name("zenoh-open".into());
    let spawned = opening.spawn(move || {
        let _ = sender.send(zenoh::open(zenoh_config).wait()); // nobody listens any more after the timeout
    });
    let outcome = match spawned {
        Err(error) => Err(error.to_string()),
        Ok(_) => match receiver.recv_timeout(OPEN_TIMEOUT) {
            Ok(opened) => opened.map_err(|error| words(&error.to_string())),
            Err(_) => Err(format!("nothing within {} s", OPEN_TIMEOUT.as_secs())),
        },
    };
    outcome.map_err(|reason| explain(reason, listen, connect))
}

/// The configuration that [`open`] uses, with Zenoh's own checks done.
pub fn zenoh_config(config: &Config, shared_memory: bool) -> Result<zenoh::Config, SessionError> {
    let mut zenoh_config = match &config.config_file {
        Some(path) => from_file(path)?,
        None => zenoh::Config::from_json5(BUILT_IN).expect("a test reads the built-in file"),
    };
    set_endpoints(&mut zenoh_config, "listen", config.listen.as_deref())?;
    set_endpoints(&mut zenoh_config, "connect", config.connect.as_deref())?;
    if !shared_memory {
        let set = zenoh_config.insert_json5("transport/shared_memory/enabled", "false");
        set.expect("the key exists and is a boolean");
    }
    Ok(zenoh_config)
}

fn from_file(path: &Path) -> Result<zenoh::Config, SessionError> {
    let refuse = |reason: String| SessionError::File { path: path.to_owned(), reason };
    let text = crate::files::read_text(path).map_err(|error| refuse(error.to_string()))?;
    zenoh::Config::from_json5(&text).map_err(|error| refuse(words(&error.to_string())))
}

fn set_endpoints(
    config: &mut zenoh::Config,
    what: &'static str,
    endpoints: Option<&[String]>,
) -> Result<(), SessionError> {
    let Some(endpoints) = endpoints else { return Ok(()) };
    let refuse = |error: zenoh::Error| {
        let reason = words(&error.to_string());
        SessionError::Endpoint { what, endpoints: endpoints.to_vec(), reason }
    };
    for endpoint in endpoints {
        check_endpoint(endpoint).map_err(|reason| SessionError::Endpoint {
            what,
            endpoints: endpoints.to_vec(),
            reason,
        })?;
    }
    let json = serde_json::to_string(endpoints).expect("strings are JSON");
    config.insert_json5(&format!("{what}/endpoints"), &json).map_err(refuse)
}

/// What an endpoint must be: `protocol/address`, of a protocol that is built in. Whether it can be reached shows later.
pub fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let parsed: zenoh::config::EndPoint = endpoint.parse().map_err(|error: zenoh::Error| words(&error.to_string()))?;
    let protocol = parsed.protocol();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return Err(format!("'{protocol}' is not one of the protocols built in: {}", PROTOCOLS.join(", ")));
    }
    if protocol.as_str() == "unixsock-stream" { Ok(()) } else { check_port(parsed.address().as_str()) }
}

fn check_port(address: &str) -> Result<(), String> {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => {
            port.parse::<u16>().map(|_| ()).map_err(|_| format!("'{port}' is not a port, 0 to 65535"))
        }
        _ => Err(format!("'{address}' is not host:port")),
    }
}

/// A message of Zenoh's, or a log line, without the places in source code that it names.
pub fn words(message: &str) -> String {
    let mut parts = message.split(" at ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match after_place(part) {
            Some(rest) => kept.push_str(rest),
            None => kept.extend([" at ", part]),
        }
    }
    kept
}

/// What follows a place such as `/a/b.rs:12.` at the start of `text`; `None` if there is no place.
fn after_place(text: &str) -> Option<&str> {
    let (path, line) = text.split_once(".rs:")?;
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_place = rest.len() < line.len() && !path.contains(|c: char| c.is_whitespace() || c == '"');
    is_place.then(|| rest.strip_prefix('.').unwrap_or(rest))
}

/// Whether `config` names anybody to connect to.
pub fn connects(config: &Config) -> Result<bool, SessionError> {
    Ok(!endpoints(&zenoh_config(config, false)?, "connect").is_empty())
}

/// Whether `session` is connected to anybody now.
pub fn is_connected(session: &Session) -> bool {
    neighbours(session) > 0
}

/// Whether `session` is connected to a router, behind which others may be.
pub fn has_router(session: &Session) -> bool {
    session.info().routers_zid().wait().next().is_some()
}

/// How many others `session` is connected to directly.
pub fn neighbours(session: &Session) -> usize {
    session.info().peers_zid().wait().count() + session.info().routers_zid().wait().count()
}

/// The endpoints configured, for messages.
fn endpoints(config: &zenoh::Config, what: &str) -> Vec<String> {
    let json = config.get_json(&format!("{what}/endpoints")).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let listed = value.get("peer").unwrap_or(&value).as_array().cloned().unwrap_or_default();
    listed.iter().map(|endpoint| endpoint.as_str().map_or_else(|| endpoint.to_string(), str::to_owned)).collect()
}

fn explain(reason: String, listen: Vec<String>, connect: Vec<String>) -> SessionError {
    if reason.contains("in use") {
        return SessionError::InUse { listen };
    }
    if reason.contains("Unable to connect") || reason.contains("onnection refused") {
        let reason = if reason.contains("imeout") { "no answer in time".to_owned() } else { reason };
        return SessionError::Refused { connect, reason };
    }
    let tls = ["TLS", "certificate", "private key"].iter().any(|word| reason.contains(word));
    if tls { SessionError::Tls { listen, connect, reason } } else { SessionError::Open { listen, connect, reason } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Keys;

    #[test]
    fn the_shipped_file_listens_on_loopback_only_and_scouts_nobody() {
        let config = zenoh_config(&Config::default(), true).expect("the shipped file is sound");
        assert_eq!(endpoints(&config, "listen"), ["tcp/127.0.0.1:7447"]);
        assert_eq!(endpoints(&config, "connect"), [""; 0]);
        for (key, expected) in [
            ("scouting/multicast/enabled", "false"),
            ("mode", "\"peer\""),
            ("transport/shared_memory/enabled", "true"),
            ("transport/link/tx/queue/congestion_control/drop/max_wait_before_drop_fragments", "10000"),
            ("adminspace/enabled", "false"),
        ] {
            assert_eq!(config.get_json(key).expect(key), expected, "{key}");
        }
    }

    #[test]
    fn names_that_keys_take_are_names_that_zenoh_takes() {
        for name in ["front", "wagen-ä", "front_left.2", "a!b", "x:y"] {
            let keys = Keys::new("segfuse", "car", name).expect(name);
            assert!(zenoh::key_expr::KeyExpr::try_from(keys.mask()).is_ok(), "{name}");
        }
    }

    #[test]
    fn places_in_source_code_are_left_out_of_messages() {
        for (message, expected) in [
            ("No luck at /a/b.rs:12.", "No luck"),
            ("Look at this: no at /c.rs:1. at /d/e.rs:7.", "Look at this: no"),
            ("One at /a.rs:1. - Caused by two at /b.rs:2.", "One - Caused by two"),
            ("Nothing to leave out", "Nothing to leave out"),
            (
                "{\"message\":\"No luck at /a/b.rs:12.\",\"level\":\"WARN\"}",
                "{\"message\":\"No luck\",\"level\":\"WARN\"}",
            ),
        ] {
            assert_eq!(words(message), expected);
        }
    }

    #[test]
    fn protocols_that_are_built_in_are_taken_and_others_refused_by_name() {
        for endpoint in ["tcp/127.0.0.1:0", "tls/[::1]:7447", "unixsock-stream//run/zenoh.sock", "tcp/a:1#iface=lo"] {
            assert_eq!(check_endpoint(endpoint), Ok(()), "{endpoint}");
        }
        for (endpoint, told) in [
            ("foo", "foo"),
            ("", ""),
            ("carrier-pigeon/1", "carrier-pigeon"),
            ("udp/a:1", "tcp"),
            ("tcp/127.0.0.1:99999", "99999"),
            ("tcp/127.0.0.1", "host:port"),
            ("tcp/:1", "host:port"),
            ("tls/[::1]:x", "'x'"),
        ] {
            let error = check_endpoint(endpoint).expect_err(endpoint);
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in
            [("unknown.json5", "{ lissten: {} }"), ("broken.json5", "{ mode: "), ("kind.json5", "{ mode: 3 }")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            let config = Config { config_file: Some(path), ..Config::default() };
            let error = zenoh_config(&config, true).expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
        let missing = Config { config_file: Some("/nowhere/zenoh.json5".into()), ..Config::default() };
        assert!(matches!(zenoh_config(&missing, true), Err(SessionError::File { .. })));
    }
}
