//! What is its getter's once it has read it: whether a killed one had is for the kernel to say.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::error::GetFault;
use ipcq_zmq::{QueueOptions, Transport, Wait};

use crate::child;
use crate::place::{CHILD, Door, LIMIT, Place, header, message, name, session, session_on};

/// The flag of a GET whose message is the client's once it has read it.
const ON_READ: u8 = 16;

/// Asks for a message, reads it or not, and does nothing from then on.
fn get(directory: &Path, reads: bool) -> ! {
    let stream = UnixStream::connect(directory.join("unread.zmq")).expect("the broker listens");
    let mut stream = session_on(stream, &[9; 16]);
    let mut get = header(4, 1, [0, 0, 1, 0, 1 << 20]);
    get[7] = ON_READ;
    stream.write_all(&message(&[&get])).expect("a broker that reads");
    if reads {
        let mut seen = Vec::new();
        while !seen.ends_with(b"only") {
            let mut piece = [0; 64];
            let len = stream.read(&mut piece).expect("a MSG");
            seen.extend_from_slice(&piece[..len]);
        }
    }
    // Until it is killed, or nobody is left to do that.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(1)
}

/// A process that runs `test` as a getter.
fn getter(place: &Place, test: &str) -> Child {
    child(place, test).stdin(Stdio::piped()).spawn().expect("a child")
}

#[test]
fn what_a_killed_getter_has_not_read_goes_back() {
    if let Some(directory) = std::env::var_os(CHILD) {
        get(Path::new(&directory), false);
    }
    let place = Place::new(Door::Unix);
    let _watchdog = Watchdog::start("what was not read", LIMIT);
    let queue = place.zmq.create(&name("unread"), &QueueOptions::new()).expect("a free name");
    queue.put(&[b"only"], Wait::Forever).expect("a put");
    let mut child = getter(&place, "unread::what_a_killed_getter_has_not_read_goes_back");
    while queue.len().expect("a queue that works") > 0 {
        std::thread::yield_now();
    }
    assert!(queue.stat().expect("a queue that works").bytes > 0, "nobody has read it");
    child.kill().expect("a child that lives");
    child.wait().expect("a child");
    let mut message = Vec::new();
    queue.get(&mut message, Wait::timeout(LIMIT / 2)).expect("what nobody has read");
    assert_eq!(message, b"only");
}

#[test]
fn what_a_killed_getter_has_read_is_gone() {
    if let Some(directory) = std::env::var_os(CHILD) {
        get(Path::new(&directory), true);
    }
    let place = Place::new(Door::Unix);
    let _watchdog = Watchdog::start("what was read", LIMIT);
    let queue = place.zmq.create(&name("unread"), &QueueOptions::new()).expect("a free name");
    queue.put(&[b"only"], Wait::Forever).expect("a put");
    let mut child = getter(&place, "unread::what_a_killed_getter_has_read_is_gone");
    // Until it has been read, it is on its way, and counted.
    while queue.stat().is_ok_and(|stat| (stat.gets, stat.bytes) != (1, 0)) {
        std::thread::yield_now();
    }
    child.kill().expect("a child that lives");
    child.wait().expect("a child");
    let got = queue.get(&mut Vec::new(), Wait::timeout(Duration::from_millis(300)));
    assert!(matches!(got, Err(GetFault::Timeout)), "what a getter had taken came again: {got:?}");
    let stat = queue.stat().expect("a queue that works");
    assert_eq!((stat.gets, stat.recoveries), (1, 0));
}

/// Over TCP nobody knows whether it has read anything, and others may have left before it is known to be gone.
#[test]
fn what_a_getter_over_tcp_has_not_acknowledged_goes_back() {
    let place = Place::new(Door::Tcp);
    let _watchdog = Watchdog::start("what was not acknowledged", LIMIT);
    let queue = place.zmq.open(&name("q")).expect("the queue is there");
    let mut stream = session(&place, 3);
    let mut get = header(4, 1, [0, 0, 1, 0, 1 << 20]);
    get[7] = ON_READ;
    stream.write_all(&message(&[&get])).expect("a broker that reads");
    while queue.stat().expect("a queue that works").waiting_getters == 0 {
        std::thread::yield_now();
    }
    queue.put(&[b"first"], Wait::Forever).expect("a put");
    queue.put(&[b"second"], Wait::Forever).expect("a put");
    let mut message = Vec::new();
    queue.get(&mut message, Wait::No).expect("the second one");
    assert_eq!(message, b"second");
    (0..10).for_each(|_| queue.put(&[b"later"], Wait::No).expect("there is room"));
    drop(stream);
    // When it could have come back for long enough.
    while queue.len().expect("a queue that works") < 11 {
        std::thread::yield_now();
    }
    queue.get(&mut message, Wait::No).expect("what nobody has acknowledged");
    assert_eq!(message, b"first");
}
