//! Gets, as requests.

use std::collections::TryReserveError;

use bytes::Bytes;
use ipcq_core::{BackendErrorKind, Batch, GetFault, Limit, Wait};

use crate::client::{Client, Failed};
use crate::clock;
use crate::connection::{Connection, Reply};
use crate::packed;
use crate::wire::{DELIVERY, ON_READ, Op, PIECE, Request, SOME, Status};

/// What became of a get on a connection that works.
type Got<T> = Result<T, Failed>;

/// What a reply to a get holds.
pub(crate) struct Haul {
    pub(crate) content: Content,
    /// The request that it answers.
    pub(crate) id: u64,
    /// How many messages were left in the queue; of a delivery, its number.
    pub(crate) left: u64,
    /// How often a delivery had come back.
    pub(crate) redeliveries: u64,
    /// From when on the broker may call it back, if it is not acknowledged by then; 0 for never.
    pub(crate) recall_from: u64,
    /// Whether it was this process's when it had been read.
    pub(crate) on_read: bool,
}

/// What decides whose messages are that have arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    id: u64,
    recall_from: u64,
    on_read: bool,
}

impl Haul {
    pub(crate) const fn arrival(&self) -> Arrival {
        Arrival { id: self.id, recall_from: self.recall_from, on_read: self.on_read }
    }
}

pub(crate) enum Content {
    /// Messages, packed; how many there are, and how many bytes they have.
    Packed(Bytes, usize, usize),
    /// The first piece of a message of this length.
    Long(Bytes, usize),
}

impl Client {
    /// Gets one message.
    pub(crate) fn get(
        &self,
        connection: &mut Connection,
        message: &mut Vec<u8>,
        wait: Wait,
    ) -> Got<Result<(), GetFault>> {
        Ok(self.get_as(connection, message, 0, wait)?.map(|_| ()))
    }

    /// Gets one message, in the manner that `flags` ask for; returns what its reply said.
    pub(crate) fn get_as(
        &self,
        connection: &mut Connection,
        message: &mut Vec<u8>,
        flags: u16,
        wait: Wait,
    ) -> Got<Result<Haul, GetFault>> {
        loop {
            message.clear();
            let haul = match self.haul_within(connection, (1, flags), 0, usize::MAX, message, wait)? {
                Ok(haul) => haul,
                Err(fault) => return Ok(Err(fault)),
            };
            let whole = match &haul.content {
                Content::Packed(packed, ..) => {
                    let content = packed::split_first(packed).map_or(&[][..], |(content, _)| content);
                    if let Err(error) = message.try_reserve(content.len()) {
                        return self.leave(connection, error);
                    }
                    message.extend_from_slice(content);
                    true
                }
                Content::Long(piece, len) => {
                    message.extend_from_slice(piece);
                    self.fetch(connection, message, *len)?
                }
            };
            if whole && self.acknowledge(connection, haul.arrival())? {
                return Ok(Ok(haul));
            }
        }
    }

    /// Gets what is there, up to `limit`.
    pub(crate) fn get_many(
        &self,
        connection: &mut Connection,
        batch: &mut Batch,
        limit: Limit,
        wait: Wait,
    ) -> Got<Result<usize, GetFault>> {
        let (mut taken, mut bytes) = (0, 0_usize);
        let mut long = Vec::new();
        loop {
            let budget = limit.max_bytes().saturating_sub(bytes);
            // Only the first message of all may exceed the bytes that are asked for.
            let (wait, room) = if taken == 0 { (wait, usize::MAX) } else { (Wait::No, budget) };
            let messages = limit.max_messages() - taken;
            let haul = match self.haul_within(connection, (messages, 0), budget, room, &mut long, wait)? {
                Ok(haul) => haul,
                Err(fault) if taken == 0 => return Ok(Err(fault)),
                Err(_) => break,
            };
            let left = haul.left;
            let (count, content) = match &haul.content {
                Content::Packed(_, count, content) => (*count, *content),
                Content::Long(_, len) => (1, *len),
            };
            if let Err(error) = batch.try_reserve(count, content) {
                return if taken == 0 { self.leave(connection, error) } else { self.end(connection, taken) };
            }
            if !self.take(connection, haul, &mut long, batch)? {
                continue;
            }
            taken += count;
            bytes = bytes.saturating_add(content);
            if left == 0 || taken >= limit.max_messages() || bytes >= limit.max_bytes() {
                break;
            }
        }
        Ok(Ok(taken))
    }

