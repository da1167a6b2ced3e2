//! A reference: Unix sockets between processes with nothing around them, directly from one to the other, or by way of
//! a third process that passes on what comes, as a broker does.
//!
//! A process has its socket as its stdin. The third process is the one that measures, where the broker is too.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{read, write};

use super::job::{How, Job, Report, Spin, get_each, pong, put_each, time_each};
use super::raw_pipe::set_blocking;

/// The lengths of messages that go through at once.
pub const SIZES: std::ops::RangeInclusive<usize> = 1..=64 << 10;

/// Whether stdin is a socket.
pub(super) fn is_stdin() -> bool {
    let kind = |mode| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
    fstat(io::stdin()).is_ok_and(|stat| kind(stat.st_mode) == SFlag::S_IFSOCK)
}

/// Does `job` over stdin.
pub(super) fn run(puts: bool, number: u32, job: Job) -> Result<Report, String> {
    let stdin = io::stdin();
    set_blocking(&stdin, !job.how.is_busy()).map_err(|errno| errno.to_string())?;
    let put = |message: &[u8]| send(&stdin, message);
    let get = |message: &mut Vec<u8>| receive(&stdin, message, job.size);
    match (job.how, puts) {
        (How::RoundTrip(_) | How::Call(_), false) => return pong(job, put, get),
        (How::RoundTrip(_) | How::Call(_), true) => {}
        (_, true) => return put_each(number, job, put),
        (_, false) => return get_each(job, get),
    }
    let mut came = Vec::with_capacity(job.size);
    time_each(
        number,
        job,
        || {
            job.how.pause();
            Ok(())
        },
        |message, checker| {
            put(message)?;
            get(&mut came)?;
            if checker.check(&came) { Ok(()) } else { Err("a message arrived changed".to_owned()) }
        },
    )
}

fn send(socket: impl AsFd, mut message: &[u8]) -> Result<(), String> {
    while !message.is_empty() {
        match write(&socket, message) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(count) => message = message.get(count..).unwrap_or_default(),
            Err(errno) => return Err(errno.to_string()),
        }
    }
    Ok(())
}

fn receive(socket: impl AsFd, message: &mut Vec<u8>, size: usize) -> Result<(), String> {
    message.resize(size, 0);
    let (mut spin, mut at) = (Spin::default(), 0);
    while let Some(rest) = message.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match read(&socket, rest) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => spin.turn(),
            Ok(0) => return Err("the process on the other side has ended".to_owned()),
            Ok(count) => at += count,
            Err(errno) => return Err(errno.to_string()),
        }
    }
    Ok(())
}

/// Two sockets that lead to each other, for two processes.
///
/// # Errors
/// When the system has none.
pub fn direct() -> io::Result<[Stdio; 2]> {
    let (one, other) = UnixStream::pair()?;
    Ok([OwnedFd::from(one).into(), OwnedFd::from(other).into()])
}

/// A thread that passes on what comes from either of two processes, until one of them ends.
#[derive(Debug)]
pub struct Relay {
    /// Whether it looks for more without sleeping.
    busy: Arc<AtomicBool>,
}

impl Relay {
    /// A relay, and the sockets for the two processes.
    ///
    /// # Errors
    /// When the system has no socket or no thread.
    pub fn start() -> io::Result<(Self, [Stdio; 2])> {
        let ((one, inner), (other, outer)) = (UnixStream::pair()?, UnixStream::pair()?);
        inner.set_nonblocking(true)?;
        outer.set_nonblocking(true)?;
        let busy = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&busy);
        thread::Builder::new().spawn(move || {
            // It ends with the processes, which say what went wrong.
            let _ = relay(&inner, &outer, &told);
        })?;
        Ok((Self { busy }, [OwnedFd::from(one).into(), OwnedFd::from(other).into()]))
    }

    /// Whether to look for more without sleeping from now on.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }
}

fn relay(one: &UnixStream, other: &UnixStream, busy: &AtomicBool) -> io::Result<()> {
    let (mut buffer, mut spin) = (vec![0; *SIZES.end()], Spin::default());
    loop {
        let passed = pass(one, other, &mut buffer)? | pass(other, one, &mut buffer)?;
        if passed {
        } else if busy.load(Ordering::Relaxed) {
            spin.turn();
        } else {
            let mut both = [one, other].map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            poll(&mut both, PollTimeout::NONE)?;
        }
    }
}

/// Passes on what has come; returns whether something had.
fn pass(mut from: &UnixStream, mut to: &UnixStream, buffer: &mut [u8]) -> io::Result<bool> {
    let mut rest = match from.read(buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => buffer.get(..count).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error),
    };
    while !rest.is_empty() {
        match to.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
