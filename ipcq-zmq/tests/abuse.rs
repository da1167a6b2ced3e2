//! What hostile and clumsy peers do to a broker: it must neither crash nor hang nor grow, and who works with it all the
//! while must not notice.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_zmq::{QueueName, QueueOptions, Transport, Wait, ZmqTransport};
use tempfile::TempDir;

/// More than any test here takes.
const LIMIT: Duration = Duration::from_secs(120);
/// What a broker may come to need for peers that have not earned it.
const BLOAT: u64 = 100 << 20;
/// Set for helper processes: the directory of the queue.
const CHILD: &str = "IPCQ_TEST_ABUSE";

/// The tests look at the memory and the descriptors of their process, and so take turns.
static TURN: Mutex<()> = Mutex::new(());

struct Place {
    _turn: MutexGuard<'static, ()>,
    directory: TempDir,
    zmq: ZmqTransport,
}

impl Place {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().expect("a directory");
        let zmq = ZmqTransport::in_directory(directory.path());
        zmq.create(&name("q"), &QueueOptions::new().capacity(10)).expect("a fresh name is free");
        Self { _turn: turn, directory, zmq }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("q.zmq")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        stream
    }

    /// Runs `abuse` while another client puts and gets, which must go on without an error, and checks what is left.
    fn survives(&self, abuse: impl FnOnce(&Self)) {
        let _watchdog = Watchdog::start("abuse", LIMIT);
        let (before, over, rounds) = (memory(), AtomicBool::new(false), AtomicU64::new(0));
        let work = || {
            let queue = self.zmq.open(&name("q")).expect("the queue is there");
            let mut message = Vec::new();
            while !over.load(Ordering::Acquire) {
                let sent = rounds.fetch_add(1, Ordering::AcqRel).to_le_bytes();
                queue.put(&[&sent], Wait::timeout(LIMIT)).expect("a put beside the abuse");
                queue.get(&mut message, Wait::timeout(LIMIT)).expect("a get beside the abuse");
                assert_eq!(message, sent, "what came out is not what went in");
            }
        };
        std::thread::scope(|scope| {
            let worker = scope.spawn(work);
            abuse(self);
            let rounds_before = rounds.load(Ordering::Acquire);
            while rounds.load(Ordering::Acquire) < rounds_before + 20 && !worker.is_finished() {
                std::thread::yield_now();
            }
            over.store(true, Ordering::Release);
            worker.join().expect("the one who works notices nothing");
        });
        let grown = memory().saturating_sub(before);
        assert!(grown < BLOAT, "the process has grown by {grown} bytes");
        assert_eq!(self.zmq.open(&name("q")).expect("the queue").len().expect("a queue that works"), 0);
    }
}

fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a legal name")
}

/// The most memory that this process has had, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the state of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
}

fn greeting() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

fn ready() -> Vec<u8> {
    let mut bytes = vec![4, 28];
    bytes.extend_from_slice(b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER");
    bytes
}

fn header(op: u8, id: u64, fields: [u64; 5]) -> Vec<u8> {
    let mut bytes = b"IPCQ\x02".to_vec();
    bytes.extend_from_slice(&[op, 0, 0]);
    bytes.extend_from_slice(&id.to_be_bytes());
    fields.iter().for_each(|field| bytes.extend_from_slice(&field.to_be_bytes()));
    bytes
}

/// A message of these frames.
fn message(frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let more = u8::from(at + 1 < frames.len());
        if frame.len() < 256 {
            bytes.extend_from_slice(&[more, u8::try_from(frame.len()).expect("a short frame")]);
        } else {
            bytes.push(more | 2);
            bytes.extend_from_slice(&(frame.len() as u64).to_be_bytes());
        }
        bytes.extend_from_slice(frame);
    }
    bytes
}

/// A connection with an open session.
fn session(place: &Place, token: u8) -> UnixStream {
    let mut stream = place.connect();
    let hello = message(&[&header(1, 0, [0; 5]), &[token; 16]]);
    stream.write_all(&[greeting(), ready(), hello].concat()).expect("a broker that reads");
    let mut seen = Vec::new();
    let mut piece = [0; 256];
    while !seen.windows(6).any(|bytes| bytes == b"IPCQ\x02\x64") {
        let len = stream.read(&mut piece).expect("a WELCOME");
        assert!(len > 0, "the broker hung up");
        seen.extend_from_slice(&piece[..len]);
    }
    stream
}

