//! Putting and getting: the flow's steps under its locks. The loops around them are [`TwoLock`]'s.

use std::sync::atomic::Ordering;

use ipcq_core::os::deliveries::Acknowledging;
use ipcq_core::os::lending::Lending;
use ipcq_core::os::lock::{NotLocked, RobustGuard};
use ipcq_core::os::refusal::{GetRefusal, PutRefusal};
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::two_lock::{Haul, PORTION, PORTION_BYTES, TwoLock};
use ipcq_core::os::waiting::{Patience, TwoSided};
use ipcq_core::{BackendError, Batch, GetFault, PutFault, Wait};

use crate::conduit::Conduit;
use crate::flow::Flow;
use crate::record::{HEADER, LARGE};
use crate::wait::Side;

/// Lends nothing: what is in a pipe is nobody's memory.
impl Lending for Conduit {}

impl TwoLock for Conduit {
    const NO_ROOM: &'static str = "the memory or the descriptors it needs could not be had";

    #[inline]
    fn lock_put(&self, wait: Wait) -> Result<RobustGuard<'_>, PutFault> {
        let (side, patience) = (&self.header().put.0, Patience::default());
        match side.lock.lock_until(|| patience.deadline(wait)) {
            Ok(guard) if guard.is_recovered() || side.dirty.load(Ordering::Relaxed) != 0 => {
                self.recover(Side::Put).map_err(|stuck| self.explain_stuck(stuck))?;
                Ok(guard)
            }
            Ok(guard) => Ok(guard),
            Err(NotLocked) => Err(self.no_putting(wait)),
        }
    }

    #[inline]
    fn lock_get(&self, wait: Wait, patience: &Patience, more: bool) -> Result<RobustGuard<'_>, GetFault> {
        let side = &self.header().get.0;
        match side.lock.lock_until(|| patience.deadline_of_get(wait, more)) {
            Ok(guard) if guard.is_recovered() || side.dirty.load(Ordering::Relaxed) != 0 => {
                self.recover(Side::Get).map_err(|stuck| self.explain_stuck(stuck))?;
                Ok(guard)
            }
            Ok(guard) => Ok(guard),
            Err(NotLocked) => Err(self.no_getting(wait)),
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
        if let Err(refusal) = flow.publish(tail, tail.count() + 1) {
            flow.unstage(record, tail.count());
            return Err(refusal);
        }
        flow.count_bytes(len);
        guard.unlock_and_wake(self.event(Side::Get));
        self.pass_on(Side::Put);
        Ok(())
    }

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
            let published = flow.publish(tail, tail.count() + written as u64);
            let put = if published.is_ok() { written } else { 0 };
            let lost = records.chunks_exact(flow.record).take(staged).enumerate().skip(put);
            lost.for_each(|(index, record)| flow.unstage(record, tail.count() + index as u64));
            published?;
            flow.count_bytes(batch.byte_len_between(*next, *next + put));
            *next += put;
            if let Err(stuck) = stuck {
                outcome = Err(stuck.into());
            }
        }
        outcome.map(|()| bytes)
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

    fn get_portion(&self, haul: &mut Haul<'_>) -> Result<(), GetRefusal> {
        let flow = self.flow();
        let head = flow.head();
        let mut lengths = [0; PORTION];
        let chosen = choose(haul, &flow, head, &mut lengths)?;
        let mut records = [0; PORTION * LARGE];
        let records = &mut records[..chosen * flow.record];
        flow.read(records)?;
        let mut number = head;
        for (record, &len) in records.chunks_exact(flow.record).zip(&lengths) {
            let copied = haul.batch.push_with(|buffer| flow.copy(record, number, len, buffer));
            if let Err(damage) = copied {
                flow.take(number);
                return Err(damage.into());
            }
            number += 1;
            (haul.taken, haul.bytes) = (haul.taken + 1, haul.bytes + len);
        }
        flow.take(number);
        Ok(())
    }

    fn memory_was_freed(&self) {
        self.start_reaper_if_useful();
    }

    fn damaged(&self) -> BackendError {
        self.damage()
    }

    #[inline]
    fn settle_orphans(&self) -> bool {
        let mut settled = false;
        for side in [Side::Get, Side::Put] {
            settled |= self.is_orphaned(side) && self.settle_orphan(side);
        }
        settled | self.look_after_deliveries()
    }
}

/// How many messages from `head` on to take at once, and how long they are.
fn choose(
    haul: &mut Haul<'_>,
    flow: &Flow<'_>,
    head: u64,
    lengths: &mut [usize; PORTION],
) -> Result<usize, GetRefusal> {
    let available = flow.available(head)?.min(haul.limit.max_messages() - haul.taken);
    let (mut chosen, mut bytes) = (0, 0);
    let (spare_messages, spare_bytes) = haul.batch.spare();
    for place in lengths.iter_mut().take(available) {
        let len = flow.length(head + chosen as u64)?;
        let first = haul.taken + chosen == 0;
        if !first && haul.bytes.saturating_add(bytes).saturating_add(len) > haul.limit.max_bytes() {
            haul.over = true;
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
    haul.over |= haul.taken + chosen == haul.limit.max_messages();
    Ok(chosen)
}
