//! What a run tells the service manager through a real socket: ready with the first mask, alive by progress, stopping.

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::step;
use segfuse::app::service::{Notifier, ServiceSink};
use segfuse::clock::MeasuringClock;
use segfuse::data::{Ending, Event, HealthBoard, Stamp};
use segfuse::sink::Sink;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// A clock that stands still.
struct Still(Stamp);

impl MeasuringClock for Still {
    fn now(&self) -> Stamp {
        self.0
    }
}

/// What a manager gets, which waits for 8 s and sits at an abstract name of this process.
struct Manager {
    socket: UnixDatagram,
    sink: ServiceSink,
    board: HealthBoard,
}

impl Manager {
    fn new(name: &str) -> Self {
        let name = format!("segfuse-test-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("short");
        let socket = UnixDatagram::bind_addr(&address).expect("nobody else is called so");
        socket.set_nonblocking(true).expect("a socket");
        let notifier =
            Notifier::connect(format!("@{name}").as_ref(), Some(Duration::from_secs(8))).expect("it listens");
        let board = HealthBoard::new();
        let sink = ServiceSink::new(notifier, board.clone(), Arc::new(Still(ms(1100))));
        Self { socket, sink, board }
    }

    fn tick(&mut self, at_ms: u64) {
        self.sink.on_event(&Event::Tick(ms(at_ms))).expect("it takes all");
    }

    /// What came since it was last asked.
    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 1000];
        let next =
            || self.socket.recv(&mut buffer).ok().map(|len| String::from_utf8_lossy(&buffer[..len]).into_owned());
        std::iter::from_fn(next).collect()
    }
}

fn ms(ms: u64) -> Stamp {
    Stamp::from_ns(ms * 1_000_000)
}

#[test]
fn a_run_is_ready_with_its_first_mask_and_says_when_it_stops() {
    let mut manager = Manager::new("ready");
    let (events, frame, perception) = step(0);
    for event in &events {
        manager.sink.on_event(event).expect("it takes all");
    }
    assert_eq!(manager.heard(), ["EXTEND_TIMEOUT_USEC=8000000"]);
    manager.sink.on_perception(&frame, &perception).expect("it takes all");
    assert_eq!(manager.heard(), ["READY=1"]);
    manager.sink.on_perception(&frame, &perception).expect("it takes all");
    manager.tick(2010);
    assert_eq!(manager.heard(), ["STATUS=2.0 masks/s, at most 99 ms old, ok"]);
    manager.tick(3010);
    assert_eq!(manager.heard(), ["WATCHDOG=1", "STATUS=no masks, ok"]);
    manager.sink.on_ending(&Ending::Interrupted);
    assert_eq!(manager.heard(), ["STOPPING=1"]);
}

#[test]
fn a_run_that_waits_for_its_camera_asks_for_patience_and_names_the_camera() {
    let mut manager = Manager::new("patience");
    let camera = manager.board.enter("camera", true, ms(1000));
    camera.is_lost(ms(1000), "/dev/video0: no such device\nREADY=1");
    manager.tick(1000);
    manager.tick(3000);
    let heard = manager.heard();
    assert_eq!(heard[..2], ["EXTEND_TIMEOUT_USEC=8000000", "EXTEND_TIMEOUT_USEC=8000000"]);
    assert_eq!(heard[2..], ["STATUS=no masks, lost; camera lost: /dev/video0: no such device READY=1"]);
}

#[test]
fn a_manager_that_does_not_read_holds_nothing_up() {
    let mut manager = Manager::new("deaf");
    for second in 0..2000 {
        manager.tick(second * 1000);
    }
    let (_, frame, perception) = step(0);
    manager.sink.on_perception(&frame, &perception).expect("it takes all");
    let heard = manager.heard();
    assert!(heard.len() < 2000 && !heard.contains(&"READY=1".to_owned()), "its queue was full");
    manager.sink.on_perception(&frame, &perception).expect("it takes all");
    assert!(manager.heard().contains(&"READY=1".to_owned()), "what matters is said again");
}
