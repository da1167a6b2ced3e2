//! Where a broker listens: a socket in the queue directory, reached through the descriptor of its file, so that paths
//! of any length work and a later socket of the same name is never taken for it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use ipcq_core::os::directory::{FileId, QueueDirectory, above_stdio};
use ipcq_core::os::failure::Failure;
use ipcq_core::os::machine;
use nix::fcntl::AtFlags;
use nix::sys::socket::sockopt::{PeerCredentials, SendTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, setsockopt,
    socket,
};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use crate::process;
use crate::stream::Stream;
use crate::tcp;

/// How long a connection may take to be made, and a broker to answer, on a machine that has much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take at least, where there is hardly any time left.
const SHORTEST: Duration = Duration::from_millis(10);

/// Where a broker listens: the file of its socket, or an address on the network. One that has both is reached by the
/// latter, and known and passed to children by the former.
#[derive(Debug)]
pub(crate) struct Address {
    file: Option<(OwnedFd, FileId)>,
    tcp: Option<SocketAddr>,
}

impl Address {
    /// The address that `file`, a descriptor of a socket's file, stands for.
    pub(crate) fn new(file: OwnedFd) -> io::Result<Self> {
        let file = above_stdio(file)?;
        let id = FileId::of(&file)?;
        Ok(Self { file: Some((file, id)), tcp: None })
    }

    /// An address on the network.
    pub(crate) const fn remote(tcp: SocketAddr) -> Self {
        Self { file: None, tcp: Some(tcp) }
    }

    /// The same queue, reached at an address on the network.
    pub(crate) fn over(self, tcp: SocketAddr) -> Self {
        Self { tcp: Some(tcp), ..self }
    }

    pub(crate) fn id(&self) -> Option<FileId> {
        self.file.as_ref().map(|(_, id)| *id)
    }

    pub(crate) const fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }

    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|(file, _)| file.as_fd())
    }

    /// A short path that leads to the socket as long as this value lives.
    fn path(&self) -> String {
        self.file.as_ref().map_or_else(String::new, |(file, _)| format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// Connects, which may take as long as `patience` says; `None` when nobody listens, or the one who did is
    /// dead and only a child of its has the socket.
    pub(crate) fn connect(&self, patience: Duration) -> io::Result<Option<Listened>> {
        if let Some(address) = &self.tcp {
            let stream = tcp::connect(address, patience)?;
            return Ok(stream.map(|stream| Listened { stream: Stream::Tcp(stream), host: None }));
        }
        let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // It waits while more want to be accepted than the kernel lets.
        let patience = patience.clamp(SHORTEST, PATIENCE).as_micros().try_into().unwrap_or(i64::MAX);
        setsockopt(&stream, SendTimeout, &TimeVal::microseconds(patience))?;
        match connect(stream.as_raw_fd(), &UnixAddr::new(self.path().as_str())?) {
            Ok(()) => {}
            Err(nix::errno::Errno::ECONNREFUSED) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let pid = getsockopt(&stream, PeerCredentials)?.pid();
        let stream = Stream::Unix(UnixStream::from(stream));
        Ok(process::handle_of(pid)?.map(|process| Listened { stream, host: Some(Host { pid, process }) }))
    }
}

/// A connection to whoever listens.
#[derive(Debug)]
pub(crate) struct Listened {
    pub(crate) stream: Stream,
    pub(crate) host: Option<Host>,
}

/// A process on this machine that hosts a queue.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) pid: i32,
    /// Readable once it is dead.
    pub(crate) process: OwnedFd,
}

/// A socket that listens and has no lasting name yet.
#[derive(Debug)]
pub(crate) struct NewSocket<'a> {
    directory: &'a QueueDirectory,
    name: String,
}

/// What the names of sockets that are being made begin with: no queue's name does.
pub(crate) const TEMPORARY: &str = ".new-";

impl<'a> NewSocket<'a> {
    /// A socket in `directory` that listens, with the permission bits `mode`.
    pub(crate) fn listen(
        directory: &'a QueueDirectory,
        mode: u32,
    ) -> Result<(Self, UnixListener, Address), Failure> {
        let failed = |error: io::Error| Failure::new("no socket could be made for it", error);
        let number = machine::random_u128().map_err(failed)?;
        let kind = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Unix, SockType::Stream, kind, None);
        let listener = above_stdio(listener.map_err(|errno| failed(errno.into()))?).map_err(failed)?;
        let new = Self { directory, name: format!("{TEMPORARY}{number:032x}") };
        let path = format!("/proc/self/fd/{}/{}", directory.as_fd().as_raw_fd(), new.name);
        let bound = UnixAddr::new(path.as_str()).and_then(|path| bind(listener.as_raw_fd(), &path));
        bound.map_err(|errno| failed(errno.into()))?;
        let mode = Mode::from_bits_truncate(mode);
        fchmodat(directory, new.name.as_str(), mode, FchmodatFlags::FollowSymlink)
            .and_then(|()| listen(&listener, Backlog::new(tcp::BACKLOG)?))
            .map_err(|errno| failed(errno.into()))?;
        let address = Address::new(directory.find(&new.name)?.into_descriptor()).map_err(failed)?;
        Ok((new, UnixListener::from(listener), address))
    }

    /// Gives it its name, at one instant.
    pub(crate) fn publish(&self, name: &str) -> Result<(), Failure> {
        linkat(self.directory, self.name.as_str(), self.directory, name, AtFlags::empty())
            .map_err(|errno| Failure::new(format!("its socket {name} could not be published"), errno.into()))
    }
}

impl Drop for NewSocket<'_> {
    fn drop(&mut self) {
        // What stays is found by the collector of garbage.
        let _ = unlinkat(self.directory, self.name.as_str(), UnlinkatFlags::NoRemoveDir);
    }
}
