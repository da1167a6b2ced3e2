//! Putting and getting: the ring's steps under its locks. The loops around them are [`TwoLock`]'s.

use std::ops::Range;

use ipcq_core::os::deliveries::Acknowledging;
use ipcq_core::os::lock::{NotLocked, RobustGuard};
use ipcq_core::os::refusal::{GetRefusal, PutRefusal};
use ipcq_core::os::two_lock::{Haul, PORTION, PORTION_BYTES, TwoLock};
use ipcq_core::os::waiting::{Patience, TwoSided};
use ipcq_core::{BackendError, Batch, GetFault, PutFault, Wait};

use crate::position::Position;
use crate::ring::Ring;
use crate::run::{Run, span};
use crate::segment::Segment;
use crate::store::{Kept, STREAMED_FROM, Streamed};
use crate::wait::Side;

impl TwoLock for Segment {
    const NO_ROOM: &'static str = "the memory for a message could not be had";

    #[inline]
    fn lock_put(&self, wait: Wait) -> Result<RobustGuard<'_>, PutFault> {
        let patience = Patience::default();
        match self.header().put.0.lock.lock_until(|| patience.deadline(wait)) {
            Ok(guard) if guard.is_recovered() => self.lock_put_after_death(guard, wait, &patience),
            Ok(guard) => Ok(guard),
            Err(NotLocked) => Err(self.no_putting(wait)),
        }
    }

    /// Holders of the getters' lock leave nothing to repair when they die.
    #[inline]
    fn lock_get(&self, wait: Wait, patience: &Patience, more: bool) -> Result<RobustGuard<'_>, GetFault> {
        let locked = self.header().get.0.lock.lock_until(|| patience.deadline_of_get(wait, more));
        locked.map_err(|NotLocked| self.no_getting(wait))
    }

    #[inline]
    fn put_one(&self, guard: RobustGuard<'_>, parts: &[&[u8]], len: usize) -> Result<(), PutRefusal> {
        let ring = self.ring();
        let (tail, _) = free_tail(&ring)?;
        let staged = ring.stage(tail, parts, len)?;
        ring.publish(tail, staged)?;
        ring.count_bytes(len);
        guard.unlock_and_wake(self.event(Side::Get));
        self.pass_on(Side::Put);
        if tail.chunk() != staged.chunk() {
            self.memory_was_freed();
        }
        Ok(())
    }

    fn put_portion(&self, batch: &Batch, next: &mut usize) -> Result<usize, PutRefusal> {
        let ring = self.ring();
        let (tail, room) = free_tail(&ring)?;
        let (mut run, last) = (ring.run(tail)?, *next + room.min(PORTION));
        let (first, mut bytes) = (*next, 0);
        let mut outcome = Ok(());
        while *next < last && bytes < PORTION_BYTES {
            let before = run.position().offset();
            let messages = batch.iter_from(*next).take(last - *next);
            let bytes_left = PORTION_BYTES - bytes;
            *next += if is_streamed(batch, *next..last) {
                run.write_all::<Streamed>(messages, ring.max_message, bytes_left)
            } else {
                run.write_all::<Kept>(messages, ring.max_message, bytes_left)
            };
            bytes += run.position().offset() - before;
            // What stopped it may be that the chunk ends.
            let Some(message) = batch.get(*next).filter(|_| *next < last && bytes < PORTION_BYTES) else {
                break;
            };
            if message.len() > ring.max_message {
                break;
            }
            let staged = ring.stage_across(run.position(), &[message], message.len());
            match staged.and_then(|end| Ok(ring.run(end)?)) {
                Ok(end) => run = end,
                Err(stuck) => {
                    outcome = Err(stuck.into());
                    break;
                }
            }
            (*next, bytes) = (*next + 1, bytes + span(message.len()));
        }
        if *next > first {
            if let Err(refusal) = ring.publish(tail, run.position()) {
                *next = first;
                return Err(refusal);
            }
            ring.count_bytes(batch.byte_len_between(first, *next));
        }
        outcome.map(|()| bytes)
    }

    #[inline]
    fn get_one(&self, guard: RobustGuard<'_>, message: &mut Vec<u8>) -> Result<(), GetRefusal> {
        let ring = self.ring();
        let head = ring.head();
        ring.available(head)?;
        let mut run = ring.run(head)?;
        let Ok(len) = ring.length(&run) else { return self.get_one_lent(guard, message) };
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

    fn get_portion(&self, haul: &mut Haul<'_>) -> Result<(), GetRefusal> {
        let ring = self.ring();
        let head = ring.head();
        let (next, outcome) = portion(haul, &ring, head);
        match outcome {
            // What is not in the ring is a portion of its own.
            Err(GetRefusal::Damage) if next == head => return self.get_portion_lent(haul),
            Err(GetRefusal::Damage) => {
                ring.take(head, next);
                return Ok(());
            }
            _ if next != head => ring.take(head, next),
            _ => {}
        }
        outcome
    }

    fn memory_was_freed(&self) {
        self.start_reaper_if_useful();
    }

    fn damaged(&self) -> BackendError {
        self.damaged()
    }

    fn settle_orphans(&self) -> bool {
        self.look_after_deliveries()
    }
}

