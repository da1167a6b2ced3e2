//! A DEALER socket of the ZeroMQ crate, with a runtime of its own: one session, used by one call at a time.
//!
//! The only file that names the crate. The calling thread itself drives the runtime, so that a call costs no hand-over
//! between threads, and a process that forks has no thread to lose. What is known of the crate and minded here:
//! a dead peer shows only as an event of the monitor; nothing is flushed when a socket is dropped; a future that
//! receives may be dropped and made anew.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::channel::mpsc::Receiver;
use futures::{FutureExt, StreamExt, select_biased};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Interval, MissedTickBehavior};
use zeromq::{
    DealerSocket, Socket, SocketEvent, SocketOptions, SocketRecv, SocketSend, ZmqError, ZmqMessage,
};

use crate::spin::Habit;
use crate::wire::{HEADER_LEN, Header, Op, RESUMED, Request, Status};

/// How often a call that waits looks whether the host still lives.
const LOOK: Duration = Duration::from_millis(250);

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(1);

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

/// A session on a connection.
pub(crate) struct Connection {
    // Dropped before its runtime.
    socket: DealerSocket,
    events: Receiver<SocketEvent>,
    /// When to look whether the host still lives. One clock for all calls: to set one costs a wake-up.
    clock: Interval,
    habit: Habit,
    runtime: Runtime,
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
    /// Connects to the socket `endpoint` and opens the session `token`, which may take as long as `patience` says.
    pub(crate) fn open(
        endpoint: &str,
        token: [u8; 16],
        remote: Option<Remote>,
        patience: Duration,
    ) -> io::Result<Self> {
        let (patience, start) = (patience.min(ATTEMPT), Instant::now());
        let runtime = Builder::new_current_thread().enable_all().event_interval(7).build()?;
        let (socket, events) = runtime.block_on(connect(endpoint, patience))?;
        let mut clock = {
            let _inside = runtime.enter();
            tokio::time::interval(LOOK)
        };
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (habit, id, acknowledged, is_spent) = (Habit::default(), 0, 0, false);
        let mut new =
            Self { socket, events, clock, habit, runtime, token, remote, id, acknowledged, is_spent };
        new.greet(patience.saturating_sub(start.elapsed()))?;
        Ok(new)
    }

    /// Connects anew, to go on with the same session, which may take as long as `patience` says; returns whether the
    /// broker still knew it.
    pub(crate) fn resume(&mut self, endpoint: &str, patience: Duration) -> io::Result<bool> {
        let (patience, start) = (patience.min(ATTEMPT), Instant::now());
        (self.socket, self.events) = self.runtime.block_on(connect(endpoint, patience))?;
        self.greet(patience.saturating_sub(start.elapsed()))
    }

    fn greet(&mut self, patience: Duration) -> io::Result<bool> {
        let party = self.remote.as_ref().map_or(&[][..], |remote| &remote.party);
        let token = Bytes::from([&self.token, party].concat());
        let hello = Request::new(Op::Hello, self.id);
        let end = Instant::now() + patience;
        match self.call(&hello, token, |_| Instant::now() > end) {
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
        content: Bytes,
        is_over: impl Fn(Duration) -> bool,
    ) -> Result<Reply, NoReply> {
        let Self { socket, events, clock, habit, runtime, .. } = self;
        let message = message(request, content);
        let reply = runtime.block_on(async {
            socket.send(message).await.map_err(lost)?;
            receive(socket, events, (clock, habit), request.id, &is_over).await
        })?;
        if Op::Hello as u8 != request.op as u8 {
            self.acknowledged = self.acknowledged.max(request.id);
        }
        Ok(reply)
    }

    /// Sends a request that has no reply, and sees to it that the kernel has it when this returns.
    pub(crate) fn tell(&mut self, request: &Request) -> Result<(), NoReply> {
        let Self { socket, runtime, .. } = self;
        let message = message(request, Bytes::new());
        runtime.block_on(async {
            socket.send(message).await.map_err(lost)?;
            // The crate's writer is a task of its own, which runs now. The kernel has room: the peer has just
            // answered, and so read everything before.
            tokio::task::yield_now().await;
            Ok(())
        })
    }
}

async fn connect(endpoint: &str, patience: Duration) -> io::Result<(DealerSocket, Receiver<SocketEvent>)> {
    let mut options = SocketOptions::default();
    options.connect_timeout(patience);
    options.read_buffer(4096, 256 << 10, 8);
    let mut socket = DealerSocket::with_options(options);
    let events = socket.monitor();
    match socket.connect(endpoint).await {
        Ok(()) => Ok((socket, events)),
        Err(ZmqError::Network(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Waits for the reply `id`.
async fn receive(
    socket: &mut DealerSocket,
    events: &mut Receiver<SocketEvent>,
    (clock, habit): (&mut Interval, &mut Habit),
    id: u64,
    is_over: &impl Fn(Duration) -> bool,
) -> Result<Reply, NoReply> {
    let start = Instant::now();
    let (mut spin, mut spinning) = (habit.spin(), true);
    loop {
        let message = if spinning {
            // What is sent goes out first.
            tokio::task::yield_now().await;
            match socket.recv().now_or_never() {
                Some(message) => {
                    habit.learn(&spin, true);
                    message.map_err(lost)?
                }
                None => {
                    spinning = spin.turn();
                    if !spinning {
                        habit.learn(&spin, false);
                    }
                    continue;
                }
            }
        } else {
            select_biased! {
                message = socket.recv().fuse() => message.map_err(lost)?,
                event = events.next() => match event {
                    Some(SocketEvent::Disconnected(_)) | None => {
                        return Err(NoReply::Lost(io::ErrorKind::ConnectionReset.into()));
                    }
                    Some(_) => continue,
                },
                _ = clock.tick().fuse() => {
                    if is_over(start.elapsed()) {
                        return Err(NoReply::GivenUp);
                    }
                    continue;
                }
            }
        };
        let mut frames = message.into_vec();
        let header = frames.first().filter(|frame| frame.len() == HEADER_LEN);
        let Some(Ok(header)) = header.map(|frame| Header::parse(frame)) else {
            return Err(NoReply::Lost(io::ErrorKind::InvalidData.into()));
        };
        // The reply to a request that was given up may come before.
        if header.id == id {
            frames.remove(0);
            return Ok(Reply { header, frames });
        }
        if header.id == 0 {
            let why = frames.get(1).map(|frame| String::from_utf8_lossy(frame).into_owned());
            return Err(NoReply::Refused(why.unwrap_or_default()));
        }
    }
}

fn message(request: &Request, content: Bytes) -> ZmqMessage {
    let mut message = ZmqMessage::from(Bytes::copy_from_slice(&request.header().to_bytes()));
    if !content.is_empty() {
        message.push_back(content);
    }
    message
}

fn lost(error: ZmqError) -> NoReply {
    NoReply::Lost(match error {
        ZmqError::Network(error) => error,
        error => io::Error::other(error),
    })
}
