//! A reference: kernel pipes between processes with nothing around them but one system call for each message.
//!
//! They are in packet mode (`O_DIRECT`), where a read gets what one write has put, so that any number of processes can
//! write and read. A process has the pipe it reads from as its stdin, and the one it writes to as its stdout.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read, write};

use super::job::{How, Job, Report, Spin, get_each, ping, pong, put_each};

/// The lengths of messages that are one packet.
pub(super) const SIZES: RangeInclusive<usize> = 1..=4096;

/// How large the pipes are made, in bytes: the most that every user is allowed by default.
const ROOM: i32 = 1 << 20;

/// Both ends of a pipe.
pub(super) struct PacketPipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl PacketPipe {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_DIRECT | OFlag::O_CLOEXEC)?;
        // Where this user has too many pipes, it stays as large as it is.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(ROOM));
        Ok(Self { reader, writer })
    }

    /// stdin and stdout of a process that reads from `from` and writes to `to`.
    pub(super) fn streams(from: &Self, to: &Self) -> io::Result<[Stdio; 2]> {
        Ok([from.reader.try_clone()?.into(), to.writer.try_clone()?.into()])
    }
}

/// Does `job` between stdin and stdout.
pub(super) fn run(puts: bool, number: u32, job: Job) -> Result<Report, String> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let busy = job.how.is_busy();
    set_blocking(&stdin, !busy).map_err(|errno| errno.to_string())?;
    let put = |message: &[u8]| send(&stdout, message);
    let get = |message: &mut Vec<u8>| receive(&stdin, message, job.size);
    match (job.how, puts) {
        (How::RoundTrip(_), true) => ping(number, job, put, get),
        (How::RoundTrip(_), false) => pong(job, put, get),
        (_, true) => put_each(number, job, put),
        (_, false) => get_each(job, get),
    }
}

/// Whether reading of `from` waits for something to be there.
pub(super) fn set_blocking(from: impl AsFd, blocking: bool) -> Result<(), Errno> {
    let mut flags = OFlag::from_bits_retain(fcntl(&from, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, !blocking);
    fcntl(&from, FcntlArg::F_SETFL(flags)).map(drop)
}

fn send(pipe: impl AsFd, message: &[u8]) -> Result<(), String> {
    loop {
        match write(&pipe, message) {
            Err(Errno::EINTR) => {}
            Ok(count) if count == message.len() => return Ok(()),
            Ok(_) => return Err("a message was written in part".to_owned()),
            Err(errno) => return Err(errno.to_string()),
        }
    }
}

fn receive(pipe: impl AsFd, message: &mut Vec<u8>, size: usize) -> Result<(), String> {
    message.resize(size, 0);
    let mut spin = Spin::default();
    loop {
        match read(&pipe, message) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => spin.turn(),
            Ok(0) => return Err("the processes on the other side have ended".to_owned()),
            Ok(count) => {
                message.truncate(count);
                return Ok(());
            }
            Err(errno) => return Err(errno.to_string()),
        }
    }
}
