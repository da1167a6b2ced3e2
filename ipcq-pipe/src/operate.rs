//! Putting and getting: the flow's steps under its locks, and what happens when they cannot go on.

use ipcq_core::os::lock::RobustGuard;
use ipcq_core::os::waiting::TwoSided;
use ipcq_core::{Batch, GetFault, Limit, PutFault, Wait};

use crate::conduit::Conduit;
use crate::flow::{Flow, GetRefusal, PutRefusal};
use crate::layout::PORTION;
use crate::record::{HEADER, LARGE};
use crate::wait::Side;

/// Bytes of a portion of messages that become visible together: few enough that the other side starts early.
const PORTION_BYTES: usize = 32 * 1024;

/// Bytes after which the lock of a batch is offered to others.
const TURN_BYTES: usize = 1 << 20;

impl Conduit {
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
        let flow = self.flow();
        let (tail, _) = flow.free_tail()?;
        let mut record = [0; LARGE];
        let record = &mut record[..flow.record];
        flow.stage(record, tail.count(), parts, len)?;
        flow.side().wrote_one();
        if let Err(stuck) = flow.write(record) {
            flow.unstage(record, tail.count());
            return Err(stuck.into());
        }
        flow.publish(tail, tail.count() + 1)?;
        guard.unlock_and_wake(self.event(Side::Get));
        self.pass_on(Side::Put);
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

    /// Writes a portion of messages and publishes it; returns how many bytes that were, 0 when there was nothing to
    /// put.
    fn put_portion(&self, batch: &Batch, next: &mut usize) -> Result<usize, PutRefusal> {
        let flow = self.flow();
        let (tail, room) = flow.free_tail()?;
        let mut records = [0; PORTION * LARGE];
        let (mut staged, mut bytes) = (0, 0);
        let mut outcome = Ok(());
        let places = records.chunks_exact_mut(flow.record).take(room.min(PORTION));
        for (message, record) in batch.iter_from(*next).zip(places) {
            let len = message.len();
            if len > flow.max_message || bytes >= PORTION_BYTES {
                break;
            }
            if let Err(stuck) = flow.stage(record, tail.count() + staged as u64, &[message], len) {
                outcome = Err(stuck.into());
                break;
            }
            (staged, bytes) = (staged + 1, bytes + len + 1);
        }
        if staged > 0 {
            let (written, stuck) = flow.write_many(&records[..staged * flow.record], tail.count());
            if let Err(stuck) = stuck {
                let lost = records.chunks_exact(flow.record).take(staged).enumerate().skip(written);
                lost.for_each(|(index, record)| flow.unstage(record, tail.count() + index as u64));
                outcome = Err(stuck.into());
            }
            flow.publish(tail, tail.count() + written as u64)?;
            *next += written;
        }
        outcome.map(|()| bytes)
    }

