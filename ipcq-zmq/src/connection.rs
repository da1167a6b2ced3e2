//! A session of this process with a broker, and the connection that it has at the time: one call at a time uses it.
//!
//! On this machine the connection is a Unix socket, which the calling thread writes and reads itself ([`Link`]). Over the
//! network it is a DEALER of the ZeroMQ crate ([`Dealer`]).

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::address::Address;
use crate::link::Link;
use crate::socket::Dealer;
use crate::spin::Habit;
use crate::wire::{Header, Op, RESUMED, Request, Status};

/// How often a call that waits looks whether the host still lives.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(1);

/// How many replies may come that nobody waits for before the one that is waited for.
const STRAYS_MAX: u32 = 16;

/// A reply: its header and the frames after it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) header: Header,
    pub(crate) frames: Vec<Bytes>,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum NoReply {
    /// The connection is lost.
    Lost(io::Error),
    /// The one who waits has given up.
    GivenUp,
    /// The broker says what is wrong, and hangs up.
    Refused(String),
}

/// A request to be answered.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    /// What its content frame consists of; without any it has none.
    pub(crate) content: &'a [&'a [u8]],
    /// Asked four times a second whether to give up; it is told how long the call has waited.
    pub(crate) is_over: &'a dyn Fn(Duration) -> bool,
}

/// Replies that nobody waits for.
#[derive(Debug, Default)]
pub(crate) struct StrayReplies(u32);

impl StrayReplies {
    /// `reply`, if it is the one to the request `id`. The reply to a request that was given up may come before.
    pub(crate) fn sort_out(&mut self, reply: Reply, id: u64) -> Result<Option<Reply>, NoReply> {
        if reply.header.id == id {
            return Ok(Some(reply));
        }
        if reply.header.id == 0 {
            let why = reply.frames.first().map(|frame| String::from_utf8_lossy(frame).into_owned());
            return Err(NoReply::Refused(why.unwrap_or_default()));
        }
        self.0 += 1;
        if self.0 > STRAYS_MAX { Err(NoReply::Lost(io::ErrorKind::InvalidData.into())) } else { Ok(None) }
    }
}

/// What a session over TCP says and expects.
#[derive(Debug)]
pub(crate) struct Remote {
    /// What all sessions of this process say of themselves.
    pub(crate) party: [u8; 16],
    /// What the queue says of itself; at an address on the network another one may come to listen.
    pub(crate) incarnation: u128,
}

/// The kind of error that says that another queue is at the address.
pub(crate) const ANOTHER: io::ErrorKind = io::ErrorKind::AddrNotAvailable;

/// What carries requests and replies.
enum Carrier {
    Local(Link),
    Network(Box<Dealer>),
}

impl Carrier {
    fn connect(address: &Address, patience: Duration) -> io::Result<Self> {
        match address.tcp() {
            Some(address) => Ok(Self::Network(Box::new(Dealer::connect(address, patience)?))),
            None => Ok(Self::Local(Link::connect(address, patience)?)),
        }
    }

    fn call(&mut self, call: &Call<'_>, habit: &mut Habit) -> Result<Reply, NoReply> {
        match self {
            Self::Local(link) => link.call(call, habit),
            Self::Network(dealer) => dealer.call(call, habit),
        }
    }
}

/// A session on a connection.
pub(crate) struct Connection {
    carrier: Carrier,
    habit: Habit,
    token: [u8; 16],
    remote: Option<Remote>,
    /// The number of the last request.
    id: u64,
    /// The number of the last reply.
    pub(crate) acknowledged: u64,
    /// The session has ended; the connection is of no use any more.
    pub(crate) is_spent: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to `address` and opens the session `token`, which may take as long as `patience` says.
    pub(crate) fn open(
        address: &Address,
        token: [u8; 16],
        remote: Option<Remote>,
        patience: Duration,
    ) -> io::Result<Self> {
        let (patience, start) = (patience.min(ATTEMPT), Instant::now());
        let carrier = Carrier::connect(address, patience)?;
        let (habit, id, acknowledged, is_spent) = (Habit::default(), 0, 0, false);
        let mut new = Self { carrier, habit, token, remote, id, acknowledged, is_spent };
        new.greet(patience.saturating_sub(start.elapsed()))?;
        Ok(new)
    }

    /// Connects anew, to go on with the same session, which may take as long as `patience` says; returns whether the
    /// broker still knew it.
    pub(crate) fn resume(&mut self, address: &Address, patience: Duration) -> io::Result<bool> {
        let (patience, start) = (patience.min(ATTEMPT), Instant::now());
        self.carrier = Carrier::connect(address, patience)?;
        self.greet(patience.saturating_sub(start.elapsed()))
    }

    fn greet(&mut self, patience: Duration) -> io::Result<bool> {
        let party = self.remote.as_ref().map_or(&[][..], |remote| &remote.party);
        let token = [&self.token, party].concat();
        let hello = Request::new(Op::Hello, self.id);
        let end = Instant::now() + patience;
        match self.call(&hello, &[&token], &|_| Instant::now() > end) {
            Ok(reply) if self.is_another(&reply) => Err(ANOTHER.into()),
            Ok(reply) if Status::parse(reply.header.code) == Some(Status::Welcome) => {
                Ok(reply.header.flags & RESUMED != 0)
            }
            Ok(_) => Err(io::ErrorKind::ConnectionRefused.into()),
            Err(NoReply::Lost(error)) => Err(error),
            Err(NoReply::GivenUp) => Err(io::ErrorKind::TimedOut.into()),
            Err(NoReply::Refused(why)) => Err(io::Error::other(why)),
        }
    }

    /// Whether somebody else listens now where the queue was.
    fn is_another(&self, welcome: &Reply) -> bool {
        let expected = self.remote.as_ref().map(|remote| remote.incarnation.to_be_bytes());
        expected.is_some_and(|expected| welcome.frames.first().is_none_or(|found| **found != expected))
    }

    /// Whether the broker may be on another machine.
    pub(crate) const fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// The number of a new request.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.id += 1;
        self.id
    }

    /// Sends a request and waits for its reply. Four times a second `is_over` is asked whether to give up; it is told
    /// how long the call has waited.
    pub(crate) fn call(
        &mut self,
        request: &Request,
        content: &[&[u8]],
        is_over: &dyn Fn(Duration) -> bool,
    ) -> Result<Reply, NoReply> {
        let reply = self.carrier.call(&Call { request, content, is_over }, &mut self.habit)?;
        if request.op != Op::Hello {
            self.acknowledged = self.acknowledged.max(request.id);
        }
        Ok(reply)
    }

    /// Sends a request that has no reply, and sees to it that the kernel has it when this returns.
    pub(crate) fn tell(&mut self, request: &Request) -> Result<(), NoReply> {
        match &mut self.carrier {
            Carrier::Local(link) => link.tell(request),
            Carrier::Network(dealer) => dealer.tell(request),
        }
    }
}
