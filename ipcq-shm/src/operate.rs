//! Putting and getting: the ring's steps under its locks, and what happens when they cannot go on.

use ipcq_core::os::lock::RobustGuard;
use ipcq_core::{Batch, GetFault, Limit, PutFault, Wait};

use crate::position::Position;
use crate::ring::{GetRefusal, PutRefusal, Ring};
use crate::run::{Run, span};
use crate::segment::Segment;
use crate::wait::Side;
use ipcq_core::os::waiting::Patience;

/// Messages and bytes that become visible together: enough that publishing costs nothing beside copying, few
/// enough that the other side starts early.
const PORTION_MESSAGES: usize = 64;
const PORTION_BYTES: usize = 32 * 1024;

/// Bytes after which the lock of a batch is offered to others.
const TURN_BYTES: usize = 1 << 20;

impl Segment {
    /// Puts one message; see [`Channel::put`](ipcq_core::Channel::put).
    #[inline]
    pub(crate) fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        let len = parts.iter().map(|part| part.len()).sum();
        self.check_length(len)?;
        loop {
            let guard = self.lock_put(wait)?;
            match self.put_one(guard, parts, len) {
                Ok(()) => return Ok(()),
                Err(PutRefusal::Full) => self.wait_for_room(wait)?,
                Err(refusal) => return Err(self.explain_put(refusal)),
            }
        }
    }

    #[inline]
    fn put_one(&self, guard: RobustGuard<'_>, parts: &[&[u8]], len: usize) -> Result<(), PutRefusal> {
        let ring = self.ring();
        let (tail, _) = free_tail(&ring)?;
        let staged = ring.stage(tail, parts, len)?;
        ring.publish(tail, staged)?;
        guard.unlock_and_wake(self.event(Side::Get));
        self.pass_on(Side::Put);
        if tail.chunk() != staged.chunk() {
            self.memory_was_freed();
        }
        Ok(())
    }

    /// Puts messages of `batch` from number `from` on; see [`Channel::put_many`](ipcq_core::Channel::put_many).
    pub(crate) fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        let mut next = from;
        while let Some(message) = batch.get(next) {
            if let Err(fault) = self.put_turn(batch, &mut next, message.len(), wait) {
                return (next - from, Err(fault));
            }
        }
        self.pass_on(Side::Put);
        (next - from, Ok(()))
    }

    /// Takes the lock and puts messages until the turn is over; waits when the queue is full.
    fn put_turn(&self, batch: &Batch, next: &mut usize, len: usize, wait: Wait) -> Result<(), PutFault> {
        self.check_length(len)?;
        let guard = self.lock_put(wait)?;
        let mut bytes = 0;
        let refusal = loop {
            match self.put_portion(batch, next) {
                Ok(0) => break None,
                // Room is not asked for where it is not needed: at the end, and for what can never fit.
                Ok(_)
                    if batch.get(*next).is_none_or(|message| message.len() > self.identity().max_message) =>
                {
                    break None;
                }
                Ok(_) if bytes >= TURN_BYTES => break None,
                Ok(portion) => bytes += portion,
                Err(refusal) => break Some(refusal),
            }
            self.wake_if_asleep(Side::Get);
        };
        guard.unlock_and_wake(self.event(Side::Get));
        match refusal {
            None => Ok(()),
            Some(PutRefusal::Full) => self.wait_for_room(wait),
            Some(refusal) => Err(self.explain_put(refusal)),
        }
    }

    /// Writes a portion of messages behind the tail and publishes it; returns how many bytes that were, 0 when
    /// there was nothing to put.
    fn put_portion(&self, batch: &Batch, next: &mut usize) -> Result<usize, PutRefusal> {
        let ring = self.ring();
        let (tail, room) = free_tail(&ring)?;
        let (mut run, last) = (ring.run(tail)?, *next + room.min(PORTION_MESSAGES));
        let (first, mut bytes) = (*next, 0);
        let mut outcome = Ok(());
        while *next < last && bytes < PORTION_BYTES {
            let before = run.position().offset();
            let messages = batch.iter_from(*next).take(last - *next);
            *next += run.write_all(messages, ring.max_message, PORTION_BYTES - bytes);
            bytes += run.position().offset() - before;
            // What stopped it may be that the chunk ends.
            let Some(message) = batch.get(*next).filter(|_| *next < last && bytes < PORTION_BYTES) else {
                break;
            };
            if message.len() > ring.max_message {
                break;
            }
            match ring.stage_across(run.position(), &[message], message.len()) {
                Ok(end) => run = ring.run(end)?,
                Err(stuck) => {
                    outcome = Err(stuck.into());
                    break;
                }
            }
            (*next, bytes) = (*next + 1, bytes + span(message.len()));
        }
        if *next > first
            && let Err(refusal) = ring.publish(tail, run.position())
        {
            *next = first;
            return Err(refusal);
        }
        outcome.map(|()| bytes)
    }

    /// Gets one message; see [`Channel::get`](ipcq_core::Channel::get).
    #[inline]
    pub(crate) fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        message.clear();
        let patience = Patience::default();
        loop {
            let guard = self.lock_get(wait, &patience)?;
            match self.get_one(guard, message) {
                Ok(()) => return Ok(()),
                Err(GetRefusal::Empty) => self.wait_for_message(wait)?,
                Err(GetRefusal::TooSmall(len)) => {
                    message.try_reserve_exact(len).map_err(|error| self.no_memory(len, error))?;
                }
                Err(refusal) => return Err(self.explain_get(&refusal)),
            }
        }
    }

    #[inline]
    fn get_one(&self, guard: RobustGuard<'_>, message: &mut Vec<u8>) -> Result<(), GetRefusal> {
        let ring = self.ring();
        let head = ring.head();
        ring.available(head)?;
        let mut run = ring.run(head)?;
        let len = ring.length(&run)?;
        if len > message.capacity() {
            return Err(GetRefusal::TooSmall(len));
        }
        ring.copy(&mut run, len, message)?;
        let next = run.position();
        ring.take(head, next);
        guard.unlock_and_wake(self.event(Side::Put));
        self.pass_on(Side::Get);
        if head.chunk() != next.chunk() {
            self.memory_was_freed();
        }
        Ok(())
    }

    /// Gets many messages; see [`Channel::get_many`](ipcq_core::Channel::get_many).
    pub(crate) fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        let mut haul = Haul { batch, limit, taken: 0, bytes: 0, over: limit.max_messages() == 0 };
        let patience = Patience::default();
        while !haul.over {
            match self.get_turn(&mut haul, wait, &patience) {
                // Having something, it neither waits for more nor fails.
                Err(_) if haul.taken > 0 => break,
                outcome => outcome?,
            }
        }
        if haul.taken > 0 {
            self.pass_on(Side::Get);
            self.memory_was_freed();
        }
        Ok(haul.taken)
    }

    /// Takes the lock and messages until the turn is over; waits when the queue is empty.
    fn get_turn(&self, haul: &mut Haul<'_>, wait: Wait, patience: &Patience) -> Result<(), GetFault> {
        let guard = match haul.taken {
            0 => self.lock_get(wait, patience)?,
            _ => self.lock_get_more(wait, patience)?,
        };
        let outcome = self.get_portions(haul);
        guard.unlock_and_wake(self.event(Side::Put));
        match outcome {
            Ok(()) => Ok(()),
            Err(GetRefusal::TooSmall(len)) => {
                haul.make_room(len).map_err(|error| self.no_memory(len, error).into())
            }
            Err(GetRefusal::Empty) if haul.taken == 0 => self.wait_for_message(wait),
            Err(refusal) => Err(self.explain_get(&refusal)),
        }
    }

    fn get_portions(&self, haul: &mut Haul<'_>) -> Result<(), GetRefusal> {
        let ring = self.ring();
        let mut head = ring.head();
        let turn = haul.bytes + TURN_BYTES;
        while !haul.over && haul.bytes < turn {
            let (next, outcome) = haul.portion(&ring, head);
            if next != head {
                ring.take(head, next);
                head = next;
            }
            outcome?;
            if !haul.over {
                self.wake_if_asleep(Side::Put);
            }
        }
        Ok(())
    }
}

