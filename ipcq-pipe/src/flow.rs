//! The queue algorithm: records in a pipe, and two counts that say which of them are in the queue.
//!
//! A putter, under the putters' lock, writes a record into the pipe and publishes it by one compare-and-swap of
//! `tail`; a getter, under the getters' lock, reads a record that is before `tail`, copies the message out, and gives
//! it up by one store of `head`. Nobody reads at or beyond `tail`, so a record that was not published is not there.
//! The two-lock queue is Michael and Scott's (PODC 1996); the numbers in the records, and what
//! [recovery](crate::recover) concludes from them, are our own.
//!
//! | word | stored by, ordering | loaded by, ordering | what the pair makes visible |
//! |------|---------------------|---------------------|-----------------------------|
//! | tail | putter, Release CAS | getter, Acquire     | T1: the record is in the pipe, its length and its blocks are written |
//! | tail | closer, SeqCst RMW  | putter, CAS failure | T2: nothing is put after the closing |
//! | head | getter, Release     | putter, Acquire     | H1: the message was copied out, its blocks may be overwritten |
//! | lock | holder, SeqCst swap | sleeper, SeqCst     | S1: see `RobustLock::synchronize` |
//!
//! `seen_head` and `seen_tail` are copies on the lock's own cache line, so that the line of the other side is
//! touched only when the copy says full or empty.

use std::io;
use std::sync::atomic::Ordering;

use ipcq_core::os::ends::{CLOSED, Ends, REMOVED};
use ipcq_core::os::refusal::{Damage, GetRefusal, PutRefusal, Stuck};
use ipcq_core::os::two_lock::PORTION;

use crate::conduit::Storage;
use crate::kernel::Pipe;
use crate::layout::{COUNT, GetSide, Header, PutSide};
use crate::map::Map;
use crate::pool::Pool;
use crate::record::{self, Extents, HEADER, LARGE, max_extents};

/// The tail as it was at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail(pub(crate) u64);

impl Tail {
    pub(crate) const fn is_closed(self) -> bool {
        self.0 & (CLOSED | REMOVED) != 0
    }

    /// The number of the next message.
    pub(crate) const fn count(self) -> u64 {
        self.0 & COUNT
    }

    /// How many messages lie between `head` and this tail.
    pub(crate) const fn since(self, head: u64) -> u64 {
        self.count().wrapping_sub(head) & COUNT
    }
}

/// The records of a queue in its pipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow<'a> {
    pub(crate) map: &'a Map,
    pub(crate) storage: &'a Storage,
    pub(crate) pipe: &'a Pipe,
    pub(crate) capacity: usize,
    pub(crate) max_message: usize,
    /// The bytes of a record.
    pub(crate) record: usize,
    /// Pages of the pipe beyond those that hold the capacity.
    pub(crate) spare_pages: u32,
}

