//! A reference: kernel pipes between processes with nothing around them but one system call for each message, or as many
//! as it takes the kernel to move a long one.
//!
//! For messages of up to a page they are in packet mode (`O_DIRECT`), where a read gets what one write has put, so that
//! any number of processes can write and read. Longer messages would be torn by others, and go between two processes
//! only. A process has the pipe it reads from as its stdin, and the one it writes to as its stdout.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read, write};

use super::crew::Shape;
use super::job::{How, Job, Report, Spin, get_each, ping, pong, put_each};

/// The lengths of messages that are one packet.
const PACKETS: RangeInclusive<usize> = 1..=4096;

/// How large the pipes are made, in bytes: the most that every user is allowed by default.
const ROOM: i32 = 1 << 20;

/// How much is read at once where messages are buffered, in bytes.
const BUFFER: usize = 64 << 10;

/// Whether a pipe takes messages of `size` bytes between as many processes as `shape` says.
#[must_use]
pub fn carries(size: usize, shape: Shape) -> bool {
    PACKETS.contains(&size) || size > 0 && shape.producers == 1 && shape.consumers == 1
}

/// Both ends of a pipe.
#[derive(Debug)]
pub struct RawPipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl RawPipe {
    /// A pipe for messages of `size` bytes.
    ///
    /// # Errors
    /// When the system has none.
    pub fn new(size: usize) -> io::Result<Self> {
        Self::of_mode(if PACKETS.contains(&size) { OFlag::O_DIRECT } else { OFlag::empty() })
    }

    /// A pipe for batches of messages, one after the other without bounds.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn buffered() -> io::Result<Self> {
        Self::of_mode(OFlag::empty())
    }

    fn of_mode(mode: OFlag) -> io::Result<Self> {
        let (reader, writer) = pipe2(mode | OFlag::O_CLOEXEC)?;
        // Where this user has too many pipes, it stays as large as it is.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(ROOM));
        Ok(Self { reader, writer })
    }

    /// stdin and stdout of a process that reads from `from` and writes to `to`.
    ///
    /// # Errors
    /// When the process has too many files open.
    pub fn streams(from: &Self, to: &Self) -> io::Result<[Stdio; 2]> {
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
        (How::Batches(batch), true) => {
            let mut writer = Writer { pipe: &stdout, most: batch * job.size, held: Vec::new() };
            let report = put_each(number, job, |message| writer.put(message))?;
            writer.flush().map(|()| report)
        }
        (How::Batches(_), false) => {
            let mut reader = Reader { pipe: &stdin, held: Vec::new(), at: 0 };
            get_each(job, |message| reader.get(message, job.size))
        }
        (_, true) => put_each(number, job, put),
        (_, false) => get_each(job, get),
    }
}

/// Writes messages once there are many.
struct Writer<F> {
    pipe: F,
    most: usize,
    held: Vec<u8>,
}

impl<F: AsFd> Writer<F> {
    fn put(&mut self, message: &[u8]) -> Result<(), String> {
        self.held.extend_from_slice(message);
        if self.held.len() < self.most { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), String> {
        send(&self.pipe, &self.held)?;
        self.held.clear();
        Ok(())
    }
}

/// Reads as much as is there, and gives it out message by message.
struct Reader<F> {
    pipe: F,
    held: Vec<u8>,
    at: usize,
}

impl<F: AsFd> Reader<F> {
    fn get(&mut self, message: &mut Vec<u8>, size: usize) -> Result<(), String> {
        message.clear();
        while message.len() < size {
            if self.at == self.held.len() {
                self.held.resize(BUFFER, 0);
                let count = receive_some(&self.pipe, &mut self.held)?;
                self.held.truncate(count);
                self.at = 0;
            }
            let part = (size - message.len()).min(self.held.len() - self.at);
            message.extend_from_slice(&self.held[self.at..self.at + part]);
            self.at += part;
        }
        Ok(())
    }
}

/// Whether reading of `from` waits for something to be there.
pub(super) fn set_blocking(from: impl AsFd, blocking: bool) -> Result<(), Errno> {
    let mut flags = OFlag::from_bits_retain(fcntl(&from, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, !blocking);
    fcntl(&from, FcntlArg::F_SETFL(flags)).map(drop)
}

fn send(pipe: impl AsFd, mut message: &[u8]) -> Result<(), String> {
    while !message.is_empty() {
        match write(&pipe, message) {
            Err(Errno::EINTR) => {}
            // In packet mode all or nothing is written.
            Ok(count) => message = &message[count..],
            Err(errno) => return Err(errno.to_string()),
        }
    }
    Ok(())
}

fn receive(pipe: impl AsFd, message: &mut Vec<u8>, size: usize) -> Result<(), String> {
    message.resize(size, 0);
    let mut taken = 0;
    while taken < size {
        taken += receive_some(&pipe, &mut message[taken..])?;
    }
    Ok(())
}

/// Reads what there is; returns how much.
fn receive_some(pipe: impl AsFd, into: &mut [u8]) -> Result<usize, String> {
    let mut spin = Spin::default();
    loop {
        match read(&pipe, into) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => spin.turn(),
            Ok(0) => return Err("the processes on the other side have ended".to_owned()),
            Ok(count) => return Ok(count),
            Err(errno) => return Err(errno.to_string()),
        }
    }
}
