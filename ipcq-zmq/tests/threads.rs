//! Several threads of one process at a time, whose calls are done together.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::error::GetFault;
use ipcq_zmq::{Batch, QueueName, QueueOptions, Transport, Wait, ZmqTransport};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(60);
const THREADS: u64 = 8;
const EACH: u64 = 50;
/// How often a process is stopped.
const ROUNDS: usize = 15;
/// Set for helper processes: the directory of the queues.
const CHILD: &str = "IPCQ_TEST_THREADS";

/// A put returns when its own message is in the queue, whoever put it there and whatever else that one has to put.
#[test]
fn each_put_returns_when_its_own_message_is_in() {
    let _watchdog = Watchdog::start("puts done together", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let queue = zmq.create_anonymous(&QueueOptions::new().capacity(1)).expect("a queue");
    let (returned, all) = (AtomicUsize::new(0), usize::try_from(THREADS * EACH).expect("a small number"));
    let mut got = HashSet::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (queue, returned) = (&queue, &returned);
            scope.spawn(move || {
                for number in thread * EACH..(thread + 1) * EACH {
                    queue.put(&[&number.to_be_bytes()], Wait::Forever).expect("a put");
                    returned.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut message = Vec::new();
        for taken in 1..=all {
            queue.get(&mut message, Wait::Forever).expect("a get");
            assert!(got.insert(message.clone()), "a message came twice");
            // One more is in the queue by now, and nobody takes it before its putter has returned.
            while returned.load(Ordering::SeqCst) < (taken + 1).min(all) {
                std::thread::yield_now();
            }
            assert!(returned.load(Ordering::SeqCst) <= taken + 1, "a put returned that is not in the queue");
        }
    });
    assert_eq!(got.len(), all);
}

/// Every thread that waits for a message gets one, each another, and STAT knows of all who wait.
#[test]
fn each_get_returns_with_its_own_message() {
    let _watchdog = Watchdog::start("gets done together", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let queue = zmq.create_anonymous(&QueueOptions::new()).expect("a queue");
    std::thread::scope(|scope| {
        let getters: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut messages = Vec::new();
                    for _ in 0..EACH {
                        let mut message = Vec::new();
                        queue.get(&mut message, Wait::Forever).expect("a get");
                        messages.push(message);
                    }
                    messages
                })
            })
            .collect();
        while queue.stat().expect("numbers").waiting_getters as u64 != THREADS {
            std::thread::yield_now();
        }
        for number in 0..THREADS * EACH {
            queue.put(&[&number.to_be_bytes()], Wait::Forever).expect("a put");
        }
        let got: Vec<Vec<u8>> =
            getters.into_iter().flat_map(|getter| getter.join().expect("a getter")).collect();
        let unique: HashSet<&Vec<u8>> = got.iter().collect();
        assert_eq!((got.len(), unique.len()), (400, 400));
    });
    assert_eq!(queue.len().expect("a length"), 0);
}

