//! One connection of a broker: what was read of it and not understood yet, and what it has not taken yet.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::ops::Range;

use nix::sys::epoll::EpollFlags;

use crate::broker::{Body, ProcessId, Slot};
use crate::frames::{self, COMMAND, Front, MORE};
use crate::handshake::{self, GREETING_LEN, Ready};
use crate::stream::Stream;
use crate::wire::{FRAMES_MAX, Header, NoHeader, REQUEST_MAX, Request};

/// A peer that has this much to read is not listened to.
const OUT_MAX: usize = 256 << 10;
/// The room that there is for reading at first, and at least.
const READ: usize = 4 << 10;
/// The room that there is at most: a request, and the beginning of the next.
const READ_MAX: usize = REQUEST_MAX + (256 << 10);
/// What is as long as this is sent from where it is, and not copied before.
const AT_ONCE: usize = 16 << 10;
/// An output buffer larger than this is given back when it is empty.
const KEEP: usize = 2 << 20;
/// A buffer larger than this is given back when it has not been used for a while.
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
    pub(crate) stream: Stream,
    pub(crate) process: ProcessId,
    pub(crate) stage: Stage,
    /// When it was accepted, and later when it last took all or some of what waited for it.
    pub(crate) progress: u64,
    /// Whether the last attempt to send left something.
    blocked: bool,
    /// Whether sending has failed: nothing is sent any more, whatever the kernel would say the next time.
    failed: bool,
    /// Whether it ended the connection without having read all that was sent to it.
    reset: bool,
    /// Whether it is in the list of those to be looked after.
    pub(crate) attended: bool,
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
    /// Where the content of the first and of the last frame of it is.
    contents: [Range<usize>; FRAMES_MAX],
    output: Vec<u8>,
    sent: usize,
}

/// What a peer's input holds next.
#[derive(Debug)]
pub(crate) enum Next {
    /// A request, and where in the input its content is.
    Request {
        request: Request,
        content: Range<usize>,
    },
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
    pub(crate) fn new(stream: Stream, process: ProcessId, now: u64) -> Self {
        let mut output = handshake::greeting().to_vec();
        output.extend_from_slice(&handshake::ready("ROUTER"));
        Self {
            stream,
            process,
            stage: Stage::Greeting,
            progress: now,
            blocked: false,
            failed: false,
            reset: false,
            attended: false,
            interest: 0,
            input: Vec::new(),
            read: 0,
            used: false,
            start: 0,
            seen: 0,
            frames: 0,
            contents: [0..0, 0..0],
            output,
            sent: 0,
        }
    }

    /// Whether it has to take some of what waits for it before it is listened to.
    pub(crate) const fn is_behind(&self) -> bool {
        self.output.len() - self.sent > OUT_MAX
    }