/// Whether the broker ends the connection.
fn hangs_up(mut stream: UnixStream) -> bool {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Bytes that look like nothing.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn random_bytes_are_refused() {
    Place::new().survives(|place| {
        for seed in 0..200 {
            let mut stream = place.connect();
            // The broker may hang up in the middle.
            let _ = stream.write_all(&noise(73, seed * 77 + 5));
            if seed % 50 == 0 {
                assert!(hangs_up(stream), "seed {seed}");
            }
        }
    });
}

#[test]
fn noise_behind_a_sound_beginning_is_refused() {
    Place::new().survives(|place| {
        for seed in 0..100 {
            let beginning = match seed % 3 {
                0 => greeting(),
                1 => [greeting(), ready()].concat(),
                _ => [greeting(), ready(), message(&[&header(1, 0, [0; 5]), &[9; 16]])].concat(),
            };
            let mut stream = place.connect();
            let _ = stream.write_all(&[beginning, noise(5000, seed * 31 + 7)].concat());
        }
    });
}

#[test]
fn claims_of_gigabytes_are_refused() {
    Place::new().survives(|place| {
        for claim in [(1 << 20) + 5, 8 << 30, 32 << 30, 1 << 60, 1 << 63, u64::MAX] {
            let header = [&[2][..], &u64::to_be_bytes(claim)].concat();
            let command = [&[6][..], &u64::to_be_bytes(claim)].concat();
            for (at, bytes) in [&header, &command].into_iter().enumerate() {
                let mut stream = place.connect();
                stream.write_all(&[greeting(), bytes.clone()].concat()).expect("a broker that reads");
                assert!(hangs_up(stream), "{claim} before the handshake, {at}");
                let mut stream = place.connect();
                stream
                    .write_all(&[greeting(), ready(), bytes.clone()].concat())
                    .expect("a broker that reads");
                assert!(hangs_up(stream), "{claim} before the session, {at}");
                let mut stream = session(place, 1);
                stream.write_all(bytes).expect("a broker that reads");
                assert!(hangs_up(stream), "{claim} in a session, {at}");
            }
        }
    });
}

#[test]
fn requests_of_many_frames_are_bounded() {
    Place::new().survives(|place| {
        let mut stream = session(place, 2);
        let endless = [1, 0].repeat(1 << 20);
        let _ = stream.write_all(&endless);
        assert!(hangs_up(stream), "frames without end");
        let mut stream = session(place, 3);
        let mut long = vec![3];
        long.extend_from_slice(&(1_u64 << 20).to_be_bytes());
        long.resize(9 + (1 << 20), 0);
        let _ = stream.write_all(&long.repeat(4));
        assert!(hangs_up(stream), "long frames without end");
    });
}

#[test]
fn half_done_handshakes_are_dropped() {
    Place::new().survives(|place| {
        let mut streams: Vec<UnixStream> = (0..500).map(|_| place.connect()).collect();
        for (at, stream) in streams.iter_mut().enumerate() {
            // Those that the broker has dropped for newer ones refuse it.
            let _ = stream.write_all(&greeting()[..at % 65]);
        }
        assert!(streams.into_iter().all(hangs_up));
    });
}

#[test]
fn a_slow_handshake_is_no_handshake() {
    Place::new().survives(|place| {
        let start = Instant::now();
        let mut stream = place.connect();
        stream.write_all(&greeting()).expect("a broker that reads");
        assert!(hangs_up(stream));
        assert!(start.elapsed() >= Duration::from_millis(9900), "{:?}", start.elapsed());
    });
}

#[test]
fn who_does_not_read_is_not_listened_to() {
    Place::new().survives(|place| {
        let mut stream = session(place, 4);
        stream.set_nonblocking(true).expect("a socket");
        let (mut sent, mut id) = (0, 0);
        let mut pending = Vec::new();
        let end = Instant::now() + Duration::from_secs(3);
        while sent < 200_000 && Instant::now() < end {
            if pending.is_empty() {
                id += 1;
                pending = message(&[&header(7, id, [0; 5])]);
                sent += 1;
            }
            match stream.write(&pending) {
                Ok(len) => drop(pending.drain(..len)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return,
            }
        }
        assert!(sent < 200_000, "the broker took everything in");
    });
}

#[test]
fn malformed_headers_end_the_connection() {
    let good = header(4, 1, [0; 5]);
    let change = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        good[..55].to_vec(),
        [good.as_slice(), &[0]].concat(),
        change(0, b'X'),
        change(4, 0),
        change(4, 1),
        change(5, 0),
        change(5, 14),
        change(5, 99),
        header(1, 1, [0; 5]),
    ];
    Place::new().survives(|place| {
        for (at, header) in bad.iter().enumerate() {
            let mut stream = session(place, 5);
            stream.write_all(&message(&[header])).expect("a broker that reads");
            assert!(hangs_up(stream), "header {at}");
        }
        let mut stream = place.connect();
        let early = message(&[&header(2, 1, [0; 5]), b"message"]);
        stream.write_all(&[greeting(), ready(), early].concat()).expect("a broker that reads");
        assert!(hangs_up(stream), "a put without a session");
        let mut stream = session(place, 6);
        let twice = message(&[&header(4, 1, [0, 0, 1, 0, 0]), b""]);
        stream.write_all(&twice.repeat(2)).expect("a broker that reads");
        // What is put is packed: a length of 4 bytes, and the message.
        for wrong in [&[0, 0, 0][..], &[0, 0, 0, 2, 1], &[0, 0, 0, 1, 1, 0xff, 0xff, 0xff, 0xff], b"message"]
        {
            let mut stream = session(place, 7);
            stream.write_all(&message(&[&header(2, 1, [0; 5]), wrong])).expect("a broker that reads");
            assert!(hangs_up(stream), "a put of {wrong:?}");
        }
        let mut stream = session(place, 8);
        let three = message(&[&header(2, 1, [0; 5]), &[0, 0, 0, 1, 1], &[0, 0, 0, 1, 1]]);
        stream.write_all(&three).expect("a broker that reads");
        assert!(hangs_up(stream), "a put of two frames");
    });
}

#[test]
fn wild_numbers_are_harmless() {
    Place::new().survives(|place| {
        for op in 3..=12 {
            for field in [0, 1, (1 << 20) - 1, 1 << 20, u64::MAX] {
                // Removing and closing the queue, and registering, are everybody's right.
                if matches!(op, 4 | 8 | 9) {
                    continue;
                }
                let mut stream = session(place, op);
                let mut wild = header(op, u64::MAX, [field, field, field, field, field]);
                wild[6] = 0xff;
                let _ = stream.write_all(&message(&[&wild, b"frame"]));
            }
        }
    });
}

#[test]
fn clients_come_and_vanish() {
    Place::new().survives(|place| {
        let files = || std::fs::read_dir("/proc/self/fd").expect("the descriptors").count();
        for round in 0..5_u8 {
            for at in 0..1000_u32 {
                let mut stream = place.connect();
                let token = [at.to_be_bytes(), [round; 4], [1; 4], [2; 4]].concat();
                let hello = message(&[&header(1, 0, [0; 5]), &token]);
                let _ = stream.write_all(&[greeting(), ready(), hello].concat());
            }
        }
        while files() > 100 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn another_process_cannot_take_over_a_session() {
    if let Some(directory) = std::env::var_os(CHILD) {
        let stream = UnixStream::connect(PathBuf::from(directory).join("q.zmq")).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let hello = message(&[&header(1, 0, [0; 5]), &[7; 16]]);
        (&stream).write_all(&[greeting(), ready(), hello].concat()).expect("a broker that reads");
        return assert!(hangs_up(stream), "the session of another process");
    }
    Place::new().survives(|place| {
        let mut mine = session(place, 7);
        let status = child(place, "another_process_cannot_take_over_a_session").status();
        assert!(status.expect("a child").success());
        mine.write_all(&message(&[&header(7, 1, [0; 5])])).expect("a broker that reads");
        assert!(mine.read(&mut [0; 64]).expect("an answer") > 0, "the session is not its owner's any more");
    });
}

/// A putter killed in a message of 50 MiB: the message is wholly there or not at all, and so is the next one.
#[test]
fn a_putter_is_killed_in_a_long_message() {
    const LEN: usize = 50 << 20;
    if let Some(directory) = std::env::var_os(CHILD) {
        let queue = ZmqTransport::in_directory(directory).open(&name("long")).expect("the queue is there");
        let long = vec![6; LEN];
        loop {
            queue.put(&[&long], Wait::Forever).expect("a put");
        }
    }
    let place = Place::new();
    let _watchdog = Watchdog::start("a long message", LIMIT);
    let queue = place.zmq.create(&name("long"), &QueueOptions::new().capacity(2)).expect("a free name");
    for round in 0..8_u64 {
        let mut child = child(&place, "a_putter_is_killed_in_a_long_message").spawn().expect("a child");
        let mut message = Vec::new();
        queue.get(&mut message, Wait::Forever).expect("a message");
        // Wherever it is by now.
        std::thread::sleep(Duration::from_millis(round * 3));
        child.kill().expect("a child that lives");
        child.wait().expect("a child");
        assert_eq!(message.len(), LEN);
        while queue.get(&mut message, Wait::No).is_ok() {
            assert!(message.len() == LEN && message.iter().all(|&byte| byte == 6));
        }
        let stat = queue.stat().expect("a queue that works");
        assert_eq!((stat.len, stat.puts), (0, stat.gets));
    }
    while queue.stat().expect("a queue that works").bytes > 0 {
        std::thread::yield_now();
    }
}

fn child(place: &Place, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--test-threads=1"]).env(CHILD, place.directory.path());
    command.stdout(std::process::Stdio::null());
    command
}
