//! A connection to a broker on this machine: ZMTP frames on a Unix socket that the calling thread writes and reads itself.
//!
//! A call is one system call that sends and, while the broker is busy too, few that look for the answer. The ZeroMQ crate
//! has a task for each direction, a channel between, and an `epoll` before each read. What a broker says is believed
//! no more than what a client says: no frame is longer than the protocol allows, whatever it claims.

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipcq_core::os::process;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

use crate::address::Address;
use crate::connection::{Call, LOOK, NoReply, Reply, StrayReplies};
use crate::frames::{self, COMMAND, Front, MORE};
use crate::handshake::{self, GREETING_LEN, Ready};
use crate::spin::Habit;
use crate::stream::Stream;
use crate::wire::{Header, REQUEST_MAX, Request};

/// The room that there is for reading at least.
const READ: usize = 4 << 10;
/// What is as long as this is sent from where it is, and not copied before.
const AT_ONCE: usize = 16 << 10;
/// How many frames a reply has at most: those of a WELCOME.
const FRAMES_MAX: usize = 5;
/// A buffer larger than this is given back when it is empty.
const KEEP: usize = 2 << 20;

/// How far the handshake has come on the broker's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Ready,
    Done,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    stage: Stage,
    /// What was read and not understood yet, from `start` on.
    input: Vec<u8>,
    start: usize,
    /// What the last reply was read into, to be used again when nobody has that any more.
    lent: Bytes,
    /// What is sent before the content that is sent from where it is.
    output: Vec<u8>,
    /// A part of a request may have been sent, so that nothing else can be.
    is_broken: bool,
    /// The process that connected.
    epoch: u64,
}

/// The sleep of a call that waits, which ends now and then to look whether the call is over.
struct Pause<'a> {
    is_over: &'a dyn Fn(Duration) -> bool,
    start: Instant,
    next: Instant,
}

impl<'a> Pause<'a> {
    fn new(call: &Call<'a>) -> Self {
        let start = Instant::now();
        Self { is_over: call.is_over, start, next: start + LOOK }
    }

    /// Sleeps until the socket is ready, or it is time to look. A signal does not put that off.
    fn until(&mut self, stream: &Stream, flags: PollFlags) -> Result<(), NoReply> {
        let left = self.next.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.next += LOOK;
            return if (self.is_over)(self.start.elapsed()) { Err(NoReply::GivenUp) } else { Ok(()) };
        }
        // Rounded up, so that it does not wake just before.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(stream.as_fd(), flags)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(NoReply::Lost(errno.into())),
        }
    }
}

impl Drop for Link {
    /// Ends the connection, also where a child has inherited it: what was asked for over it and given up must have no effect.
    fn drop(&mut self) {
        if self.epoch == process::epoch() {
            self.stream.shut_output();
        }
    }
}

/// What became of an attempt to read.
enum Progress {
    Some,
    None,
}

