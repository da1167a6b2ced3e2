//! One connection of a broker: what was read of it and not understood yet, and what it has not taken yet.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use crate::broker::{Body, ProcessId, Slot};
use crate::frames::{self, COMMAND, Front, MORE};
use crate::handshake::{self, GREETING_LEN, Ready};
use crate::wire::{FRAMES_MAX, Header, NoHeader, REQUEST_MAX, Request};

/// A peer that has this much to read is not listened to.
const OUT_MAX: usize = 256 << 10;
/// The room that there is for reading at first, and at least.
const READ: usize = 4 << 10;
/// The room that there is at most: a request, and the beginning of the next.
const READ_MAX: usize = REQUEST_MAX + (256 << 10);
/// An output buffer larger than this is given back when it is empty.
const KEEP: usize = 2 << 20;
/// An input buffer larger than this is given back when it has not been used for a while.
const KEEP_IDLE: usize = 64 << 10;

/// How far a peer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Greeting,
    Ready,
    /// The ZMTP handshake is done, and no session is open.
    Connected,
    Open(Slot),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: UnixStream,
    pub(crate) process: ProcessId,
    pub(crate) stage: Stage,
    /// When it was accepted, and later when it last took all or some of what waited for it.
    pub(crate) progress: u64,
    /// Whether the last attempt to send left something.
    blocked: bool,
    /// What the kernel was asked to report.
    pub(crate) interest: i32,
    /// Bytes beyond those that were read are there to be overwritten: clearing them each time would cost more than
    /// reading.
    input: Vec<u8>,
    read: usize,
    used: bool,
    /// Where in `input` the message begins that is not complete yet, and how much of it has been looked at.
    start: usize,
    seen: usize,
    frames: usize,
    output: Vec<u8>,
    sent: usize,
}