/// Whether so many messages of `batch` are worth streaming, if the others are as long as the first.
#[inline]
fn is_streamed(batch: &Batch, messages: Range<usize>) -> bool {
    let len = batch.get(messages.start).map_or(0, <[u8]>::len);
    messages.len().min(batch.len().saturating_sub(messages.start)).saturating_mul(span(len)) >= STREAMED_FROM
}

/// The tail, and how many messages fit behind it: at least one.
#[inline]
pub(crate) fn free_tail(ring: &Ring<'_>) -> Result<(Position, usize), PutRefusal> {
    let tail = ring.tail();
    if tail.is_closed() {
        return Err(PutRefusal::Closed);
    }
    match ring.room(tail)? {
        0 => Err(PutRefusal::Full),
        room => Ok((tail, room)),
    }
}

/// Copies messages from `head` on; returns the head that gives them up, and why it stopped before a portion
/// was full.
fn portion(haul: &mut Haul<'_>, ring: &Ring<'_>, head: Position) -> (Position, Result<(), GetRefusal>) {
    let start = ring.available(head).and_then(|available| Ok((available, ring.run(head)?)));
    let (available, mut run) = match start {
        Ok(start) => start,
        Err(refusal) => return (head, Err(refusal)),
    };
    let end = haul.bytes + PORTION_BYTES;
    let last = haul.taken + available.min(PORTION);
    while !haul.over && haul.taken < last && haul.bytes < end {
        read_all(haul, ring, &mut run, last, end);
        // What stopped it may be that the chunk ends.
        if !haul.over
            && haul.taken < last
            && haul.bytes < end
            && let Err(refusal) = step(haul, ring, &mut run)
        {
            return (run.position(), Err(refusal));
        }
    }
    (run.position(), Ok(()))
}

/// Copies messages from `run` on until `last` are taken, or `end` bytes, or something is in the way.
#[inline]
fn read_all(haul: &mut Haul<'_>, ring: &Ring<'_>, run: &mut Run<'_>, last: usize, end: usize) {
    let most = last.min(haul.limit.max_messages()) - haul.taken;
    let Some(bytes) = end.min(haul.limit.max_bytes()).checked_sub(haul.bytes) else {
        // The first message is taken whatever its size; behind it there is no room for an empty one either.
        haul.over = true;
        return;
    };
    let before = haul.batch.byte_len();
    haul.taken += run.read_all(haul.batch, most, bytes, ring.max_message);
    haul.bytes += haul.batch.byte_len() - before;
    haul.over = haul.taken >= haul.limit.max_messages();
}

/// Copies the message at `run`, unless that would exceed the limit.
#[inline]
fn step<'a>(haul: &mut Haul<'_>, ring: &Ring<'a>, run: &mut Run<'a>) -> Result<(), GetRefusal> {
    let len = ring.length(run)?;
    if haul.taken > 0 && haul.bytes.saturating_add(len) > haul.limit.max_bytes() {
        haul.over = true;
        return Ok(());
    }
    let (messages, bytes) = haul.batch.spare();
    if messages == 0 || bytes < len {
        return Err(GetRefusal::TooSmall(len));
    }
    haul.batch.push_with(|buffer| ring.copy(run, len, buffer))?;
    (haul.taken, haul.bytes) = (haul.taken + 1, haul.bytes + len);
    haul.over = haul.taken >= haul.limit.max_messages();
    Ok(())
}