    /// Appends what was sent to `batch`, once it is this process's; returns whether it is.
    fn take(
        &self,
        connection: &mut Connection,
        haul: Haul,
        long: &mut Vec<u8>,
        batch: &mut Batch,
    ) -> Got<bool> {
        let arrival = haul.arrival();
        match haul.content {
            Content::Packed(packed, ..) => {
                let own = self.acknowledge(connection, arrival)?;
                if own {
                    packed::iter(&packed).for_each(|message| batch.push(message));
                }
                Ok(own)
            }
            Content::Long(piece, len) => {
                long.extend_from_slice(&piece);
                let whole = self.fetch(connection, long, len)?;
                let own = whole && self.acknowledge(connection, arrival)?;
                if own {
                    batch.push(long);
                }
                *long = Vec::new();
                Ok(own)
            }
        }
    }

    /// Takes messages, each for another caller.
    pub(crate) fn haul(
        &self,
        connection: &mut Connection,
        messages: usize,
        bytes: usize,
        into: &mut Vec<u8>,
        wait: Wait,
    ) -> Got<Result<Haul, GetFault>> {
        let flags = if messages > 1 { SOME } else { 0 };
        self.haul_within(connection, (messages, flags), bytes, usize::MAX, into, wait)
    }

    /// Takes messages; has room made in `into` before it takes a long one, which may have `most` bytes.
    fn haul_within(
        &self,
        connection: &mut Connection,
        (messages, flags): (usize, u16),
        bytes: usize,
        most: usize,
        into: &mut Vec<u8>,
        wait: Wait,
    ) -> Got<Result<Haul, GetFault>> {
        let mut room = PIECE.min(most);
        loop {
            let mut request = Self::request(connection, Op::Get, wait);
            (request.a, request.b, request.c) = (messages as u64, bytes as u64, room as u64);
            request.flags |= flags;
            if flags & DELIVERY == 0 && !connection.is_remote() {
                request.flags |= ON_READ;
            }
            let reply = self.exchange(connection, &request, &[])?;
            let [_, len, left, recall_from, redeliveries] = reply.header.fields;
            let on_read = reply.header.flags & ON_READ != 0;
            let haul =
                |content| Ok(Haul { content, id: request.id, left, redeliveries, recall_from, on_read });
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            return Ok(match Status::parse(reply.header.code) {
                Some(Status::NeedsRoom) if len > most => Err(GetFault::Empty),
                Some(Status::NeedsRoom) if len > self.identity().max_message => Err(self.nonsense().into()),
                Some(Status::NeedsRoom) => match into.try_reserve_exact(len) {
                    Ok(()) => {
                        room = len;
                        continue;
                    }
                    Err(error) => Err(self.no_memory_for(len, error)),
                },
                Some(Status::Msg) if len == 0 => {
                    let packed = reply.frames.into_iter().next().unwrap_or_default();
                    match packed::count(&packed) {
                        Some((count, content)) if (1..=messages).contains(&count) => {
                            haul(Content::Packed(packed, count, content))
                        }
                        _ => Err(self.nonsense().into()),
                    }
                }
                Some(Status::Msg) if len <= room => match reply.frames.into_iter().next() {
                    Some(piece) if piece.len() <= len => haul(Content::Long(piece, len)),
                    _ => Err(self.nonsense().into()),
                },
                _ => Err(self.refusal(&reply, wait)),
            });
        }
    }

