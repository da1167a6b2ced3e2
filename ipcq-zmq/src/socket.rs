//! A DEALER socket of the ZeroMQ crate, with a runtime of its own, for brokers that are reached over the network.
//!
//! The only file that names the crate. The calling thread itself drives the runtime, so that a call costs no hand-over
//! between threads, and a process that forks has no thread to lose. What is known of the crate and minded here:
//! a dead peer shows only as an event of the monitor; nothing is flushed when a socket is dropped; a future that
//! receives may be dropped and made anew.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::channel::mpsc::Receiver;
use futures::{FutureExt, StreamExt, select_biased};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Interval, MissedTickBehavior};
use zeromq::{
    DealerSocket, Socket, SocketEvent, SocketOptions, SocketRecv, SocketSend, ZmqError, ZmqMessage,
};

use crate::connection::{Call, LOOK, NoReply, Reply, StrayReplies};
use crate::spin::Habit;
use crate::wire::{HEADER_LEN, Header, Request};

/// A connection over the network.
pub(crate) struct Dealer {
    // Dropped before its runtime.
    socket: DealerSocket,
    events: Receiver<SocketEvent>,
    /// When to look whether the host still lives. One clock for all calls: to set one costs a wake-up.
    clock: Interval,
    runtime: Runtime,
}

impl Dealer {
    pub(crate) fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().event_interval(7).build()?;
        let (socket, events) = runtime.block_on(connect(&format!("tcp://{address}"), patience))?;
        let mut clock = {
            let _inside = runtime.enter();
            tokio::time::interval(LOOK)
        };
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { socket, events, clock, runtime })
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn call(&mut self, call: &Call<'_>, habit: &mut Habit) -> Result<Reply, NoReply> {
        let Self { socket, events, clock, runtime } = self;
        let message = message(call.request, call.content)?;
        runtime.block_on(async {
            socket.send(message).await.map_err(lost)?;
            receive(socket, events, (clock, habit), call).await
        })
    }

    /// Sends a request that has no reply, and sees to it that the kernel has it when this returns.
    pub(crate) fn tell(&mut self, request: &Request) -> Result<(), NoReply> {
        let Self { socket, runtime, .. } = self;
        let message = message(request, &[])?;
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
    call: &Call<'_>,
) -> Result<Reply, NoReply> {
    let start = Instant::now();
    let mut strays = StrayReplies::default();
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
                    if (call.is_over)(start.elapsed()) {
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
        frames.remove(0);
        let reply = Reply { header, frames };
        if let Some(reply) = strays.sort_out(reply, call.request.id)? {
            return Ok(reply);
        }
    }
}

fn message(request: &Request, content: &[&[u8]]) -> Result<ZmqMessage, NoReply> {
    let mut message = ZmqMessage::from(Bytes::copy_from_slice(&request.header().to_bytes()));
    let len = content.iter().map(|part| part.len()).sum();
    if len > 0 {
        let mut frame = Vec::new();
        frame.try_reserve_exact(len).map_err(|_| NoReply::Lost(io::ErrorKind::OutOfMemory.into()))?;
        content.iter().for_each(|part| frame.extend_from_slice(part));
        message.push_back(frame.into());
    }
    Ok(message)
}

fn lost(error: ZmqError) -> NoReply {
    NoReply::Lost(match error {
        ZmqError::Network(error) => error,
        error => io::Error::other(error),
    })
}
