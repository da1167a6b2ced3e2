//! Brokers that cannot take a connection: what clients are told, and when.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::error::{GetFault, PutFault};
use ipcq_zmq::{QueueOptions, Transport, Wait, ZmqTransport};

use crate::place::{CHILD, LIMIT, greeting, header, message, name, ready};

/// Set for helper processes that come for a queue: whether it is to have room for them.
const ROOM: &str = "IPCQ_TEST_ROOM";
/// How many descriptors a host has that has few.
const FEW: usize = 48;

/// Orders to a host of few: to take all descriptors itself, and to give them up.
const FILL: u8 = b'f';
const GIVE_UP: u8 = b'g';

const WELCOME: u8 = 100;
const NO_ROOM: u8 = 111;

/// A helper process, killed when it is dropped.
struct Helper(Child);

impl Helper {
    /// Runs `test` in a process that may have so many descriptors.
    fn start(test: &str, directory: &Path, descriptors: usize, room: Option<bool>) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$1\" && shift && exec \"$0\" \"$@\""]);
        command.arg(std::env::current_exe().expect("this program"));
        command.args([&descriptors.to_string(), "--exact", test, "--test-threads=1"]);
        command.env(CHILD, directory).stdin(Stdio::piped()).stdout(Stdio::null());
        if let Some(room) = room {
            command.env(ROOM, room.to_string());
        }
        Self(command.spawn().expect("a child"))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Opens sessions of the queue `few` until there is no room for one more, which its broker says.
fn fill(directory: &Path) -> Vec<UnixStream> {
    let mut filling = Vec::new();
    loop {
        let (stream, code) = come(directory, u8::try_from(filling.len()).expect("few"));
        match code {
            WELCOME => filling.push(stream),
            NO_ROOM => return filling,
            other => panic!("an answer of {other} after {}", filling.len()),
        }
    }
}

/// Comes for the queue `few` as the session `token`; returns the code of the answer, or 0 where there is none.
fn come(directory: &Path, token: u8) -> (UnixStream, u8) {
    let mut stream = UnixStream::connect(directory.join("few.zmq")).expect("the broker listens");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
    let hello = message(&[&header(1, 0, [0; 5]), &[token; 16]]);
    // One that is refused at once does not read it.
    let _ = stream.write_all(&[greeting(), ready(), hello].concat());
    let code = first_header(&mut stream).0;
    (stream, code)
}

/// The code of the first header that comes, and its id; 0 when none comes.
fn first_header(stream: &mut UnixStream) -> (u8, u64) {
    let (mut seen, mut piece) = (Vec::new(), [0; 512]);
    loop {
        if let Some(at) = seen.windows(4).position(|bytes| bytes == b"IPCQ")
            && let Some(found) = seen.get(at..at + 16)
        {
            let id = found[8..].try_into().map_or(0, u64::from_be_bytes);
            return (found[5], id);
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return (0, 0),
            Ok(len) => seen.extend_from_slice(&piece[..len]),
        }
    }
}

/// In a helper process: hosts the queue `few` until its parent ends.
#[test]
fn host_of_few() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let zmq = ZmqTransport::in_directory(directory);
    let _queue = zmq.create(&name("few"), &QueueOptions::new().capacity(4)).expect("a fresh name is free");
    let greedy = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut order = [0];
        while std::io::stdin().read(&mut order).is_ok_and(|len| len > 0) {
            let fills = order == [FILL];
            if fills != greedy.swap(fills, Ordering::AcqRel) && fills {
                scope.spawn(|| fill_up(&greedy));
            }
        }
        greedy.store(false, Ordering::Release);
    });
}

/// Takes every descriptor that this process may have, also those that come free.
fn fill_up(greedy: &AtomicBool) {
    let mut files = Vec::new();
    while greedy.load(Ordering::Acquire) {
        files.extend(std::fs::File::open("/dev/null"));
    }
}

/// In a helper process: comes for the queue `few`, and is let in or told why not.
#[test]
fn newcomer() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let opened = ZmqTransport::in_directory(directory).open(&name("few"));
    if std::env::var(ROOM).is_ok_and(|room| room == "true") {
        opened.expect("there is room").len().expect("a queue that works");
    } else {
        let error = opened.expect_err("there is no room").to_string();
        assert!(error.contains("no room for one more connection") && error.contains("ulimit"), "{error}");
    }
}

