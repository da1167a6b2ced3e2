//! `put`: messages from the command line or from stdin into a queue.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use ipcq_core::{Batch, Channel, PutFault, QueueOptions, Wait};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::args::{PutArgs, WaitArgs};
use crate::backend::{Backends, label};
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;
use crate::input::{InputError, Messages};
use crate::progress::Progress;
use crate::tally::{Tally, hold_interrupts, messages};
use crate::waiting::at_most;

/// The codec of queues that take any bytes.
const BYTES: &str = "bytes";
/// How long a batch waits for room before one message waits by itself: shorter than somebody who ends the command waits
/// to hear how much went in.
const BATCH_WAIT: Duration = Duration::from_millis(100);
/// How long a wait for room is not worth a word.
const SHORT_WAIT: Duration = Duration::from_secs(1);

pub(super) fn run(backends: &Backends, args: &PutArgs, diagnostics: &Diagnostics) -> Result<(), Failure> {
    if args.create {
        // A process that keeps the queue from now on shall not hold signals back.
        backends.open_or_create(&args.queue, &QueueOptions::new().codec(BYTES))?;
    }
    // Before a backend starts threads, which would be ended by them.
    let interrupts = hold_interrupts()?;
    let channel = open(backends, args)?;
    if channel.identity().auto_close {
        // From now on, and not only from the first message, which may be long in coming.
        channel.register_producer()?;
    }
    let mut putter = Putter::new(&*channel, args.wait, *diagnostics);
    putter.tally.tell_when_interrupted(interrupts, putter.queue.clone(), *diagnostics, &putter.progress);
    if args.messages.is_empty() {
        putter.put_stdin(args)?;
    } else {
        let mut batch = Batch::new();
        args.messages.iter().map(|message| OsStr::as_bytes(message)).for_each(|message| batch.push(message));
        putter.put(&batch).map_err(|failure| putter.explained(failure))?;
    }
    diagnostics.detail(&format!("put {} into queue {}", messages(putter.tally.done()), putter.queue));
    if args.close {
        channel.close()?;
        diagnostics.detail(&format!("closed queue {}", putter.queue));
    }
    Ok(())
}

fn open(backends: &Backends, args: &PutArgs) -> Result<std::sync::Arc<dyn Channel>, Failure> {
    let channel = backends.open(&args.queue)?;
    let codec = &channel.identity().codec;
    if codec != BYTES && !args.as_is {
        return Err(Failure::failed(format!(
            "queue {} holds messages of codec {codec}, and these would be plain bytes; \
             put them all the same with --as-is",
            label(&*channel)
        )));
    }
    Ok(channel)
}

/// Puts messages into a queue and counts them.
struct Putter<'a> {
    channel: &'a dyn Channel,
    queue: String,
    wait: WaitArgs,
    tally: Tally,
    diagnostics: Diagnostics,
    /// Whether a long wait is still to be explained.
    explain: bool,
    /// Whether stdin is being put, of which nobody knows how long it takes.
    is_stream: bool,
    progress: Progress,
}

impl<'a> Putter<'a> {
    fn new(channel: &'a dyn Channel, wait: WaitArgs, diagnostics: Diagnostics) -> Self {
        let explain = diagnostics.has_audience();
        let progress = Progress::of_messages(&diagnostics);
        Self {
            channel,
            queue: label(channel),
            wait,
            tally: Tally::default(),
            diagnostics,
            explain,
            is_stream: false,
            progress,
        }
    }

    /// Puts the messages of stdin as they come.
    fn put_stdin(&mut self, args: &PutArgs) -> Result<(), Failure> {
        // Who types the lines sees them, and would be disturbed.
        self.is_stream = !io::stdin().is_terminal();
        let stdin = Stdin::new().map_err(|error| Failure::system("stdin could not be read", &error))?;
        let limit = self.channel.identity().max_message;
        let mut input = Messages::new(stdin, args.framing.into(), limit);
        let mut batch = Batch::new();
        loop {
            match input.next_batch(&mut batch) {
                Ok(()) if batch.is_empty() => return Ok(()),
                Ok(()) => self.put(&batch).map_err(|failure| self.explained(failure))?,
                Err(error) => return Err(self.explained(self.input_failure(&error))),
            }
        }
    }