    /// Whether the kernel reports what it says.
    pub(crate) const fn is_listened_to(&self) -> bool {
        self.interest & EpollFlags::EPOLLIN.bits() != 0
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
            Err(error) => {
                self.reset |= is_reset(&error);
                Got::End
            }
        }
    }

    /// Whether it has read all that was sent to it; `false` where that cannot be known.
    pub(crate) fn has_read(&mut self) -> bool {
        // What the kernel still holds says nothing any more once the other end is closed: then it has thrown all away, or
        // is about to. Should that happen in between, it says that something was unread before it throws that away.
        if self.has_output() || !(self.stream.is_closed_there() || self.stream.is_all_read()) {
            return false;
        }
        self.reset |= self.stream.is_in_error();
        !self.reset
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

    /// Gives back what an idle peer does not need; returns how much that was. To be called now and then.
    pub(crate) fn shrink(&mut self) -> usize {
        let before = self.buffers();
        if !std::mem::take(&mut self.used) {
            if self.start == self.read && self.input.len() > KEEP_IDLE {
                self.input = Vec::new();
                (self.start, self.read) = (0, 0);
            }
            if !self.has_output() && self.output.capacity() > KEEP_IDLE {
                self.output = Vec::new();
                self.sent = 0;
            }
        }
        before - self.buffers()
    }

    /// How many bytes its buffers have.
    pub(crate) const fn buffers(&self) -> usize {
        self.input.capacity() + self.output.capacity()
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
                Front::Frame { flags, start, end } => {
                    let Some(place) = self.contents.get_mut(self.frames) else {
                        return Next::Violation("a request has too many frames");
                    };
                    *place = self.seen + start..self.seen + end;
                    self.seen += end;
                    self.frames += 1;
                    if self.seen > REQUEST_MAX {
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
        let [header, content] = std::mem::take(&mut self.contents);
        let next = match Header::parse(message.get(header).unwrap_or_default()) {
            Ok(header) => match Request::of(&header) {
                Some(request) => {
                    let content = self.start + content.start..self.start + content.end;
                    Next::Request { request, content }
                }
                None => Next::Violation("there is no such operation"),
            },
            Err(NoHeader::Version(_)) => Next::Violation("it speaks another version of the protocol"),
            Err(NoHeader::Magic | NoHeader::Length) => Next::Violation("a message has no header"),
        };
        self.start += self.seen;
        (self.seen, self.frames) = (0, 0);
        next
    }

    /// What was read, which a request refers to. To be given back by [`return_input`](Self::return_input).
    pub(crate) fn lend_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    pub(crate) fn return_input(&mut self, input: Vec<u8>) {
        self.input = input;
    }

    /// Adds a reply to what waits to be sent. What is long goes out at once, as far as it can.
    pub(crate) fn reply(&mut self, header: Header, body: &Body<'_>) {
        let contents = if let Body::Contents(contents) = body { *contents } else { &[] };
        let was_idle = !self.has_output();
        frames::push(&mut self.output, if contents.is_empty() { 0 } else { MORE }, &header.to_bytes());
        for (left, content) in (0..contents.len()).rev().zip(contents) {
            frames::push_head(&mut self.output, if left == 0 { 0 } else { MORE }, content.len());
            let sent = if was_idle && content.len() >= AT_ONCE { self.send_with(content) } else { 0 };
            self.output.extend_from_slice(content.get(sent..).unwrap_or_default());
        }
    }

    /// Sends what waits and `content` behind it without copying it; returns how much of `content` was taken.
    fn send_with(&mut self, content: &[u8]) -> usize {
        let waiting = self.output.get(self.sent..).unwrap_or_default();
        let pieces = [IoSlice::new(waiting), IoSlice::new(content)];
        // What goes wrong here goes wrong again when the rest is sent.
        let sent = (&self.stream).write_vectored(&pieces).inspect_err(|error| self.reset |= is_reset(error));
        let sent = sent.unwrap_or(0);
        let of_content = sent.saturating_sub(waiting.len());
        self.sent += sent - of_content;
        of_content
    }

    /// Sends as much as the peer takes. Once it has failed, it fails.
    pub(crate) fn flush(&mut self, now: u64) -> io::Result<()> {
        if self.failed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let sent = self.send(now);
        self.failed = sent.is_err();
        // The kernel says this once.
        sent.inspect_err(|error| self.reset |= is_reset(error))
    }

    fn send(&mut self, now: u64) -> io::Result<()> {
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

/// Whether an error says that the other end was closed with something unread.
fn is_reset(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionReset
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A socket tells an error once, whoever asks it: a write that fails must not take it from who asks what was read.
    #[test]
    fn what_a_write_is_told_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let there = TcpStream::connect(listener.local_addr().expect("a port")).expect("it listens");
        let (here, _) = listener.accept().expect("a connection");
        let mut peer = Peer::new(Stream::Tcp(here), 1, 0);
        peer.flush(0).expect("room");
        there.peek(&mut [0]).expect("a greeting");
        drop(there);
        while peer.flush(0).is_ok() {
            peer.reply(Header::default(), &Body::Nothing);
        }
        assert!(peer.reset && !peer.has_read());
    }
}