/// When its host has no descriptor left, clients that are connected go on, new ones are told at once, and let in when
/// there are descriptors again.
#[test]
fn a_host_without_descriptors_goes_on() {
    let _watchdog = Watchdog::start("a host without descriptors", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let _host = Helper::start("trouble::host_of_few", directory.path(), FEW, None);
    while zmq.open(&name("few")).is_err() {
        std::thread::yield_now();
    }
    let newcomer = |room: bool| {
        let mut newcomer = Helper::start("trouble::newcomer", directory.path(), 1000, Some(room));
        assert!(newcomer.0.wait().expect("a child").success(), "room: {room}");
    };
    let (over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let (queue, mut got) = (zmq.open(&name("few")).expect("the queue is there"), Vec::new());
            while !over.load(Ordering::Acquire) {
                queue.put(&[b"round"], Wait::timeout(LIMIT)).expect("a put");
                queue.get(&mut got, Wait::timeout(LIMIT)).expect("a get");
                rounds.fetch_add(1, Ordering::AcqRel);
            }
        });
        let goes_on = || {
            let before = rounds.load(Ordering::Acquire);
            while rounds.load(Ordering::Acquire) < before + 20 && !worker.is_finished() {
                std::thread::yield_now();
            }
        };
        goes_on();
        for _ in 0..3 {
            let filling = fill(directory.path());
            assert!((10..FEW).contains(&filling.len()), "{} were let in", filling.len());
            goes_on();
            newcomer(false);
            goes_on();
            drop(filling);
            newcomer(true);
        }
        over.store(true, Ordering::Release);
        worker.join().expect("the one who works notices nothing");
    });
}

/// A host that had not even the descriptor left that it tells people with lets them in, and tells them, when it has some again.
#[test]
fn a_host_that_had_no_descriptor_at_all_recovers() {
    let _watchdog = Watchdog::start("a host without any descriptor", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let mut host = Helper::start("trouble::host_of_few", directory.path(), FEW, None);
    while zmq.open(&name("few")).is_err() {
        std::thread::yield_now();
    }
    let queue = zmq.open(&name("few")).expect("the queue is there");
    assert_eq!(queue.len().expect("there is room"), 0);
    let mut order = |byte: u8| {
        host.0.stdin.as_mut().expect("a pipe").write_all(&[byte]).expect("a host that lives");
    };
    order(FILL);
    // While it takes them, the broker gives up the one that it keeps for each who comes: sooner or later that is gone, too.
    while come(directory.path(), 1).1 != 0 {
        std::thread::yield_now();
    }
    assert_eq!(queue.len().expect("who is connected goes on"), 0);
    order(GIVE_UP);
    while come(directory.path(), 2).1 != WELCOME {
        std::thread::yield_now();
    }
    assert!((10..FEW).contains(&fill(directory.path()).len()));
}

/// A broker that lets in who looks and who opens a session, takes one request of that, hangs up, and is silent from then on.
fn play_broker(listener: &UnixListener) {
    let mut silent = Vec::new();
    for turn in 0.. {
        let Ok((mut stream, _)) = listener.accept() else { return };
        if turn >= 2 {
            silent.push(stream);
            continue;
        }
        let mut bytes = greeting();
        bytes.extend_from_slice(b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06ROUTER");
        stream.write_all(&bytes).expect("a client that reads");
        let (_, id) = first_header(&mut stream);
        let welcome = header(WELCOME, id, [10, 1 << 20, 0, 1 << 20, 0]);
        let contents: [&[u8]; 5] = [&welcome, &[7; 16], b"bytes", b"q", &[0; 16]];
        stream.write_all(&message(&contents)).expect("a client that reads");
        if turn == 1 {
            first_header(&mut stream);
        }
    }
}

/// A call whose connection is lost, and which gets no other one, ends when it was to end.
#[test]
fn a_call_that_cannot_come_back_keeps_its_deadline() {
    let _watchdog = Watchdog::start("a broker that is silent", LIMIT);
    for puts in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("q.zmq")).expect("a socket");
        std::thread::spawn(move || play_broker(&listener));
        let queue = ZmqTransport::in_directory(directory.path()).open(&name("q")).expect("it lets in");
        let (start, timeout) = (Instant::now(), Duration::from_millis(300));
        if puts {
            let put = queue.put(&[b"message"], Wait::timeout(timeout));
            let Err(PutFault::Backend(error)) = put else { panic!("{put:?}") };
            assert!(error.to_string().contains("is unknown"), "{error}");
        } else {
            let got = queue.get(&mut Vec::new(), Wait::timeout(timeout));
            assert!(matches!(got, Err(GetFault::Timeout)), "{got:?}");
        }
        // It tries for 10 s where there is no deadline; a busy machine may be late.
        assert!((timeout..Duration::from_secs(5)).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
}