/// What was sent to threads of a stopped process and called back is got by others, and by none of those threads, though
/// several of them had asked for it as one.
#[test]
fn what_is_called_back_is_not_handed_to_those_who_asked_together() {
    const TEST: &str = "what_is_called_back_is_not_handed_to_those_who_asked_together";
    if let Some(directory) = std::env::var_os(CHILD) {
        return get_and_pass_on(&ZmqTransport::in_directory(directory));
    }
    let _watchdog = Watchdog::start("gets called back", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let sent = zmq.create(&name("sent"), &QueueOptions::new()).expect("a free name");
    let passed = zmq.create(&name("passed"), &QueueOptions::new().capacity(2000)).expect("a free name");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", TEST, "--test-threads=1"]).env(CHILD, directory.path()).stdout(Stdio::null());
    let child = Killed(command.spawn().expect("a child"));
    let pid = Pid::from_raw(child.0.id().cast_signed());
    let (mut numbers, mut got, mut message, mut recalled) = (0_u64.., Vec::new(), Vec::new(), 0);
    let mut put = |count: u64| {
        let mut batch = Batch::new();
        for number in (&mut numbers).take(usize::try_from(count).expect("a small number")) {
            batch.push(&number.to_be_bytes());
        }
        sent.put_many(&batch, 0, Wait::Forever).1.expect("a put");
    };
    for _ in 0..ROUNDS {
        // Those who have just got something ask anew at the same time, and so together.
        put(4 * THREADS);
        while sent.stat().expect("numbers").waiting_getters as u64 != THREADS {
            std::thread::yield_now();
        }
        kill(pid, Signal::SIGSTOP).expect("a child that lives");
        while !is_stopped(pid) {
            std::thread::yield_now();
        }
        put(THREADS);
        // Those who ask as one may have been sent fewer than they are. Who gets the rest passes by what was sent.
        if sent.is_empty().expect("numbers") {
            for _ in 0..THREADS {
                sent.get(&mut message, Wait::timeout(LIMIT)).expect("a message that is called back");
                got.push(message.clone());
            }
            recalled += 1;
        }
        kill(pid, Signal::SIGCONT).expect("a child that lives");
    }
    while got.len() < ROUNDS * 5 * usize::try_from(THREADS).expect("a small number") {
        passed.get(&mut message, Wait::timeout(LIMIT)).expect("a message that was got");
        got.push(message.clone());
    }
    // What came twice would be here by now, or is on its way.
    put(THREADS);
    for _ in 0..THREADS {
        passed.get(&mut message, Wait::timeout(LIMIT)).expect("a message that was got");
        got.push(message.clone());
    }
    let unique: HashSet<&Vec<u8>> = got.iter().collect();
    assert_eq!(unique.len(), got.len(), "a message was got twice");
    assert!(recalled > 0, "nothing was ever called back");
}

/// In a helper process: threads that pass on what they get, until it is killed.
fn get_and_pass_on(zmq: &ZmqTransport) {
    let (sent, passed) =
        (zmq.open(&name("sent")).expect("a queue"), zmq.open(&name("passed")).expect("a queue"));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut message = Vec::new();
                loop {
                    sent.get(&mut message, Wait::Forever).expect("a get");
                    passed.put(&[&message], Wait::Forever).expect("a put");
                }
            });
        }
    });
}

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a legal name")
}

fn is_stopped(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a child that lives");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// A child that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Over TCP, too, calls are done together.
#[test]
fn calls_over_tcp_are_done_together() {
    let _watchdog = Watchdog::start("calls over TCP", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path()).listening("127.0.0.1:0");
    let here = zmq.create(&name("q"), &QueueOptions::new().capacity(4)).expect("a free name");
    let location = here.stat().expect("numbers").location;
    let (_, port) = location.rsplit_once(" and TCP port ").expect("a port");
    let there = ZmqTransport::open_remote(&format!("zmq+tcp://127.0.0.1:{port}")).expect("it listens");
    let got = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (there, got) = (&there, &got);
            scope.spawn(move || {
                for number in thread * EACH..(thread + 1) * EACH {
                    // A long one now and then, which goes alone and is got along with others.
                    let len = if number % 16 == 0 { 2 << 20 } else { 8 };
                    let mut long = vec![0; len];
                    long[..8].copy_from_slice(&number.to_be_bytes());
                    there.put(&[&long], Wait::Forever).expect("a put");
                }
            });
            scope.spawn(move || {
                for _ in 0..EACH {
                    let mut message = Vec::new();
                    there.get(&mut message, Wait::Forever).expect("a get");
                    let number = u64::from_be_bytes(message[..8].try_into().expect("8 bytes"));
                    assert_eq!(message.len(), if number % 16 == 0 { 2 << 20 } else { 8 });
                    got.lock().expect("no panic").push(number);
                }
            });
        }
    });
    let mut got = got.into_inner().expect("no panic");
    got.sort_unstable();
    assert!(got.into_iter().eq(0..THREADS * EACH), "not every message came once");
    let mut message = Vec::new();
    let past = there.get(&mut message, Wait::Until(Instant::now()));
    assert!(matches!(past, Err(GetFault::Timeout)), "{past:?}");
}