impl Link {
    /// Connects, which may take as long as `patience` says. The handshake goes along with the first request.
    pub(crate) fn connect(address: &Address, patience: Duration) -> io::Result<Self> {
        let listened = address.connect(patience)?.ok_or(io::ErrorKind::ConnectionRefused)?;
        listened.stream.set_nonblocking()?;
        let mut output = handshake::greeting().to_vec();
        output.extend_from_slice(&handshake::ready("DEALER"));
        Ok(Self {
            stream: listened.stream,
            stage: Stage::Greeting,
            input: Vec::new(),
            start: 0,
            lent: Bytes::new(),
            output,
            is_broken: false,
            epoch: process::epoch(),
        })
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn call(&mut self, call: &Call<'_>, habit: &mut Habit) -> Result<Reply, NoReply> {
        let mut pause = Pause::new(call);
        if self.is_broken {
            return Err(NoReply::Lost(io::ErrorKind::ConnectionReset.into()));
        }
        // Whatever ends this early leaves a request half sent, or a reply to come.
        self.is_broken = true;
        let sent = self.send(call, &mut pause)?;
        let reply = self.receive(call, habit, &mut pause);
        self.is_broken = !sent || reply.is_err();
        reply
    }

    /// Sends a request that has no reply. The kernel has room for it, unless the broker has not read what it answered.
    pub(crate) fn tell(&mut self, request: &Request) -> Result<(), NoReply> {
        if self.is_broken {
            return Err(NoReply::Lost(io::ErrorKind::ConnectionReset.into()));
        }
        self.frame(request, &[]);
        let sent = loop {
            match send(&self.stream, &self.output, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => break sent,
            }
        };
        self.is_broken = sent != Ok(self.output.len());
        self.output.clear();
        if self.is_broken { Err(NoReply::Lost(io::ErrorKind::ConnectionReset.into())) } else { Ok(()) }
    }

    /// Adds a request to what is to be sent; returns whether its content is, too, and not to be sent behind it.
    fn frame(&mut self, request: &Request, content: &[&[u8]]) -> bool {
        let len: usize = content.iter().map(|part| part.len()).sum();
        frames::push(&mut self.output, if len == 0 { 0 } else { MORE }, &request.header().to_bytes());
        if len > 0 {
            frames::push_head(&mut self.output, 0, len);
        }
        let whole = len < AT_ONCE;
        if whole {
            content.iter().for_each(|part| self.output.extend_from_slice(part));
        }
        whole
    }

    /// Sends a request; returns whether all of it was. One that the broker did not take may have been refused: its
    /// answer says why.
    fn send(&mut self, call: &Call<'_>, pause: &mut Pause<'_>) -> Result<bool, NoReply> {
        let whole = self.frame(call.request, call.content);
        let content = if whole { &[][..] } else { call.content };
        let mut sent = 0;
        let sent = loop {
            match self.send_from(sent, content) {
                Ok(None) => break Ok(true),
                Ok(Some(so_far)) => sent = so_far,
                Err(Errno::AGAIN) => pause.until(&self.stream, PollFlags::POLLOUT)?,
                Err(Errno::INTR) => {}
                Err(_) => break Ok(false),
            }
        };
        self.output.clear();
        sent
    }

    /// Sends what comes after the first `sent` bytes; returns how much is sent by then, unless it is all.
    fn send_from(&self, sent: usize, content: &[&[u8]]) -> Result<Option<usize>, Errno> {
        let flags = SendFlags::NOSIGNAL;
        let (now, len) = if content.is_empty() {
            let rest = self.output.get(sent..).unwrap_or_default();
            (send(&self.stream, rest, flags)?, rest.len())
        } else {
            let mut skip = sent;
            let parts = std::iter::once(self.output.as_slice()).chain(content.iter().copied());
            let rest: Vec<IoSlice<'_>> = parts
                .filter_map(|part| {
                    let skipped = skip.min(part.len());
                    skip -= skipped;
                    part.get(skipped..).filter(|rest| !rest.is_empty()).map(IoSlice::new)
                })
                .collect();
            let len = rest.iter().map(|part| part.len()).sum();
            (sendmsg(&self.stream, &rest, &mut SendAncillaryBuffer::default(), flags)?, len)
        };
        Ok((now < len).then_some(sent + now))
    }

    /// Waits for the reply to `call`: looks for it for a moment, then sleeps.
    fn receive(
        &mut self,
        call: &Call<'_>,
        habit: &mut Habit,
        pause: &mut Pause<'_>,
    ) -> Result<Reply, NoReply> {
        let mut strays = StrayReplies::default();
        let mut spin = habit.spin();
        let mut spinning = true;
        loop {
            match self.read()? {
                Progress::None if spinning => {
                    spinning = spin.turn();
                    if !spinning {
                        habit.learn(&spin, false);
                    }
                }
                Progress::None => pause.until(&self.stream, PollFlags::POLLIN)?,
                Progress::Some => {
                    while let Some(reply) = self.next_reply()? {
                        if let Some(reply) = strays.sort_out(reply, call.request.id)? {
                            if spinning {
                                habit.learn(&spin, true);
                            }
                            return Ok(reply);
                        }
                    }
                }
            }
        }
    }

    /// Reads what there is, as far as there is room.
    fn read(&mut self) -> Result<Progress, NoReply> {
        self.make_room().map_err(NoReply::Lost)?;
        match recv(&self.stream, spare_capacity(&mut self.input), RecvFlags::empty()) {
            Ok((_, 0)) => Err(NoReply::Lost(io::ErrorKind::ConnectionReset.into())),
            Ok(_) => Ok(Progress::Some),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Progress::None),
            Err(errno) => Err(NoReply::Lost(errno.into())),
        }
    }