/// What a peer's input holds next.
#[derive(Debug)]
pub(crate) enum Next {
    Request { request: Request, frames: Vec<u8> },
    Nothing,
    Violation(&'static str),
}

/// What became of reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Bytes,
    Nothing,
    End,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream, process: ProcessId, now: u64) -> Self {
        let mut output = handshake::greeting().to_vec();
        output.extend_from_slice(&handshake::ready("ROUTER"));
        Self {
            stream,
            process,
            stage: Stage::Greeting,
            progress: now,
            blocked: false,
            interest: 0,
            input: Vec::new(),
            read: 0,
            used: false,
            start: 0,
            seen: 0,
            frames: 0,
            output,
            sent: 0,
        }
    }

    /// Whether it has to take some of what waits for it before it is listened to.
    pub(crate) const fn is_behind(&self) -> bool {
        self.output.len() - self.sent > OUT_MAX
    }

    /// Whether something waits to be sent.
    pub(crate) const fn has_output(&self) -> bool {
        self.sent < self.output.len()
    }

    /// Reads what there is, as far as there is room.
    pub(crate) fn read(&mut self) -> Got {
        self.used = true;
        if !self.make_room() {
            return Got::End;
        }
        let got = loop {
            match (&self.stream).read(self.input.get_mut(self.read..).unwrap_or_default()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        match got {
            Ok(0) => Got::End,
            Ok(len) => {
                self.read += len;
                Got::Bytes
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Got::Nothing,
            Err(_) => Got::End,
        }
    }

    /// Sees to it that there is room to read into.
    fn make_room(&mut self) -> bool {
        if self.start == self.read {
            (self.start, self.read) = (0, 0);
        }
        if self.read < self.input.len() {
            return true;
        }
        if self.start > 0 {
            self.input.copy_within(self.start..self.read, 0);
            self.read -= self.start;
            self.start = 0;
        }
        let len = (2 * self.input.len()).clamp(READ, READ_MAX);
        if self.read < len && self.input.try_reserve_exact(len - self.input.len()).is_ok() {
            self.input.resize(len, 0);
        }
        self.read < self.input.len()
    }

    /// Gives back what an idle peer does not need. To be called now and then.
    pub(crate) fn shrink(&mut self) {
        if !std::mem::take(&mut self.used) && self.start == self.read && self.input.len() > KEEP_IDLE {
            self.input = Vec::new();
            (self.start, self.read) = (0, 0);
        }
    }

    /// The next request that is complete.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            let rest = self.input.get(self.start..self.read).unwrap_or_default();
            match self.stage {
                Stage::Greeting if !handshake::may_be_greeting(rest) => {
                    return Next::Violation("it does not speak ZMTP 3 with the NULL mechanism");
                }
                Stage::Greeting if rest.len() < GREETING_LEN => return Next::Nothing,
                Stage::Greeting => {
                    self.start += GREETING_LEN;
                    self.stage = Stage::Ready;
                }
                Stage::Ready => match handshake::read_ready(rest) {
                    Ready::Partial => return Next::Nothing,
                    Ready::Type { end, socket_type } if socket_type == b"DEALER" => {
                        self.start += end;
                        self.stage = Stage::Connected;
                    }
                    _ => return Next::Violation("its socket is no DEALER"),
                },
                Stage::Connected | Stage::Open(_) => return self.next_request(),
            }
        }
    }

    fn next_request(&mut self) -> Next {
        loop {
            let message = self.input.get(self.start..self.read).unwrap_or_default();
            match frames::front(message.get(self.seen..).unwrap_or_default()) {
                Front::Illegal => return Next::Violation("a frame is too long, or none"),
                Front::Partial { end } => {
                    let claimed = self.seen.saturating_add(end.unwrap_or(0));
                    if claimed > REQUEST_MAX {
                        return Next::Violation("a request is too long");
                    }
                    return Next::Nothing;
                }
                Front::Frame { flags, end, .. } if flags & COMMAND != 0 => {
                    if self.seen > 0 {
                        return Next::Violation("a command is inside a message");
                    }
                    // ZMTP 3.1 knows some that may be left alone.
                    self.start += end;
                }
                Front::Frame { flags, end, .. } => {
                    self.seen += end;
                    self.frames += 1;
                    if self.seen > REQUEST_MAX || self.frames > FRAMES_MAX {
                        return Next::Violation("a request is too long");
                    }
                    if flags & MORE == 0 {
                        return self.complete();
                    }
                }
            }
        }
    }

    fn complete(&mut self) -> Next {
        let message = self.input.get(self.start..self.start + self.seen).unwrap_or_default();
        let Some((header, rest)) = frames::split_first(message) else { return Next::Nothing };
        let next = match Header::parse(header) {
            Ok(header) => match Request::of(&header) {
                Some(request) => Next::Request { request, frames: rest.to_vec() },
                None => Next::Violation("there is no such operation"),
            },
            Err(NoHeader::Version(_)) => Next::Violation("it speaks another version of the protocol"),
            Err(NoHeader::Magic | NoHeader::Length) => Next::Violation("a message has no header"),
        };
        self.start += self.seen;
        (self.seen, self.frames) = (0, 0);
        next
    }

    /// Adds a reply to what waits to be sent.
    pub(crate) fn reply(&mut self, header: Header, body: &Body<'_>) {
        let is_bare = match body {
            Body::Nothing => true,
            Body::Frames(frames) => frames.is_empty(),
            Body::Contents(contents) => contents.is_empty(),
        };
        frames::push(&mut self.output, if is_bare { 0 } else { MORE }, &header.to_bytes());
        match body {
            Body::Nothing => {}
            Body::Frames(bytes) => {
                let before = self.output.len();
                self.output.extend_from_slice(bytes);
                end_message(&mut self.output, before);
            }
            Body::Contents(contents) => {
                for (left, content) in (0..contents.len()).rev().zip(*contents) {
                    frames::push(&mut self.output, if left == 0 { 0 } else { MORE }, content);
                }
            }
        }
    }

    /// Sends as much as the peer takes.
    pub(crate) fn flush(&mut self, now: u64) -> io::Result<()> {
        if !std::mem::take(&mut self.blocked) {
            self.progress = now;
        }
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match (&self.stream).write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.sent += len;
                    self.progress = now;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.output.clear();
        if self.output.capacity() > KEEP {
            self.output = Vec::new();
        }
        Ok(())
    }
}

/// Takes the flag for more from the last of the frames that begin at `start`.
fn end_message(bytes: &mut [u8], start: usize) {
    let (mut at, mut last) = (start, start);
    while let Front::Frame { end, .. } = frames::front(bytes.get(at..).unwrap_or_default()) {
        last = at;
        at += end;
    }
    if let Some(flags) = bytes.get_mut(last) {
        *flags &= !MORE;
    }
}
