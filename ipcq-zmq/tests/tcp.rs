//! Queues that are reached at an address on the network.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::error::{CreateError, GetFault, OpenError};
use ipcq_zmq::{Bytes, Channel, Queue, QueueName, QueueOptions, Transport, Wait, ZmqTransport};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
use nix::unistd::Pid;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
/// Set for helper processes: the directory of the queue.
const CHILD: &str = "IPCQ_TEST_TCP";

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a legal name")
}

/// One test at a time: a port that one of them gives up must not go to another.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory, and queues in it which listen at ports that the system chooses.
fn place() -> (TempDir, ZmqTransport) {
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path()).listening("127.0.0.1:0");
    (directory, zmq)
}

/// Where a queue says that it listens.
fn address(queue: &Arc<dyn Channel>) -> String {
    let location = queue.stat().expect("a queue that works").location;
    let (_, port) = location.rsplit_once(" and TCP port ").expect("a port");
    format!("zmq+tcp://127.0.0.1:{port}")
}

/// A host in a process of its own, killed when it is dropped.
struct Host {
    child: Child,
    _directory: TempDir,
    address: String,
}

impl Host {
    fn start(test: &str) -> Self {
        let (directory, zmq) = place();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", test, "--test-threads=1"])
            .env(CHILD, directory.path())
            .stdout(Stdio::null());
        let child = command.spawn().expect("a child");
        let queue = loop {
            match zmq.open(&name("q")) {
                Ok(queue) => break queue,
                Err(_) => std::thread::yield_now(),
            }
        };
        Self { child, _directory: directory, address: address(&queue) }
    }

