//! A queue that is abused, and what its abusers say.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_zmq::{Channel, QueueName, QueueOptions, Transport, Wait, ZmqTransport};
use tempfile::TempDir;

/// More than any test here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// What a broker may come to need for peers that have not earned it.
pub(crate) const BLOAT: u64 = 100 << 20;
/// Set for helper processes: the directory of the queue.
pub(crate) const CHILD: &str = "IPCQ_TEST_ABUSE";

/// The tests look at the memory and the descriptors of their process, and so take turns.
pub(crate) static TURN: Mutex<()> = Mutex::new(());

/// How peers come to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Unix,
    Tcp,
}

pub(crate) struct Place {
    _turn: MutexGuard<'static, ()>,
    pub(crate) directory: TempDir,
    pub(crate) zmq: ZmqTransport,
    door: Door,
    /// Where it listens on TCP.
    port: u16,
}

impl Place {
    pub(crate) fn new(door: Door) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().expect("a directory");
        let zmq = ZmqTransport::in_directory(directory.path()).listening("127.0.0.1:0");
        let queue = zmq.create(&name("q"), &QueueOptions::new().capacity(10)).expect("a fresh name is free");
        let location = queue.stat().expect("a queue that works").location;
        let port = location.rsplit_once(' ').and_then(|(_, port)| port.parse().ok()).expect("a port");
        Self { _turn: turn, directory, zmq, door, port }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("q.zmq")
    }

    pub(crate) fn connect(&self) -> UnixStream {
        let stream = match self.door {
            Door::Unix => UnixStream::connect(self.socket()).expect("the broker listens"),
            Door::Tcp => {
                let stream =
                    TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the broker listens");
                // To read and write, a socket is a socket.
                UnixStream::from(OwnedFd::from(stream))
            }
        };
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        stream
    }

    /// A handle of the queue, which comes in by the same door.
    fn open(&self) -> Arc<dyn Channel> {
        let opened = match self.door {
            Door::Unix => self.zmq.open(&name("q")),
            Door::Tcp => ZmqTransport::open_remote(&format!("zmq+tcp://127.0.0.1:{}", self.port)),
        };
        opened.expect("the queue is there")
    }

    /// What a HELLO says of its sender, behind the token.
    pub(crate) const fn party(&self) -> &'static [u8] {
        match self.door {
            Door::Unix => &[],
            Door::Tcp => &[77; 16],
        }
    }

    /// Runs `abuse` while another client puts and gets, which must go on without an error, and checks what is left.
    pub(crate) fn survives(&self, abuse: impl FnOnce(&Self)) {
        let _watchdog = Watchdog::start("abuse", LIMIT);
        let (before, over, rounds) = (memory(), AtomicBool::new(false), AtomicU64::new(0));
        let work = || {
            let queue = self.open();
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

pub(crate) fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("a legal name")
}

/// The most memory that this process has had, in bytes.
pub(crate) fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the state of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
}

pub(crate) fn greeting() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

pub(crate) fn ready() -> Vec<u8> {
    let mut bytes = vec![4, 28];
    bytes.extend_from_slice(b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER");
    bytes
}

pub(crate) fn header(op: u8, id: u64, fields: [u64; 5]) -> Vec<u8> {
    let mut bytes = b"IPCQ\x03".to_vec();
    bytes.extend_from_slice(&[op, 0, 0]);
    bytes.extend_from_slice(&id.to_be_bytes());
    fields.iter().for_each(|field| bytes.extend_from_slice(&field.to_be_bytes()));
    bytes
}

/// A message of these frames.
pub(crate) fn message(frames: &[&[u8]]) -> Vec<u8> {
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
pub(crate) fn session(place: &Place, token: u8) -> UnixStream {
    session_on(place.connect(), &[&[token; 16], place.party()].concat())
}

/// `stream` with an open session, after a HELLO with this content.
pub(crate) fn session_on(mut stream: UnixStream, content: &[u8]) -> UnixStream {
    let hello = message(&[&header(1, 0, [0; 5]), content]);
    stream.write_all(&[greeting(), ready(), hello].concat()).expect("a broker that reads");
    let mut seen = Vec::new();
    let mut piece = [0; 256];
    while !seen.windows(6).any(|bytes| bytes == b"IPCQ\x03\x64") {
        let len = stream.read(&mut piece).expect("a WELCOME");
        assert!(len > 0, "the broker hung up");
        seen.extend_from_slice(&piece[..len]);
    }
    stream
}

/// Whether the broker ends the connection.
pub(crate) fn hangs_up(mut stream: UnixStream) -> bool {
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
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}