    /// Sees to it that there is room to read into, twice as much as is there already.
    fn make_room(&mut self) -> io::Result<()> {
        if self.input.capacity() == 0 {
            self.reclaim();
        }
        if self.input.len() < self.input.capacity() {
            return Ok(());
        }
        self.input.drain(..std::mem::take(&mut self.start));
        let more = READ.max(self.input.len()).min(REQUEST_MAX);
        self.input.try_reserve_exact(more).map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    /// Takes back what the last reply was read into, if nobody has that any more.
    fn reclaim(&mut self) {
        if let Ok(mut buffer) = std::mem::take(&mut self.lent).try_into_mut()
            && buffer.capacity() <= KEEP
        {
            buffer.clear();
            self.input = buffer.into();
        }
    }

    /// The next reply that is complete.
    fn next_reply(&mut self) -> Result<Option<Reply>, NoReply> {
        let illegal = || NoReply::Lost(io::ErrorKind::InvalidData.into());
        if self.stage != Stage::Done && !self.shake_hands().ok_or_else(illegal)? {
            return Ok(None);
        }
        let rest = self.input.get(self.start..).unwrap_or_default();
        let mut places = [const { 0..0 }; FRAMES_MAX];
        let (mut at, mut count) = (0, 0);
        loop {
            match frames::front(rest.get(at..).unwrap_or_default()) {
                Front::Frame { flags, end, .. } if flags & COMMAND != 0 && count == 0 => {
                    at += end;
                }
                Front::Frame { flags, start, end } if flags & COMMAND == 0 => {
                    *places.get_mut(count).ok_or_else(illegal)? = at + start..at + end;
                    count += 1;
                    at += end;
                    if flags & MORE == 0 {
                        break;
                    }
                }
                Front::Partial { end } if at + end.unwrap_or(0) <= REQUEST_MAX => return Ok(None),
                _ => return Err(illegal()),
            }
        }
        let [header, contents @ ..] = places;
        let header = Header::parse(rest.get(header).unwrap_or_default()).map_err(|_| illegal())?;
        if at > REQUEST_MAX {
            return Err(illegal());
        }
        if count == 1 {
            self.pass(at);
            return Ok(Some(Reply { header, frames: Vec::new() }));
        }
        let read = self.lend(at);
        let frames = contents.into_iter().take(count - 1).map(|place| read.slice(place)).collect();
        Ok(Some(Reply { header, frames }))
    }

    /// Reads the broker's part of the handshake; returns whether it is complete, or nothing if it is none.
    fn shake_hands(&mut self) -> Option<bool> {
        let rest = self.input.get(self.start..).unwrap_or_default();
        if self.stage == Stage::Greeting {
            if !handshake::may_be_greeting(rest) {
                return None;
            }
            if rest.len() < GREETING_LEN {
                return Some(false);
            }
            self.start += GREETING_LEN;
            self.stage = Stage::Ready;
        }
        match handshake::read_ready(self.input.get(self.start..).unwrap_or_default()) {
            Ready::Partial => return Some(false),
            Ready::Type { end, socket_type } if socket_type == b"ROUTER" => self.pass(end),
            _ => return None,
        }
        self.stage = Stage::Done;
        Some(true)
    }

    /// Has understood the next `len` bytes.
    fn pass(&mut self, len: usize) {
        self.start += len;
        if self.start == self.input.len() {
            self.input.clear();
            self.start = 0;
        }
    }

    /// Gives the next `len` bytes away, along with what they are in.
    fn lend(&mut self, len: usize) -> Bytes {
        let later = self.input.get(self.start + len..).unwrap_or_default().to_vec();
        self.lent = std::mem::replace(&mut self.input, later).into();
        let start = std::mem::take(&mut self.start);
        self.lent.slice(start..start + len)
    }
}
