//! What clients notice of the process that hosts their queue, and of connections that are lost.

use std::error::Error;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::error::{BackendErrorKind, GetFault, OpenError, PutFault};
use ipcq_zmq::{Batch, Limit, Queue, QueueName, QueueOptions, Transport, Wait, ZmqTransport};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{Shutdown, getsockopt, shutdown};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, getpid, pidfd_getfd, pidfd_open};
use tempfile::TempDir;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const LIMIT: Duration = Duration::from_secs(60);
/// Set for helper processes: the directory of the queue.
const CHILD: &str = "IPCQ_TEST_HOST";

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a legal name")
}

/// A helper process, which ends with this value.
struct Helper(Child);

impl Helper {
    /// Starts this program once more, to run `test` in `directory`.
    fn start(test: &str, directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", test, "--test-threads=1"]).env(CHILD, directory).stdout(Stdio::null());
        Self(command.spawn().expect("a child"))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().expect("a process id")), signal).expect("a child of ours");
    }

    /// Stops it, and waits until it does nothing any more.
    fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = Pid::from_raw(self.0.id().try_into().expect("a process id"));
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("a child of ours");
        assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    }

    fn finish(mut self) {
        assert!(self.0.wait().expect("a child").success(), "the helper failed");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn directory_of_parent() -> Option<ZmqTransport> {
    std::env::var_os(CHILD).map(ZmqTransport::in_directory)
}

/// Hosts the queues `empty` and `full` until it is killed.
fn host(zmq: &ZmqTransport) -> ! {
    let options = QueueOptions::new().capacity(1);
    let full = zmq.create(&name("full"), &options).expect("a fresh name is free");
    full.put(&[b"message"], Wait::No).expect("there is room");
    zmq.create(&name("empty"), &options).expect("a fresh name is free");
    loop {
        std::thread::park();
    }
}

fn started(test: &str) -> (TempDir, ZmqTransport, Helper) {
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let helper = Helper::start(test, directory.path());
    while zmq.open(&name("empty")).is_err() {
        std::thread::yield_now();
    }
    (directory, zmq, helper)
}

#[test]
fn everybody_is_told_when_the_host_is_killed() {
    if let Some(zmq) = directory_of_parent() {
        host(&zmq);
    }
    let _watchdog = Watchdog::start("the death of a host", LIMIT);
    let (_directory, zmq, helper) = started("everybody_is_told_when_the_host_is_killed");
    let [full, empty] = ["full", "empty"].map(|text| zmq.open(&name(text)).expect("a queue of the host"));
    std::thread::scope(|scope| {
        let getter = scope.spawn(|| empty.get(&mut Vec::new(), Wait::Forever));
        let putter = scope.spawn(|| full.put(&[b"late"], Wait::Forever));
        while empty.stat().expect("a queue that works").waiting_getters == 0
            || full.stat().expect("a queue that works").waiting_putters == 0
        {
            std::thread::yield_now();
        }
        helper.signal(Signal::SIGKILL);
        let death = Instant::now();
        let got = getter.join().expect("a getter");
        assert!(matches!(&got, Err(GetFault::Backend(error)) if error.is_gone()), "{got:?}");
        let put = putter.join().expect("a putter");
        assert!(matches!(&put, Err(PutFault::Backend(error)) if error.is_gone()), "{put:?}");
        // The contract says 1 s; a busy machine may be late.
        assert!(death.elapsed() < Duration::from_secs(3), "{:?}", death.elapsed());
    });
    assert!(full.len().expect_err("nobody counts").is_gone());
    assert!(zmq.open(&name("full")).expect_err("nobody hosts it").is_missing());
    assert_eq!(zmq.list().expect("a readable directory"), []);
    drop(helper);
    let again = zmq.create(&name("full"), &QueueOptions::new()).expect("the name is free");
    assert_eq!(again.len().expect("a new queue"), 0);
    assert_eq!(zmq.collect_garbage().expect("a readable directory").len(), 1);
    assert_eq!(zmq.list().expect("a readable directory"), [name("full")]);
}

#[test]
fn a_stopped_host_holds_up_no_deadline() {
    if let Some(zmq) = directory_of_parent() {
        host(&zmq);
    }
    let _watchdog = Watchdog::start("a stopped host", LIMIT);
    let (_directory, zmq, helper) = started("a_stopped_host_holds_up_no_deadline");
    let [full, empty] = ["full", "empty"].map(|text| zmq.open(&name(text)).expect("a queue of the host"));
    assert_eq!((full.len().expect("a host"), empty.len().expect("a host")), (1, 0));
    helper.signal(Signal::SIGSTOP);
    let timeout = Duration::from_millis(300);
    for _ in 0..2 {
        let start = Instant::now();
        let got = empty.get(&mut Vec::new(), Wait::timeout(timeout));
        assert!(matches!(got, Err(GetFault::Timeout)), "{got:?}");
        let put = empty.put(&[b"late"], Wait::timeout(timeout));
        assert!(matches!(put, Err(PutFault::Timeout)), "{put:?}");
        assert!(start.elapsed() >= 2 * timeout);
        let put = empty.put(&[b"late"], Wait::No);
        assert!(matches!(put, Err(PutFault::Busy)), "{put:?}");
        empty.len().expect_err("nobody counts");
    }
    helper.signal(Signal::SIGCONT);
    assert_eq!(empty.len().expect("the host goes on"), 0, "what said Timeout or Busy has happened");
    empty.put(&[b"in time"], Wait::Forever).expect("the host goes on");
}

/// The put came before its getter gave up, as the host learns of them when it goes on.
#[test]
fn a_message_goes_to_nobody_who_gave_up_while_the_host_was_stopped() {
    if let Some(zmq) = directory_of_parent() {
        host(&zmq);
    }
    let _watchdog = Watchdog::start("a host that goes on", LIMIT);
    let (_directory, zmq, helper) =
        started("a_message_goes_to_nobody_who_gave_up_while_the_host_was_stopped");
    let empty = zmq.open(&name("empty")).expect("a queue of the host");
    std::thread::scope(|scope| {
        let getter = scope.spawn(|| empty.get(&mut Vec::new(), Wait::timeout(Duration::from_secs(2))));
        while empty.stat().expect("a queue that works").waiting_getters == 0 {
            std::thread::yield_now();
        }
        helper.stop();
        let putter = scope.spawn(|| empty.put(&[b"message"], Wait::Forever));
        let got = getter.join().expect("a getter");
        assert!(matches!(got, Err(GetFault::Timeout)), "{got:?}");
        helper.signal(Signal::SIGCONT);
        putter.join().expect("a putter").expect("a host that goes on");
    });
    let mut message = Vec::new();
    empty.get(&mut message, Wait::No).expect("the message, at once");
    assert_eq!(message, b"message");
}

/// What a child of this process has that it has forked: the connections to `host`.
fn heirlooms(host: &Helper) -> Vec<OwnedFd> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).expect("a handle of this process");
    let open = std::fs::read_dir("/proc/self/fd").expect("the descriptors of this process");
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let copies = numbers.filter_map(|fd: i32| pidfd_getfd(&this, fd, PidfdGetfdFlags::empty()).ok());
    let leads_there = |copy: &OwnedFd| {
        getsockopt(copy, PeerCredentials).is_ok_and(|peer| u32::try_from(peer.pid()) == Ok(host.0.id()))
    };
    copies.filter(leads_there).collect()
}