    /// Gets one message; see [`Channel::get`](ipcq_core::Channel::get).
    #[inline]
    pub(crate) fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        message.clear();
        loop {
            let guard = self.lock_get(wait)?;
            match self.get_one(guard, message) {
                Ok(()) => return Ok(()),
                Err(GetRefusal::Empty) => self.wait_for_message(wait)?,
                Err(GetRefusal::TooSmall(len)) => {
                    message.try_reserve_exact(len).map_err(|error| self.no_memory(len, error))?;
                }
                Err(refusal) => return Err(self.explain_get(refusal)),
            }
        }
    }

    #[inline]
    fn get_one(&self, guard: RobustGuard<'_>, message: &mut Vec<u8>) -> Result<(), GetRefusal> {
        let flow = self.flow();
        let head = flow.head();
        flow.available(head)?;
        let len = flow.length(head)?;
        if len > message.capacity() {
            return Err(GetRefusal::TooSmall(len));
        }
        let mut record = [0; LARGE];
        let record = &mut record[..flow.record];
        flow.read(record)?;
        flow.copy(record, head, len, message)?;
        flow.take(head + 1);
        guard.unlock_and_wake(self.event(Side::Put));
        self.pass_on(Side::Get);
        if len > flow.record - HEADER {
            self.memory_was_freed();
        }
        Ok(())
    }

    /// Gets many messages; see [`Channel::get_many`](ipcq_core::Channel::get_many).
    pub(crate) fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        let mut haul = Haul { batch, limit, taken: 0, bytes: 0, over: limit.max_messages() == 0 };
        while !haul.over {
            match self.get_turn(&mut haul, wait) {
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
    fn get_turn(&self, haul: &mut Haul<'_>, wait: Wait) -> Result<(), GetFault> {
        let guard = self.lock_get(if haul.taken == 0 { wait } else { Wait::No })?;
        let outcome = self.get_portions(haul);
        guard.unlock_and_wake(self.event(Side::Put));
        match outcome {
            Ok(()) => Ok(()),
            Err(GetRefusal::TooSmall(len)) => {
                haul.make_room(len).map_err(|error| self.no_memory(len, error).into())
            }
            Err(GetRefusal::Empty) if haul.taken == 0 => self.wait_for_message(wait),
            Err(refusal) => Err(self.explain_get(refusal)),
        }
    }

    fn get_portions(&self, haul: &mut Haul<'_>) -> Result<(), GetRefusal> {
        let flow = self.flow();
        let turn = haul.bytes + TURN_BYTES;
        while !haul.over && haul.bytes < turn {
            haul.portion(&flow)?;
            if !haul.over {
                self.wake_if_asleep(Side::Put);
            }
        }
        Ok(())
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
    /// Takes some messages: as many as there are, the limit and the room in the batch allow, and a portion has.
    fn portion(&mut self, flow: &Flow<'_>) -> Result<(), GetRefusal> {
        let head = flow.head();
        let mut lengths = [0; PORTION];
        let chosen = self.choose(flow, head, &mut lengths)?;
        let mut records = [0; PORTION * LARGE];
        let records = &mut records[..chosen * flow.record];
        flow.read(records)?;
        let mut number = head;
        for (record, &len) in records.chunks_exact(flow.record).zip(&lengths) {
            let copied = self.batch.push_with(|buffer| flow.copy(record, number, len, buffer));
            if let Err(damage) = copied {
                flow.take(number);
                return Err(damage.into());
            }
            number += 1;
            (self.taken, self.bytes) = (self.taken + 1, self.bytes + len);
        }
        flow.take(number);
        Ok(())
    }

    /// How many messages from `head` on to take at once, and how long they are.
    fn choose(
        &mut self,
        flow: &Flow<'_>,
        head: u64,
        lengths: &mut [usize; PORTION],
    ) -> Result<usize, GetRefusal> {
        let available = flow.available(head)?.min(self.limit.max_messages() - self.taken);
        let (mut chosen, mut bytes) = (0, 0);
        let (spare_messages, spare_bytes) = self.batch.spare();
        for place in lengths.iter_mut().take(available) {
            let len = flow.length(head + chosen as u64)?;
            let first = self.taken + chosen == 0;
            if !first && self.bytes.saturating_add(bytes).saturating_add(len) > self.limit.max_bytes() {
                self.over = true;
                break;
            }
            if chosen == spare_messages || bytes + len > spare_bytes {
                if chosen == 0 {
                    return Err(GetRefusal::TooSmall(len));
                }
                break;
            }
            *place = len;
            (chosen, bytes) = (chosen + 1, bytes + len);
            if bytes >= PORTION_BYTES {
                break;
            }
        }
        self.over |= self.taken + chosen == self.limit.max_messages();
        Ok(chosen)
    }

    /// Makes room for a message of `len` bytes, and for others like it.
    fn make_room(&mut self, len: usize) -> Result<(), std::collections::TryReserveError> {
        let left = self.limit.max_messages() - self.taken;
        let messages = left.min(self.taken.clamp(PORTION, 4096));
        let bytes = messages.saturating_mul(len).min(self.bytes.clamp(PORTION_BYTES, TURN_BYTES));
        let bytes = bytes.min(self.limit.max_bytes()).max(len);
        self.batch.try_reserve(messages, bytes)
    }
}