    /// Puts all of `batch`, waiting as long for each message as the user allows.
    fn put(&mut self, batch: &Batch) -> Result<(), Failure> {
        let mut from = 0;
        while from < batch.len() {
            let (count, end) = self.put_now(batch, from);
            from += count;
            match end {
                Ok(()) => {}
                // There was some room, and so there may be more.
                Err(PutFault::Timeout) if count > 0 => {}
                Err(PutFault::Full | PutFault::Busy | PutFault::Timeout) if !self.wait.no_wait => {
                    // One message waits by itself, so that each has all of its time.
                    let message = batch.get(from).unwrap_or_default();
                    self.put_waiting(message).map_err(|fault| Failure::put(&self.queue, &fault))?;
                    from += 1;
                }
                Err(fault) => return Err(Failure::put(&self.queue, &fault)),
            }
        }
        Ok(())
    }

    /// Puts what there is room for, or will be in a moment where messages may wait as long as they like.
    fn put_now(&mut self, batch: &Batch, from: usize) -> (usize, Result<(), PutFault>) {
        let tally = self.tally.clone();
        let _call = tally.begin();
        let patient = !self.wait.no_wait && self.wait.timeout.is_none();
        let wait = if patient { Wait::timeout(BATCH_WAIT) } else { Wait::No };
        let (count, end) = self.channel.put_many(batch, from, wait);
        self.tally.add(count);
        self.show(count);
        (count, end)
    }

    fn put_waiting(&mut self, message: &[u8]) -> Result<(), PutFault> {
        let tally = self.tally.clone();
        let _call = tally.begin();
        let wait = self.wait.timeout.map_or(Wait::Forever, Wait::timeout);
        let first = if self.explain { at_most(wait, SHORT_WAIT) } else { wait };
        let put = match self.channel.put(&[message], first) {
            Err(PutFault::Timeout) if first != wait => {
                self.explain = false;
                let note = format!("queue {} is full; waiting for room", self.queue);
                self.progress.with_line(|| self.diagnostics.note(&note));
                self.channel.put(&[message], wait)
            }
            done => done,
        };
        if put.is_ok() {
            self.tally.add(1);
            self.show(1);
        }
        put
    }

    fn show(&mut self, messages: usize) {
        if self.is_stream {
            self.progress.advance(messages);
        }
    }

    /// `failure`, with what went in before it: those messages stay in the queue.
    fn explained(&self, failure: Failure) -> Failure {
        match self.tally.done() {
            0 => failure,
            done => failure.after(&format!("put {}, then stopped", messages(done))),
        }
    }

    fn input_failure(&self, error: &InputError) -> Failure {
        let max = self.channel.identity().max_message;
        let queue = &self.queue;
        Failure::failed(match error {
            InputError::TooLong { .. } => format!(
                "{error}, and queue {queue} takes {max} at most; make the queue with a larger --max-message"
            ),
            InputError::CutShort { .. } => format!("{error}; nothing of it went into queue {queue}"),
            InputError::NoMemory => {
                format!("{error}; nothing of it went into queue {queue}, send shorter ones")
            }
            InputError::Read(_) => format!("{error}; nothing more went into queue {queue}"),
        })
    }
}

/// stdin without a buffer in between: a read returns what is there.
struct Stdin(File);

impl Stdin {
    fn new() -> io::Result<Self> {
        Ok(Self(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                // Whoever shares this stdin has made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut stdin = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
                    let _ = poll(&mut stdin, PollTimeout::NONE);
                }
                read => return read,
            }
        }
    }
}
