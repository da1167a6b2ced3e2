//! A connection, from this machine or from elsewhere.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::unread;

#[derive(Debug)]
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(true),
            Self::Tcp(stream) => stream.set_nonblocking(true),
        }
    }

    pub(crate) fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }

    /// Whether what was written has been read, or thrown away because the peer has ended the connection; `false` where that
    /// cannot be known.
    pub(crate) fn is_all_read(&self) -> bool {
        matches!(self, Self::Unix(stream) if unread::bytes(stream) == Some(0))
    }

    /// Whether the other end of a connection on this machine has been closed by all who had it.
    pub(crate) fn is_closed_there(&self) -> bool {
        let Self::Unix(stream) = self else { return false };
        let mut asked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
        let told = poll(&mut asked, PollTimeout::ZERO).is_ok();
        told && asked[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
    }

    /// Whether an error is to be told, which the peer has made; says so once.
    pub(crate) fn is_in_error(&self) -> bool {
        let error = match self {
            Self::Unix(stream) => stream.take_error(),
            Self::Tcp(stream) => stream.take_error(),
        };
        !matches!(error, Ok(None))
    }

    /// What the peer sends from here on does not reach it any more.
    pub(crate) fn shut_input(&self) {
        self.shut(Shutdown::Read);
    }

    /// Tells the peer that nothing more comes, whoever else has this end. What has come and is not read stays unread.
    pub(crate) fn shut_output(&self) {
        self.shut(Shutdown::Write);
    }

    fn shut(&self, how: Shutdown) {
        // One that is lost has none.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

impl Read for &Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).read(bytes),
            Stream::Tcp(stream) => (&*stream).read(bytes),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).write(bytes),
            Stream::Tcp(stream) => (&*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// Where a broker accepts connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(listener) => listener.set_nonblocking(true),
            Self::Tcp(listener) => listener.set_nonblocking(true),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // It only makes answers late.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
        }
    }

    /// The port, of one that is reached from elsewhere; 0 otherwise.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Unix(_) => 0,
            Self::Tcp(listener) => listener.local_addr().map_or(0, |address| address.port()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that inherited the other end keeps it open, and so what was not read.
    #[test]
    fn an_end_is_closed_when_nobody_has_it() {
        let (here, there) = UnixStream::pair().expect("two ends");
        let here = Stream::Unix(here);
        let inherited = there.try_clone().expect("a second descriptor");
        (&here).write_all(b"some").expect("room");
        drop(there);
        assert!(!here.is_closed_there() && !here.is_all_read());
        drop(inherited);
        assert!(here.is_closed_there() && here.is_in_error());
    }
}