#[test]
fn a_put_that_was_given_up_has_no_effect_though_a_child_has_the_connection() {
    if let Some(zmq) = directory_of_parent() {
        host(&zmq);
    }
    let _watchdog = Watchdog::start("a put that was given up", LIMIT);
    let (_directory, zmq, helper) =
        started("a_put_that_was_given_up_has_no_effect_though_a_child_has_the_connection");
    let empty = zmq.open(&name("empty")).expect("a queue of the host");
    assert_eq!(empty.len().expect("a queue that works"), 0);
    let heirlooms = heirlooms(&helper);
    assert!(!heirlooms.is_empty(), "the connection is kept");
    helper.stop();
    let put = empty.put(&[b"late"], Wait::No);
    assert!(matches!(put, Err(PutFault::Busy)), "{put:?}");
    helper.signal(Signal::SIGCONT);
    assert_eq!(empty.len().expect("a queue that works"), 0);
}

/// How often it was told that a call has another connection.
static RECONNECTED: AtomicUsize = AtomicUsize::new(0);

/// Counts that.
struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ipcq" && *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        RECONNECTED.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Loses its connections over and over while it puts, one by one, in batches, and in pieces.
fn put_over_bad_connections(zmq: &ZmqTransport) {
    tracing::subscriber::set_global_default(Listener).expect("the first one");
    let queue = zmq.open(&name("numbers")).expect("a queue of the parent");
    let over = AtomicBool::new(false);
    let end = Instant::now() + LIMIT;
    let cut = || {
        // Ends also when the one who puts has failed.
        while Instant::now() < end && !over.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(15));
            for descriptor in 3..40 {
                // What is no connection refuses.
                let _ = shutdown(descriptor, Shutdown::Both);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(cut);
        for n in 0..NUMBERS {
            let number = n.to_be_bytes();
            let mut batch = Batch::new();
            match n % 3 {
                0 => queue.put(&[&number], Wait::Forever).expect("a put"),
                1 => {
                    (0..30).for_each(|_| batch.push(&number));
                    queue.put_many(&batch, 0, Wait::Forever).1.expect("a batch");
                }
                _ => queue.put(&[&number, &[1; 3 << 20]], Wait::Forever).expect("a long put"),
            }
        }
        over.store(true, Ordering::Release);
    });
    assert!(RECONNECTED.load(Ordering::Relaxed) > 0, "nothing was told of lost connections");
}