    fn kill(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// In a helper process: hosts the queue `q` until it is killed.
fn host() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let zmq = ZmqTransport::in_directory(directory).listening("127.0.0.1:0");
    let _queue = zmq.create(&name("q"), &QueueOptions::new()).expect("a fresh name is free");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_queue_is_reached_by_its_address() {
    let _turn = turn();
    let _watchdog = Watchdog::start("an address", LIMIT);
    let (_directory, zmq) = place();
    let here = zmq.create(&name("q"), &QueueOptions::new().capacity(2)).expect("a fresh name is free");
    let address = address(&here);
    let there = ZmqTransport::open_remote(&address).expect("it listens");
    there.put(&[b"one"], Wait::Forever).expect("there is room");
    there.put(&[&vec![2; 5 << 20]], Wait::No).expect("there is room");
    assert!(there.is_full().expect("a queue that works"));
    let mut message = Vec::new();
    here.get(&mut message, Wait::No).expect("a message");
    assert_eq!(message, b"one");
    there.get(&mut message, Wait::timeout(LIMIT)).expect("a message");
    assert!(message == vec![2; 5 << 20]);
    let start = Instant::now();
    let got = there.get(&mut message, Wait::timeout(Duration::from_millis(50)));
    assert!(matches!(got, Err(GetFault::Timeout)), "{got:?}");
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(there.identity().to_string(), address);
    assert_eq!(there.stat().expect("a queue that works").location, address);
    let typed = Queue::<Vec<u8>, Bytes>::from_channel(there.clone()).expect("a queue of bytes");
    assert!(typed.address().is_none(), "it would be looked for in a directory");
    there.share_with(&mut Command::new("true")).expect_err("there is nothing to be inherited");
    there.close().expect("an open queue closes");
    assert!(here.is_closed().expect("a queue that works"));
}

/// A port that others can reach is asked for by its own name.
#[test]
fn only_this_machine_is_let_in_by_default() {
    let _turn = turn();
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let made = zmq.clone().listening(address).create(&name("q"), &QueueOptions::new());
        let Err(CreateError::Backend(error)) = made else { panic!("{address}: {made:?}") };
        assert!(error.to_string().contains(address), "{error}");
        assert!(error.to_string().contains("public"), "{error}");
    }
    assert_eq!(zmq.list().expect("a readable directory"), []);
    let public = zmq.listening_publicly("0.0.0.0:0");
    let queue = public.create(&name("q"), &QueueOptions::new()).expect("it was asked for");
    let there = ZmqTransport::open_remote(&address(&queue)).expect("it listens");
    assert!(there.is_empty().expect("a queue that works"));
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let _turn = turn();
    let directory = tempfile::tempdir().expect("a directory");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("a port").to_string();
    let zmq = ZmqTransport::in_directory(directory.path()).listening(&*taken);
    let made = zmq.create(&name("q"), &QueueOptions::new());
    let Err(CreateError::Backend(error)) = made else { panic!("{made:?}") };
    assert!(error.to_string().contains(&taken), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("a readable directory").count(), 0);
    drop(other);
}

#[test]
fn where_nobody_listens_there_is_no_queue() {
    let _turn = turn();
    let _watchdog = Watchdog::start("nobody", LIMIT);
    // A port that is taken, so that nobody else can, and where nobody listens.
    let idle = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    bind(idle.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a port");
    let port = getsockname::<SockaddrIn>(idle.as_raw_fd()).expect("a port").port();
    let address = format!("zmq+tcp://127.0.0.1:{port}");
    let missing = ZmqTransport::open_remote(&address).expect_err("nobody listens");
    assert!(missing.is_missing() && missing.to_string().contains(&address), "{missing}");
    for wrong in
        ["zmq+tcp://", "zmq+tcp://127.0.0.1", "zmq+tcp://127.0.0.1:port", "zmq+tcp://127.0.0.1:70000"]
    {
        let error = ZmqTransport::open_remote(wrong).expect_err("that is no address");
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

/// Whoever listens there and is no broker is told from one.
#[test]
fn something_else_that_listens_is_no_queue() {
    let _turn = turn();
    use std::io::{Read, Write};
    let _watchdog = Watchdog::start("something else", LIMIT);
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("zmq+tcp://{}", other.local_addr().expect("a port"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("a connection");
        let _ = stream.read(&mut [0; 512]);
    });
    let error = ZmqTransport::open_remote(&address).expect_err("it is no broker");
    assert!(matches!(error, OpenError::Mismatch { .. }), "{error:?}");
    server.join().expect("a server");
}

#[test]
fn everybody_is_told_when_the_host_is_killed() {
    let _turn = turn();
    host();
    let _watchdog = Watchdog::start("the death of a host", LIMIT);
    let mut host = Host::start("everybody_is_told_when_the_host_is_killed");
    let queue = ZmqTransport::open_remote(&host.address).expect("it listens");
    std::thread::scope(|scope| {
        let getter = scope.spawn(|| queue.get(&mut Vec::new(), Wait::Forever));
        while queue.stat().expect("a queue that works").waiting_getters == 0 {
            std::thread::yield_now();
        }
        host.kill();
        let death = Instant::now();
        let got = getter.join().expect("a getter");
        assert!(matches!(&got, Err(GetFault::Backend(error)) if error.is_gone()), "{got:?}");
        // A second, and what a busy machine takes.
        assert!(death.elapsed() < Duration::from_secs(3), "{:?}", death.elapsed());
    });
    assert!(queue.len().expect_err("nobody counts").is_gone());
    assert!(ZmqTransport::open_remote(&host.address).expect_err("nobody listens").is_missing());
}

/// Where the host listened, a later queue may: it is not the one that was opened.
#[test]
fn a_later_queue_at_the_address_is_another_one() {
    let _turn = turn();
    let _watchdog = Watchdog::start("a later queue", LIMIT);
    host();
    let mut host = Host::start("a_later_queue_at_the_address_is_another_one");
    let queue = ZmqTransport::open_remote(&host.address).expect("it listens");
    queue.put(&[b"earlier"], Wait::Forever).expect("there is room");
    host.kill();
    let directory = tempfile::tempdir().expect("a directory");
    let port = host.address.trim_start_matches("zmq+tcp://");
    let zmq = ZmqTransport::in_directory(directory.path()).listening(port);
    let later = zmq.create(&name("later"), &QueueOptions::new()).expect("the port is free");
    let put = queue.put(&[b"late"], Wait::timeout(LIMIT));
    assert!(put.is_err(), "{put:?}");
    assert!(queue.len().expect_err("nobody counts").is_gone());
    assert_eq!(later.len().expect("a queue that works"), 0);
    assert!(ZmqTransport::open_remote(&host.address).expect("it listens").is_empty().expect("a queue"));
}

/// Whether a host elsewhere is stopped cannot be known; a call that has yet to connect to it keeps to its deadline, but
/// for a second.
#[test]
fn a_host_that_is_stopped_does_not_keep_a_new_connection_waiting() {
    const TEST: &str = "a_host_that_is_stopped_does_not_keep_a_new_connection_waiting";
    let _turn = turn();
    host();
    let _watchdog = Watchdog::start("a stopped host", LIMIT);
    let host = Host::start(TEST);
    let queue = ZmqTransport::open_remote(&host.address).expect("it listens");
    let pid = Pid::from_raw(host.child.id().cast_signed());
    kill(pid, Signal::SIGSTOP).expect("a child of ours");
    let (mut message, start) = (Vec::new(), Instant::now());
    let got = queue.get(&mut message, Wait::timeout(Duration::from_millis(50)));
    assert!(matches!(got, Err(GetFault::Timeout)), "{got:?}");
    // A call without a deadline tries for 10 s.
    assert!(start.elapsed() < Duration::from_secs(7), "{:?}", start.elapsed());
    kill(pid, Signal::SIGCONT).expect("a child of ours");
    queue.put(&[b"one"], Wait::Forever).expect("there is room");
    queue.get(&mut message, Wait::Forever).expect("a message");
    assert_eq!(message, b"one");
}
