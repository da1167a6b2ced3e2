//! Queues that are reached over TCP: where they listen, and how their clients know that nobody does any more.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ipcq_core::os::fork_lock::ForkLock;
use ipcq_core::os::{machine, process};
use nix::sys::socket::{Backlog, listen};

use crate::clock;

/// What an address begins with that names a queue by where its broker listens.
pub(crate) const SCHEME: &str = "zmq+tcp://";
/// How long it may take to connect.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long it may take at least, where there is hardly any time left.
const SHORTEST: Duration = Duration::from_millis(10);
/// How often a call that waits looks whether somebody still listens, in nanoseconds.
const LOOK: u64 = 1_000_000_000;

/// How many may wait to be accepted.
pub(crate) const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: String,
    /// Whether others than this machine may be let in.
    pub(crate) publicly: bool,
}

impl Listen {
    /// A socket that listens there.
    pub(crate) fn bind(&self) -> io::Result<TcpListener> {
        let address = resolve(&self.address)?;
        if !self.publicly && !address.ip().is_loopback() {
            let why = "it is no address of this machine alone; anybody who can reach it could put and get";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let listener = TcpListener::bind(address)?;
        // Those beyond the queue of the standard library, 128, would try again after a second.
        listen(&listener, Backlog::new(BACKLOG)?)?;
        Ok(listener)
    }
}

/// The address that `HOST:PORT` stands for, with or without [`SCHEME`].
pub(crate) fn resolve(address: &str) -> io::Result<SocketAddr> {
    let address = address.strip_prefix(SCHEME).unwrap_or(address);
    let none = || io::Error::new(io::ErrorKind::NotFound, "there is no such host");
    address.to_socket_addrs()?.next().ok_or_else(none)
}

/// Connects to whoever listens, within `patience` and a second; `None` when nobody does.
pub(crate) fn connect(address: &SocketAddr, patience: Duration) -> io::Result<Option<TcpStream>> {
    match TcpStream::connect_timeout(address, patience.clamp(SHORTEST, ATTEMPT)) {
        Ok(stream) => {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(crate::address::PATIENCE))?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks now and then whether somebody listens at an address.
#[derive(Debug)]
pub(crate) struct Probe {
    address: SocketAddr,
    /// When it was looked last, and what was found.
    last: AtomicU64,
    nobody: AtomicBool,
}

impl Probe {
    /// Somebody listened just now.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, last: AtomicU64::new(clock::now()), nobody: AtomicBool::new(false) }
    }

    /// Whether nobody could be reached when it was looked last, a second ago at most.
    pub(crate) fn finds_nobody(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        if clock::now() >= last.saturating_add(LOOK) {
            let nobody = !matches!(connect(&self.address, ATTEMPT), Ok(Some(_)));
            self.nobody.store(nobody, Ordering::Relaxed);
            self.last.store(clock::now(), Ordering::Relaxed);
        }
        self.nobody.load(Ordering::Relaxed)
    }
}

static PARTY: ForkLock<(u64, u128)> = ForkLock::new((0, 0));

/// What tells the sessions of this process from those of others, where the kernel cannot.
pub(crate) fn party() -> io::Result<[u8; 16]> {
    let mut party = PARTY.lock();
    if party.0 != process::epoch() {
        *party = (process::epoch(), machine::random_u128()?);
    }
    Ok(party.1.to_be_bytes())
}
