//! Deliveries in the hands of processes that are stopped, and that lose their connections.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::error::{CreateError, GetFault};
use ipcq_zmq::{Channel, QueueName, QueueOptions, Transport, Wait, ZmqTransport};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::Pid;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
/// Set for helper processes: the directory of the queue.
const CHILD: &str = "IPCQ_TEST_DELIVERIES";

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a legal name")
}

/// A helper process, killed when it is dropped.
struct Helper(Child);

impl Helper {
    /// Starts this program once more, to run `test` in `directory`.
    fn start(test: &str, directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", test, "--test-threads=1"]).env(CHILD, directory).stdout(Stdio::null());
        Self(command.spawn().expect("a child"))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).expect("a child of ours");
    }

    /// Waits until it is stopped.
    fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let path = format!("/proc/{}/stat", self.0.id());
        while !std::fs::read_to_string(&path).expect("a child of ours").contains(") T ") {
            std::thread::yield_now();
        }
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

fn place() -> (TempDir, ZmqTransport) {
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    (directory, zmq)
}

fn deliver(queue: &dyn Channel, wait: Wait) -> Result<Vec<u8>, GetFault> {
    let mut message = Vec::new();
    queue.get_delivery(&mut message, wait).map(|_| message)
}

/// In a helper process: gets deliveries, says in the queue `told` which, and keeps them until it is killed.
fn hold(zmq: &ZmqTransport) -> ! {
    let queue = zmq.open(&name("q")).expect("a queue of the parent");
    let told = zmq.open(&name("told")).expect("a queue of the parent");
    loop {
        let message = deliver(&*queue, Wait::Forever).expect("a message");
        told.put(&[&message], Wait::Forever).expect("there is room");
    }
}

/// A process that is stopped keeps what it holds; what is sent to it while it is stopped is called back for others.
#[test]
fn a_stopped_process_keeps_what_it_holds_and_no_more() {
    const TEST: &str = "a_stopped_process_keeps_what_it_holds_and_no_more";
    if let Some(zmq) = directory_of_parent() {
        hold(&zmq);
    }
    let _watchdog = Watchdog::start("a stopped holder", LIMIT);
    let (directory, zmq) = place();
    let queue = zmq.create(&name("q"), &QueueOptions::new().acknowledged(true)).expect("a free name");
    let told = zmq.create(&name("told"), &QueueOptions::new()).expect("a free name");
    let helper = Helper::start(TEST, directory.path());
    let mut message = Vec::new();
    queue.put(&[b"held"], Wait::No).expect("there is room");
    told.get(&mut message, Wait::Forever).expect("the helper has it");
    while queue.stat().expect("a queue that works").waiting_getters == 0 {
        std::thread::yield_now();
    }
    helper.stop();
    queue.put(&[b"sent"], Wait::No).expect("there is room");
    let start = Instant::now();
    assert_eq!(deliver(&*queue, Wait::timeout(LIMIT)).expect("what was sent to the helper"), b"sent");
    // The contract says 60 ms; a busy machine may be late.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let got = deliver(&*queue, Wait::timeout(Duration::from_millis(300)));
    assert!(matches!(got, Err(GetFault::Timeout)), "{got:?}");
    let stat = queue.stat().expect("a queue that works");
    assert_eq!((stat.len, stat.in_flight, stat.redelivered), (0, 2, 0));
    helper.signal(Signal::SIGCONT);
    queue.put(&[b"next"], Wait::No).expect("there is room");
    told.get(&mut message, Wait::Forever).expect("the helper goes on");
    assert_eq!(message, b"next", "the helper took for its own what was called back");
    drop(helper);
    assert_eq!(deliver(&*queue, Wait::timeout(LIMIT)).expect("what the helper had"), b"held");
}

const JOBS: u64 = 300;

/// Does jobs, and loses its connections over and over.
fn work_over_bad_connections(zmq: &ZmqTransport) {
    let queue = zmq.open(&name("q")).expect("a queue of the parent");
    let (over, end) = (AtomicBool::new(false), Instant::now() + LIMIT);
    let cut = || {
        // Ends also when the one who works has failed.
        while Instant::now() < end && !over.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(3));
            for descriptor in 3..40 {
                // What is no connection refuses.
                let _ = shutdown(descriptor, Shutdown::Both);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(cut);
        let (mut message, mut next) = (Vec::new(), 0_u64);
        while let Ok(tag) = queue.get_delivery(&mut message, Wait::Forever) {
            assert_eq!((tag.number, tag.redeliveries), (next, 0));
            assert_eq!(message.first_chunk(), Some(&next.to_be_bytes()));
            queue.acknowledge(&tag).expect("it is this process's");
            next += 1;
        }
        over.store(true, Ordering::Release);
        assert_eq!(next, JOBS);
    });
}

/// Whatever becomes of its connections, a process does each job once.
#[test]
fn lost_connections_lose_and_double_no_delivery() {
    if let Some(zmq) = directory_of_parent() {
        return work_over_bad_connections(&zmq);
    }
    let _watchdog = Watchdog::start("lost connections", LIMIT);
    let (directory, zmq) = place();
    let queue = zmq.create(&name("q"), &QueueOptions::new().acknowledged(true)).expect("a free name");
    let mut helper = Helper::start("lost_connections_lose_and_double_no_delivery", directory.path());
    for n in 0..JOBS {
        let long = vec![7; if n % 10 == 0 { 3 << 20 } else { 9 }];
        queue.put(&[&n.to_be_bytes(), &long], Wait::Forever).expect("there is room");
    }
    queue.join(Wait::Forever).expect("a queue that works");
    queue.close().expect("an open queue closes");
    assert!(helper.0.wait().expect("a child").success(), "the helper failed");
    let stat = queue.stat().expect("a queue that works");
    assert_eq!((stat.gets, stat.in_flight, stat.redelivered), (JOBS, 0, 0));
}

/// A queue is not made whose dead letters it could not move, because another process hosts their queue.
#[test]
fn dead_letters_of_another_process_are_refused() {
    let limited = QueueOptions::new().acknowledged(true).max_redeliveries(1);
    if let Some(zmq) = directory_of_parent() {
        let refused = zmq.create(&name("q"), &limited).expect_err("its dead letters are elsewhere");
        let CreateError::Backend(error) = refused else { panic!("{refused}") };
        assert!(error.to_string().contains("q.dead"), "{error}");
        assert!(zmq.open(&name("q")).expect_err("it was not made").is_missing());
        return;
    }
    let (directory, zmq) = place();
    let _dead = zmq.create(&name("q.dead"), &QueueOptions::new()).expect("a free name");
    let mut helper = Helper::start("dead_letters_of_another_process_are_refused", directory.path());
    assert!(helper.0.wait().expect("a child").success(), "the helper failed");
    zmq.create(&name("q"), &limited).expect("both are hosted here");
}