/// The tail, and how many messages fit behind it: at least one.
#[inline]
fn free_tail(ring: &Ring<'_>) -> Result<(Position, usize), PutRefusal> {
    let tail = ring.tail();
    if tail.is_closed() {
        return Err(PutRefusal::Closed);
    }
    match ring.room(tail)? {
        0 => Err(PutRefusal::Full),
        room => Ok((tail, room)),
    }
}

/// What one `get_many` has taken so far.
struct Haul<'a> {
    batch: &'a mut Batch,
    limit: Limit,
    taken: usize,
    bytes: usize,
    /// Whether as much was taken as the limit allows.
    over: bool,
}

impl Haul<'_> {
    /// Copies messages from `head` on; returns the head that gives them up, and why it stopped before a portion
    /// was full.
    fn portion(&mut self, ring: &Ring<'_>, head: Position) -> (Position, Result<(), GetRefusal>) {
        let start = ring.available(head).and_then(|available| Ok((available, ring.run(head)?)));
        let (available, mut run) = match start {
            Ok(start) => start,
            Err(refusal) => return (head, Err(refusal)),
        };
        let end = self.bytes + PORTION_BYTES;
        let last = self.taken + available.min(PORTION_MESSAGES);
        while !self.over && self.taken < last && self.bytes < end {
            self.read_all(ring, &mut run, last, end);
            // What stopped it may be that the chunk ends.
            if !self.over
                && self.taken < last
                && self.bytes < end
                && let Err(refusal) = self.step(ring, &mut run)
            {
                return (run.position(), Err(refusal));
            }
        }
        (run.position(), Ok(()))
    }

    /// Copies messages from `run` on until `last` are taken, or `end` bytes, or something is in the way.
    #[inline]
    fn read_all(&mut self, ring: &Ring<'_>, run: &mut Run<'_>, last: usize, end: usize) {
        let most = last.min(self.limit.max_messages()) - self.taken;
        let Some(bytes) = end.min(self.limit.max_bytes()).checked_sub(self.bytes) else {
            // The first message is taken whatever its size; behind it there is no room for an empty one either.
            self.over = true;
            return;
        };
        let before = self.batch.byte_len();
        self.taken += run.read_all(self.batch, most, bytes, ring.max_message);
        self.bytes += self.batch.byte_len() - before;
        self.over = self.taken >= self.limit.max_messages();
    }

    /// Copies the message at `run`, unless that would exceed the limit.
    #[inline]
    fn step<'a>(&mut self, ring: &Ring<'a>, run: &mut Run<'a>) -> Result<(), GetRefusal> {
        let len = ring.length(run)?;
        if self.taken > 0 && self.bytes.saturating_add(len) > self.limit.max_bytes() {
            self.over = true;
            return Ok(());
        }
        let (messages, bytes) = self.batch.spare();
        if messages == 0 || bytes < len {
            return Err(GetRefusal::TooSmall(len));
        }
        self.batch.push_with(|buffer| ring.copy(run, len, buffer))?;
        (self.taken, self.bytes) = (self.taken + 1, self.bytes + len);
        self.over = self.taken >= self.limit.max_messages();
        Ok(())
    }

    /// Makes room for a message of `len` bytes, and for others like it.
    fn make_room(&mut self, len: usize) -> Result<(), std::collections::TryReserveError> {
        let left = self.limit.max_messages() - self.taken;
        let messages = left.min(self.taken.clamp(PORTION_MESSAGES, 4096));
        let bytes = messages.saturating_mul(len).min(self.bytes.clamp(PORTION_BYTES, TURN_BYTES));
        let bytes = bytes.min(self.limit.max_bytes()).max(len);
        self.batch.try_reserve(messages, bytes)
    }
}
