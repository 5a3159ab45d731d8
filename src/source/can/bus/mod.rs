//! A live bus over SocketCAN: a thread puts its frames into the inbox, and tells how the bus is.
//!
//! ```text
//! socket ─▶ Batch ─▶ kind ─┬─ data ─▶ stamping ─▶ Intake
//!                          ├─ fault ─▶ health        interface, every 100 ms ─▶ standing ─▶ health, open, close
//!                          └─ remote, bad length, overflow ─▶ counted
//! ```
//!
//! The decisions (`frame`, `fault`, `stamping`, `standing`, `wall`) are pure; `listener` is a loop around them. Not here: what
//! a frame means ([`CanDecoder`](super::CanDecoder)), and setting a bus up (`ip link`, the system's business).

mod config;
mod discover;
mod fault;
mod frame;
mod listener;
mod port;
mod stamping;
mod standing;
mod wall;

pub use config::{BusConfig, HardwareStamps};
pub use discover::{Found, discover};

use crate::data::{CanId, Reporter};
use crate::source::Prepare;
use crate::source::inbox::Intake;
use listener::Listener;
use port::Wanted;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

/// Why a bus cannot be read. Recovery for all: do what the message says, and start again.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// A value of the configuration makes no sense.
    #[error("bus '{interface}': {key} = '{value}': {remedy}")]
    Config {
        /// The interface of the bus.
        interface: String,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// There is no such CAN interface.
    #[error("no CAN interface '{interface}'; there are: {known}; name one of them, or set wait = true")]
    Absent {
        /// The interface asked for.
        interface: String,
        /// Those that exist, with commas; `none` if there are none.
        known: String,
    },
    /// Nothing would ever come of it.
    #[error(
        "bus '{interface}': no signal is on bus {bus}: name signals.dbc and signals.signals, give their messages bus = {bus}, or set all = true"
    )]
    NoIds {
        /// The interface.
        interface: String,
        /// The bus's number.
        bus: u8,
    },
    /// The kernel filters by 512 ids at most.
    #[error("bus '{interface}': {ids} ids are more than the {limit} that the kernel filters by: set all = true")]
    TooManyIds {
        /// The interface.
        interface: String,
        /// Ids of the messages configured.
        ids: usize,
        /// The most that there may be.
        limit: usize,
    },
    /// The interface carries no CAN FD.
    #[error("interface '{0}' carries no CAN FD frames: set fd = false, or set it up with 'fd on' or 'mtu 72'")]
    NoFd(String),
    /// The controller makes no stamps.
    #[error("interface '{0}' makes no hardware stamps: set hardware_stamps = \"auto\"")]
    NoHardwareStamps(String),
    /// The kernel refused.
    #[error("interface '{interface}': cannot {doing}: {error}; is the kernel's CAN there (modprobe can_raw)?")]
    Kernel {
        /// The interface.
        interface: String,
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
}

/// A bus that is being read. Dropping it ends that, within the 100 ms that its thread waits at most.
#[derive(Debug)]
pub struct Bus {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bus {
    /// Reads `config`'s interface: its frames with one of `ids` (or all) go into `intake`, and how it is to `health`.
    ///
    /// An interface that is down is waited for; one that is not there is an error unless `config.wait`.
    pub fn start(
        config: &BusConfig,
        ids: &[CanId],
        intake: Intake,
        health: Reporter,
        prepare: Prepare,
    ) -> Result<Self, BusError> {
        let wanted = Wanted::new(config, ids)?;
        let stop = Arc::new(AtomicBool::new(false));
        let listener = Listener::new(wanted, intake, health, Arc::clone(&stop))?;
        let name = config.interface.clone();
        let thread = Builder::new().name(name.clone()).spawn(move || {
            prepare(&name);
            listener.run();
        });
        let failed = |error| BusError::Kernel { interface: config.interface.clone(), doing: "start a thread", error };
        Ok(Self { stop, thread: Some(thread.map_err(failed)?) })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the thread of a bus has panicked");
            }
        }
    }
}