const NUMBERS: u64 = 300;

#[test]
fn lost_connections_lose_and_double_nothing() {
    if let Some(zmq) = directory_of_parent() {
        return put_over_bad_connections(&zmq);
    }
    let _watchdog = Watchdog::start("lost connections", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let queue = zmq.create(&name("numbers"), &QueueOptions::new().capacity(7)).expect("a free name");
    let helper = Helper::start("lost_connections_lose_and_double_nothing", directory.path());
    let mut batch = Batch::new();
    let mut expected =
        (0..NUMBERS).flat_map(|n| std::iter::repeat_n(n, if n % 3 == 1 { 30 } else { 1 })).peekable();
    while expected.peek().is_some() {
        batch.clear();
        queue.get_many(&mut batch, Limit::messages(5), Wait::Forever).expect("messages");
        for message in batch.iter() {
            let number = message.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            assert_eq!(number, expected.next());
        }
    }
    helper.finish();
    assert_eq!(queue.len().expect("a queue that works"), 0);
}

#[test]
fn a_call_inside_a_runtime_is_a_call() {
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let queue: Queue<u32> = Queue::create(&zmq, "q", &QueueOptions::new()).expect("a free name");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let got = runtime.block_on(async {
        queue.put(7).expect("there is room");
        queue.get().expect("a message")
    });
    assert_eq!(got, 7);
}

/// Hosts a queue, and may have no file handle more, not even the one that is kept for refusals.
fn host_without_handles(zmq: &ZmqTransport, directory: &Path) {
    let queue = zmq.create(&name("full"), &QueueOptions::new()).expect("a free name");
    std::fs::write(directory.join("almost"), "").expect("a file");
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit })
        .expect("a lower limit");
    std::fs::rename(directory.join("almost"), directory.join("ready")).expect("a name for the file");
    loop {
        std::thread::park();
        assert!(queue.len().is_ok());
    }
}

#[test]
fn a_host_without_file_handles_is_told_of_at_once() {
    if let Some(zmq) = directory_of_parent() {
        let directory = std::env::var_os(CHILD).expect("the directory");
        return host_without_handles(&zmq, Path::new(&directory));
    }
    let _watchdog = Watchdog::start("a host without file handles", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let _helper = Helper::start("a_host_without_file_handles_is_told_of_at_once", directory.path());
    while !directory.path().join("ready").exists() {
        std::thread::yield_now();
    }
    let error = zmq.open(&name("full")).expect_err("a queue whose host cannot accept anybody");
    let OpenError::Backend(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), BackendErrorKind::NoRoom);
    let text = format!("{error} {:?}", error.source().map(ToString::to_string));
    assert!(text.contains("ulimit -n") && text.contains("all the 3 file handles"), "{text}");
}