impl<'a> Flow<'a> {
    pub(crate) const fn pool(&self) -> Pool<'a> {
        Pool { map: self.map, storage: self.storage }
    }

    pub(crate) fn side(&self) -> &'a PutSide {
        &self.map.header().put.0
    }

    pub(crate) fn get_side(&self) -> &'a GetSide {
        &self.map.header().get.0
    }

    #[inline]
    pub(crate) fn tail(&self) -> Tail {
        Tail(self.map.header().tail.0.load(Ordering::Acquire)) // T1
    }

    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.map.header().head.0.load(Ordering::Acquire) & COUNT // H1
    }

    /// The place where the length of message `number` is kept.
    #[inline]
    fn length_at(&self, number: u64) -> &'a std::sync::atomic::AtomicU32 {
        let ring = self.capacity.next_power_of_two() - 1;
        self.map.length(record::low(number) as usize & ring)
    }

    /// The tail, and how many messages fit behind it: at least one.
    ///
    /// More messages than the capacity are damage, and must not pass for a full queue: whoever waits for room would
    /// see that it is not full, and try again for ever.
    #[inline]
    pub(crate) fn free_tail(&self) -> Result<(Tail, usize), PutRefusal> {
        let tail = self.tail();
        if tail.is_closed() {
            return Err(PutRefusal::Closed);
        }
        let seen = &self.side().seen_head;
        let mut len = tail.since(seen.load(Ordering::Relaxed));
        if len >= self.capacity as u64 {
            let left = self.left(tail);
            seen.store(left, Ordering::Relaxed);
            len = tail.since(left);
        }
        let len = usize::try_from(len).map_err(|_| Damage)?;
        match self.capacity.checked_sub(len).ok_or(Damage)? {
            0 => Err(PutRefusal::Full),
            room => Ok((tail, room)),
        }
    }

    /// Which messages before `tail` have left for good: those before the head, unless messages are acknowledged.
    fn left(&self, tail: Tail) -> u64 {
        let Some(deliveries) = self.map.deliveries() else { return self.head() };
        let remaining = deliveries.ledger().unsettled(Header::count(tail.0));
        tail.count().wrapping_sub(u64::from(remaining)) & COUNT
    }

    /// Makes the record of message `number`, and stores what does not fit into it.
    #[inline]
    pub(crate) fn stage(
        &self,
        record: &mut [u8],
        number: u64,
        parts: &[&[u8]],
        len: usize,
    ) -> Result<(), Stuck> {
        let length = u32::try_from(len).map_err(|_| Damage)?;
        self.length_at(number).store(length, Ordering::Relaxed);
        let (head, mut rest) = record.split_at_mut_checked(HEADER).ok_or(Damage)?;
        head.copy_from_slice(&record::header(number, length));
        if len > rest.len() {
            return self.stage_long(record, number, parts, len);
        }
        for part in parts {
            let (now, later) = rest.split_at_mut_checked(part.len()).ok_or(Damage)?;
            now.copy_from_slice(part);
            rest = later;
        }
        Ok(())
    }

    #[inline(never)]
    fn stage_long(&self, record: &mut [u8], number: u64, parts: &[&[u8]], len: usize) -> Result<(), Stuck> {
        let extents = self.pool().give(len, number, self.head(), max_extents(self.record))?;
        if let Err(damage) = self.pool().write(&extents, parts) {
            self.pool().take_back(&extents);
            return Err(damage.into());
        }
        extents.write(record);
        Ok(())
    }

    /// Forgets the message of a record that did not come to be.
    #[cold]
    pub(crate) fn unstage(&self, record: &[u8], number: u64) {
        if record::length(record, number).is_ok_and(|len| len > self.record - HEADER) {
            self.pool().take_back(&Extents::read(record));
        }
    }

    /// Writes whole records; returns how many. There is room, unless something else has put it to use.
    #[inline]
    pub(crate) fn write(&self, records: &[u8]) -> Result<usize, Stuck> {
        match self.pipe.write(records) {
            Ok(written) if written != 0 && written.is_multiple_of(self.record) => Ok(written / self.record),
            Ok(_) => Err(Stuck::Damage),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }

    /// Makes everything before message `to` visible, if the tail is still `from`: once the queue is closed, it is
    /// not.
    #[inline]
    pub(crate) fn publish(&self, from: Tail, to: u64) -> Result<(), PutRefusal> {
        let tail = &self.map.header().tail.0;
        // T1, T2
        match tail.compare_exchange(from.0, to & COUNT, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(now) if now & COUNT == from.0 => Err(PutRefusal::Closed),
            Err(_) => Err(PutRefusal::Stuck(Stuck::Damage)),
        }
    }

    /// Counts `len` bytes of messages that were published.
    #[inline]
    pub(crate) fn count_bytes(&self, len: usize) {
        let bytes = &self.side().bytes;
        bytes.store(bytes.load(Ordering::Relaxed).wrapping_add(len as u64), Ordering::Relaxed);
    }

    /// How many messages can be taken from `head` on, of those that are known of. Not 0.
    #[inline]
    pub(crate) fn available(&self, head: u64) -> Result<usize, GetRefusal> {
        let side = self.get_side();
        if side.removed.load(Ordering::Relaxed) != 0 {
            return Err(GetRefusal::Closed);
        }
        let capacity = self.capacity as u64;
        let seen = side.seen_tail.load(Ordering::Relaxed).wrapping_sub(head);
        let len = if (1..=capacity).contains(&seen) {
            seen
        } else {
            let tail = self.tail();
            side.seen_tail.store(tail.count(), Ordering::Relaxed);
            match tail.since(head) {
                0 if tail.is_closed() => return Err(GetRefusal::Closed),
                0 => return Err(GetRefusal::Empty),
                len if len <= capacity => len,
                _ => return Err(GetRefusal::Damage),
            }
        };
        usize::try_from(len).map_err(|_| GetRefusal::Damage)
    }

    /// The length of message `number`, as far as it can be told before its record is read.
    #[inline]
    pub(crate) fn length(&self, number: u64) -> Result<usize, Damage> {
        let len = self.length_at(number).load(Ordering::Relaxed) as usize;
        let fits = len <= self.record - HEADER || self.pool().holds(len);
        if len <= self.max_message && fits { Ok(len) } else { Err(Damage) }
    }

    /// Reads as many records as `records` has room for, all of which must be there.
    #[inline]
    pub(crate) fn read(&self, records: &mut [u8]) -> Result<(), Damage> {
        debug_assert!(records.len() <= PORTION * LARGE);
        match self.pipe.read(records) {
            Ok(read) if read == records.len() => Ok(()),
            _ => Err(Damage),
        }
    }

    /// Appends message `number`, whose record this is, to `buffer`, which has room for `len` bytes: what
    /// [`length`](Self::length) said.
    #[inline]
    pub(crate) fn copy(
        &self,
        record: &[u8],
        number: u64,
        len: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Damage> {
        if record::length(record, number)? != len {
            return Err(Damage);
        }
        match record.get(HEADER..HEADER + len) {
            Some(message) => {
                buffer.extend_from_slice(message);
                Ok(())
            }
            None => self.pool().read(&Extents::read(record), len, buffer),
        }
    }

    /// Gives up every message before `to`.
    #[inline]
    pub(crate) fn take(&self, to: u64) {
        self.map.header().head.0.store(to & COUNT, Ordering::Release); // H1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ipcq_core::os::shared_queue::SharedQueue;
    use ipcq_core::os::two_lock::TwoLock;
    use ipcq_core::{BackendErrorKind, Capacity, GetFault, Identity, QueueOptions, Wait};

    use super::*;
    use crate::conduit::Conduit;
    use crate::record::Extent;
    use crate::size;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// A queue with one message of `len` bytes.
    fn conduit(len: usize) -> Result<Arc<Conduit>, Box<dyn std::error::Error>> {
        let pipe = Pipe::unnamed()?;
        let settled = size::settle(&pipe, 8, Capacity::Exactly(8))?;
        let identity = Identity::new(crate::NAME, None, 1, 8, &QueueOptions::new());
        let file = tempfile::tempfile_in("/dev/shm")?.into();
        let conduit = Conduit::create(file, pipe, settled, identity)?;
        conduit.put(&[&vec![7; len]], Wait::No)?;
        Ok(conduit)
    }

    /// What a get says is damage; returns how much memory it took for the message.
    fn get_finds_damage(conduit: &Conduit) -> Result<usize, Box<dyn std::error::Error>> {
        let mut message = Vec::new();
        match conduit.get(&mut message, Wait::No) {
            Err(GetFault::Backend(error)) if error.kind() == BackendErrorKind::Damaged => {
                Ok(message.capacity())
            }
            outcome => Err(format!("{outcome:?}, {} bytes", message.len()).into()),
        }
    }

    #[test]
    fn a_length_that_the_record_does_not_confirm_is_damage() -> Tested {
        for (len, others) in [(40, [0, 39, 41]), (5000, [100, 4999, 5001])] {
            for other in others {
                let conduit = conduit(len)?;
                conduit.flow().length_at(0).store(other, Ordering::Relaxed);
                get_finds_damage(&conduit).map_err(|error| format!("{len} and {other}: {error}"))?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_length_beyond_the_file_is_damage_and_not_believed() -> Tested {
        let conduit = conduit(40)?;
        conduit.flow().length_at(0).store(1 << 29, Ordering::Relaxed);
        assert_eq!(get_finds_damage(&conduit)?, 0);
        Ok(())
    }

    /// The mapping goes on there, and whoever touches it is killed.
    #[test]
    fn blocks_beyond_the_file_are_damage() -> Tested {
        for first in [1 << 22, (1 << 24) - 1, u32::MAX] {
            let conduit = conduit(5000)?;
            let mut bytes = [0; LARGE];
            conduit.flow().read(&mut bytes).map_err(|damage| format!("{damage:?}"))?;
            let mut extents = Extents::default();
            extents.push(Extent { first, blocks: 5 });
            extents.write(&mut bytes);
            conduit.flow().pipe.write(&bytes)?;
            assert!(conduit.mapping().limit() > 1 << 22, "the mapping does not go on");
            get_finds_damage(&conduit)?;
        }
        Ok(())
    }
}