    fn refusal(&self, reply: &Reply, wait: Wait) -> GetFault {
        match Status::parse(reply.header.code) {
            Some(Status::Empty) => GetFault::Empty,
            Some(Status::Timeout) if wait == Wait::No => GetFault::Busy,
            Some(Status::Timeout) => GetFault::Timeout,
            Some(Status::Closed) => GetFault::Closed,
            Some(Status::NoRoom) => {
                let what = "the process that hosts it has no memory to send a message from";
                self.error(BackendErrorKind::NoRoom, what).with_advice("free some and try again").into()
            }
            _ => self.nonsense().into(),
        }
    }

    /// Fetches the rest of a long message, for which there is room; returns whether it was not called back meanwhile.
    pub(crate) fn fetch(&self, connection: &mut Connection, message: &mut Vec<u8>, len: usize) -> Got<bool> {
        // What is fetched belongs to a reply that is not acknowledged before all of it is here.
        let held = connection.acknowledged.saturating_sub(1);
        while message.len() < len {
            let mut request = Request::new(Op::Fetch, connection.next_id());
            (request.ack, request.a) = (held, message.len() as u64);
            let reply = self.exchange(connection, &request, &[])?;
            match reply.frames.first() {
                None if Status::parse(reply.header.code) == Some(Status::Error) => return Ok(false),
                Some(piece) if !piece.is_empty() && piece.len() <= len - message.len() => {
                    message.extend_from_slice(piece);
                }
                _ => return Err(Failed::Backend(self.nonsense())),
            }
        }
        Ok(true)
    }

    /// Tells the broker that what it sent has arrived, before the caller learns of it, unless the broker can see that by
    /// itself; returns whether it is this process's from here on, whatever happens. Who took so long that the broker may
    /// have called it back asks.
    pub(crate) fn acknowledge(&self, connection: &mut Connection, arrival: Arrival) -> Got<bool> {
        let Arrival { id, recall_from, on_read } = arrival;
        let told = on_read || {
            let mut request = Request::new(Op::Ack, connection.next_id());
            request.ack = connection.acknowledged;
            connection.tell(&request).is_ok()
        };
        // From elsewhere nothing is called back.
        let in_time = recall_from == 0 || connection.is_remote() || clock::now() < recall_from;
        if told && in_time {
            return Ok(true);
        }
        let mut request = Self::request(connection, Op::Confirm, Wait::Forever);
        request.a = id;
        let reply = match self.exchange(connection, &request, &[]) {
            // Nobody is left to call it back.
            Err(Failed::Backend(error)) if error.is_gone() => return Ok(true),
            reply => reply?,
        };
        match Status::parse(reply.header.code) {
            Some(Status::Ok) => Ok(true),
            Some(Status::Empty) => Ok(false),
            _ => Err(Failed::Backend(self.nonsense())),
        }
    }

    /// As [`leave`](Self::leave), with what was taken before.
    fn end(&self, connection: &mut Connection, taken: usize) -> Got<Result<usize, GetFault>> {
        connection.is_spent = true;
        let request = Request::new(Op::Bye, connection.next_id());
        let _ = connection.tell(&request);
        Ok(Ok(taken))
    }

    /// Gives back what there is no memory for: the session ends.
    pub(crate) fn leave<T>(
        &self,
        connection: &mut Connection,
        error: TryReserveError,
    ) -> Got<Result<T, GetFault>> {
        let request = Request::new(Op::Bye, connection.next_id());
        let _ = connection.tell(&request);
        Err(Failed::Backend(self.lacking(0, error)))
    }

    fn no_memory_for(&self, len: usize, error: TryReserveError) -> GetFault {
        self.lacking(len, error).into()
    }

    fn lacking(&self, len: usize, error: TryReserveError) -> ipcq_core::BackendError {
        let what = format!("this process has no memory for its next message of {len} bytes");
        self.error(BackendErrorKind::NoRoom, what)
            .with_advice("free some and get it again: it is still in the queue")
            .with_source(error)
    }
}
