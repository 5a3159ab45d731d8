//! The way to the service manager: datagrams of text to the socket that it named when it started the program.
//!
//! Own code and no crate: the socket stays open and never blocks, so that a manager that does not read cannot hold up a
//! drive. What it does not take is lost, and what matters is said again.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Why the service manager cannot be told anything. Recovery: mend the unit, or unset the variable.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The socket is not there or takes nothing.
    #[error("NOTIFY_SOCKET={address}: cannot connect: {source}; unset it where no service manager listens")]
    Socket {
        /// As the variable says.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A watchdog's time that is none.
    #[error("WATCHDOG_USEC={0}: not a number of microseconds above 0; set WatchdogSec= in the unit, or unset it")]
    Watchdog(String),
}

/// An open way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
    complained: bool,
}

impl Notifier {
    /// The manager that started this process; `None` where none did.
    pub fn from_environment() -> Result<Option<Self>, ServiceError> {
        let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else { return Ok(None) };
        let text = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let watchdog = watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id())?;
        Self::connect(&address, watchdog).map(Some)
    }

    /// The manager at `address`: a path, or `@` and an abstract name. It acts where it hears nothing for `watchdog`.
    pub fn connect(address: &OsStr, watchdog: Option<Duration>) -> Result<Self, ServiceError> {
        let failed = |source| ServiceError::Socket { address: address.to_string_lossy().into_owned(), source };
        let socket = open(address).map_err(failed)?;
        Ok(Self { socket, watchdog, complained: false })
    }

    /// How long the manager waits to hear that the program is alive.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Whether the manager took `message`. The first that it does not take is told.
    pub(super) fn send(&mut self, message: &str) -> bool {
        let sent = self.socket.send(message.as_bytes());
        if let Err(error) = &sent
            && !self.complained
        {
            self.complained = true;
            tracing::warn!(%error, "the service manager does not take '{message}'; it may start the program anew");
        }
        sent.is_ok()
    }
}

fn open(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// The watchdog's time, if it is meant for the process `own`.
fn watchdog(usec: Option<String>, pid: Option<String>, own: u32) -> Result<Option<Duration>, ServiceError> {
    let Some(usec) = usec.filter(|usec| !usec.is_empty()) else { return Ok(None) };
    if pid.is_some_and(|pid| pid != own.to_string()) {
        return Ok(None);
    }
    match usec.parse() {
        Ok(time) if time > 0 => Ok(Some(Duration::from_micros(time))),
        _ => Err(ServiceError::Watchdog(usec)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdogs_time_is_taken_where_it_is_meant_for_this_process() {
        let read = |usec: &str, pid: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            watchdog(text(usec), text(pid), 7).map_err(|error| error.to_string())
        };
        assert_eq!(read("", ""), Ok(None));
        assert_eq!(read("10000000", "7"), Ok(Some(Duration::from_secs(10))));
        assert_eq!(read("10000000", ""), Ok(Some(Duration::from_secs(10))));
        assert_eq!(read("10000000", "8"), Ok(None));
        for wrong in ["0", "-1", "soon"] {
            assert!(read(wrong, "").expect_err(wrong).starts_with(&format!("WATCHDOG_USEC={wrong}: ")));
        }
    }

    #[test]
    fn a_socket_that_is_not_there_is_told_by_name() {
        let error = Notifier::connect("/nowhere/notify".as_ref(), None).expect_err("no such socket").to_string();
        assert!(error.starts_with("NOTIFY_SOCKET=/nowhere/notify: cannot connect: "), "{error}");
    }
}
