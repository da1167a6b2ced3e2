//! Memory that follows content: the ring of chunks, how it grows, shrinks, and is repaired.
//!
//! Everything here runs under the putters' lock, but for reading links behind the tail, which never change.
//!
//! A chunk is in one of four places. In the *ring* it has memory, and holds messages or is free for the tail to
//! enter. *Lent* it belongs to a piece that can be lent (see [`loans`](crate::loans)), or is their table. *Spare* it has no
//! memory. *Loose* it is none of these, which lasts only while a lock holder moves it; when the
//! holder dies, [`Chunks::sweep`] makes it a spare one, and [`Chunks::tidy`] takes the memory that it still has.

mod contiguous;

use std::io;
use std::sync::atomic::Ordering;

use ipcq_core::os::refusal::Stuck;

use crate::layout::{LINKS_AT, PutSide};
use crate::loans;
use crate::map::Map;
use crate::position::{CHUNK, MAX_CHUNKS, Position};
use crate::storage::Storage;

/// Free chunks that a queue keeps: 896 KiB of warm memory, so that an idle queue has less than 1 MiB more than an
/// empty one, with the table of what is lent.
pub(crate) const KEEP: u32 = 14;

/// The most chunks that are given back at a time, so that the lock can be free in between: 4 MiB, which takes about a
/// millisecond.
pub(crate) const TRIM_STEP: u32 = 64;

const LINK: u32 = MAX_CHUNKS - 1;
const MARK: u32 = 1 << 31;

/// The chunks of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks<'a> {
    pub(crate) map: &'a Map,
    pub(crate) storage: &'a Storage,
}

impl Chunks<'_> {
    fn side(&self) -> &PutSide {
        &self.map.header().put.0
    }

    /// The chunk behind `chunk`.
    #[inline]
    pub(crate) fn next(&self, chunk: u32) -> u32 {
        self.map.link(chunk).load(Ordering::Acquire) & LINK
    }

    /// Sees to it that `count` chunks behind the tail's are free for it to enter.
    #[cold]
    pub(crate) fn extend(&self, tail: Position, count: u32) -> Result<(), Stuck> {
        let side = self.side();
        let head = Position(self.map.header().head.0.load(Ordering::Acquire)).chunk();
        // The last chunk that the tail can enter without meeting the head.
        let mut last = tail.chunk();
        for found in 0..count {
            let next = self.next(last);
            if next == head {
                self.grow(last, count - found)?;
                break;
            }
            self.map.chunk(next, self.storage)?;
            last = next;
        }
        let total = tail.total(side.total.load(Ordering::Relaxed));
        side.total.store(total, Ordering::Relaxed);
        side.entered.fetch_add(u64::from(count), Ordering::Relaxed);
        Ok(())
    }

    /// Links `count` chunks with memory of their own in behind `last`.
    fn grow(&self, last: u32, count: u32) -> Result<(), Stuck> {
        let fresh = self.obtain(count)?;
        // Publishes the links of the fresh chunks along with the first of them.
        self.map.link(fresh.last).store(self.next(last), Ordering::Relaxed);
        self.map.link(last).store(fresh.first, Ordering::Release);
        let ring = &self.map.header().memory.0.ring;
        ring.store(ring.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
        Ok(())
    }

    /// Takes `count` chunks from the spare ones and from the end of the file, reserves their memory, and links
    /// them with each other. Whoever dies in here leaves loose chunks.
    fn obtain(&self, count: u32) -> Result<Chain, Stuck> {
        let side = self.side();
        let chunks = side.chunks.load(Ordering::Relaxed).min(MAX_CHUNKS);
        let spare = Spare(side.spare.load(Ordering::Relaxed));
        let reused = spare.count().min(count);
        let added = count - reused;
        if added > self.map.limit().saturating_sub(chunks) {
            let text = "the queue's memory, or this process's address space, is as large as it can be";
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, text).into());
        }
        self.reserve_links(chunks, added)?;
        let last_reused = self.reserve_spare(spare.first(), reused)?;
        if let Err(error) = self.storage.reserve(self.map.place(chunks), added as usize * CHUNK) {
            self.release_chain(spare.first(), reused);
            return Err(error.into());
        }
        let rest = Spare::new(self.next(last_reused), spare.count() - reused);
        for chunk in chunks..chunks + added {
            self.map.link(chunk).store((chunk + 1) & LINK, Ordering::Relaxed);
        }
        side.chunks.store(chunks + added, Ordering::Release);
        let last = if added > 0 { chunks + added - 1 } else { last_reused };
        if reused == 0 {
            return Ok(Chain { first: chunks, last });
        }
        if added > 0 {
            self.map.link(last_reused).store(chunks, Ordering::Relaxed);
        }
        side.spare.store(rest.0, Ordering::Release);
        Ok(Chain { first: spare.first(), last })
    }

    /// Links have memory a page at a time, reserved when the first of a page is used.
    fn reserve_links(&self, from: u32, count: u32) -> io::Result<()> {
        const PER_PAGE: u32 = 1024;
        let (before, after) = (from.div_ceil(PER_PAGE), (from + count).div_ceil(PER_PAGE));
        let at = LINKS_AT + before as usize * 4096;
        if after > before { self.storage.reserve(at, (after - before) as usize * 4096) } else { Ok(()) }
    }

    /// Reserves the memory of `count` spare chunks from `first` on, and returns the last of them.
    fn reserve_spare(&self, first: u32, count: u32) -> Result<u32, Stuck> {
        let (mut reserved, mut last, mut outcome) = (0, first, Ok(()));
        self.runs(first, count, |start, len| {
            if outcome.is_ok() {
                outcome = self.storage.reserve(self.map.place(start), len as usize * CHUNK);
                reserved += if outcome.is_ok() { len } else { 0 };
                last = start + len - 1;
            }
        });
        match outcome {
            Ok(()) => Ok(last),
            Err(error) => {
                self.release_chain(first, reserved);
                Err(error.into())
            }
        }
    }

    /// Gives back the memory of `count` chunks that are linked with each other.
    fn release_chain(&self, first: u32, count: u32) {
        self.runs(first, count, |first, len| {
            self.storage.release(self.map.place(first), len as usize * CHUNK)
        });
    }

    /// Calls `each` with every run of neighbours (first, length) among `count` linked chunks from `first` on.
    fn runs(&self, first: u32, count: u32, mut each: impl FnMut(u32, u32)) {
        let (mut start, mut len) = (first, 0);
        let mut chunk = first;
        for _ in 0..count {
            if chunk != start.wrapping_add(len) {
                each(start, len);
                (start, len) = (chunk, 0);
            }
            len += 1;
            chunk = self.next(chunk);
        }
        if len > 0 {
            each(start, len);
        }
    }

    /// Unlinks free chunks beyond `keep` from the ring and gives their memory back; returns whether there may be
    /// more to do, so that the lock can be released in between.
    pub(crate) fn trim(&self, keep: u32) -> bool {
        let header = self.map.header();
        let tail = Position(header.tail.0.load(Ordering::Relaxed)).chunk();
        let head = Position(header.head.0.load(Ordering::Acquire)).chunk();
        let ring = header.memory.0.ring.load(Ordering::Relaxed).min(MAX_CHUNKS);
        let mut kept = tail;
        if self.map.units_in(self.storage).is_ok_and(|in_file| tail >= in_file) {
            return false;
        }
        // A damaged ring may not come back to the tail.
        for _ in 0..keep.min(MAX_CHUNKS) {
            let next = self.next(kept);
            if next == head || next == tail {
                return false;
            }
            kept = next;
        }
        let first = self.next(kept);
        let (mut last, mut count) = (kept, 0);
        while count < ring.min(TRIM_STEP) && self.next(last) != head && self.next(last) != tail {
            last = self.next(last);
            count += 1;
        }
        if count == 0 {
            return false;
        }
        self.map.link(kept).store(self.next(last), Ordering::Release);
        header.memory.0.ring.store(ring.saturating_sub(count), Ordering::Relaxed);
        self.release_chain(first, count);
        let spare = Spare(header.put.0.spare.load(Ordering::Relaxed));
        self.map.link(last).store(spare.first(), Ordering::Relaxed);
        header.put.0.spare.store(Spare::new(first, spare.count() + count).0, Ordering::Release);
        count == TRIM_STEP
    }

    /// Repairs what a lock holder left behind when it died: chunks that are neither in the ring nor lent become spare ones. What
    /// memory they have is left to [`tidy`](Self::tidy).
    #[cold]
    pub(crate) fn sweep(&self) {
        let header = self.map.header();
        // All that the file has, not all that this process could map: what it does not see is not loose.
        let Ok(in_file) = self.map.units_in(self.storage) else { return };
        let mut chunks = header.put.0.chunks.load(Ordering::Relaxed).min(in_file);
        // What was reserved and never became a chunk becomes one, for want of another place to remember it.
        if self.reserve_links(chunks, in_file - chunks).is_ok() {
            chunks = in_file;
        } else {
            self.storage.release(self.map.place(chunks), (in_file - chunks) as usize * CHUNK);
        }
        let tail = Position(header.tail.0.load(Ordering::Relaxed)).chunk();
        for chunk in 0..chunks {
            self.map.link(chunk).fetch_and(!MARK, Ordering::Relaxed);
        }
        let (mut chunk, mut ring) = (tail, 0);
        while ring < chunks && self.map.link(chunk).load(Ordering::Relaxed) & MARK == 0 {
            self.mark(chunk);
            chunk = self.next(chunk);
            ring += 1;
        }
        loans::for_each_run(*self, chunks, |first, len| {
            (first..first + len).for_each(|chunk| self.mark(chunk));
        });
        let spare = self.link_unmarked(chunks);
        header.memory.0.unswept.store(spare.0, Ordering::Relaxed);
        header.put.0.chunks.store(chunks, Ordering::Relaxed);
        header.memory.0.ring.store(ring, Ordering::Relaxed);
        header.put.0.spare.store(spare.0, Ordering::Release);
    }

    fn mark(&self, chunk: u32) {
        self.map.link(chunk).fetch_or(MARK, Ordering::Relaxed);
    }

    /// Links all chunks that are not marked with each other.
    fn link_unmarked(&self, chunks: u32) -> Spare {
        let (mut first, mut count) = (0, 0);
        for chunk in (0..chunks).rev() {
            let link = self.map.link(chunk);
            if link.load(Ordering::Relaxed) & MARK == 0 {
                link.store(first, Ordering::Relaxed);
                (first, count) = (chunk, count + 1);
            }
        }
        Spare::new(first, count)
    }

    /// Whether there is something to [`tidy`](Self::tidy).
    #[inline]
    pub(crate) fn are_untidy(&self) -> bool {
        Spare(self.map.header().memory.0.unswept.load(Ordering::Relaxed)).count() > 0
    }

    /// Gives back what memory spare chunks have since the last [`sweep`](Self::sweep), [`TRIM_STEP`] of them at a
    /// time; returns whether there is more to do, so that the lock can be released in between.
    ///
    /// Spare chunks are taken and given at the front of their list, and these are at its end; so who takes some
    /// meanwhile leaves fewer to look at, and nothing else changes.
    #[cold]
    pub(crate) fn tidy(&self) -> bool {
        let spare = Spare(self.side().spare.load(Ordering::Relaxed));
        let unswept = &self.map.header().memory.0.unswept;
        let noted = Spare(unswept.load(Ordering::Relaxed));
        let left = if noted.count() < spare.count() { noted } else { spare };
        // Nobody is believed to have more chunks than there are.
        let count = left.count().min(self.map.units_in(self.storage).unwrap_or(0));
        let step = count.min(TRIM_STEP);
        self.release_chain(left.first(), step);
        let next = (0..step).fold(left.first(), |chunk, _| self.next(chunk));
        unswept.store(Spare::new(next, count - step).0, Ordering::Relaxed);
        count > step
    }
}

/// Chunks that are linked with each other, and have memory.
struct Chain {
    first: u32,
    last: u32,
}

/// The spare chunks, packed into one word: how many, and the first of them.
#[derive(Clone, Copy)]
struct Spare(u64);

impl Spare {
    const fn new(first: u32, count: u32) -> Self {
        Self(((count as u64) << 32) | (first & LINK) as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to 19 bits")]
    const fn first(self) -> u32 {
        self.0 as u32 & LINK
    }

    fn count(self) -> u32 {
        u32::try_from(self.0 >> 32).map_or(0, |count| count.min(MAX_CHUNKS))
    }
}

#[cfg(test)]
mod tests {
    use ipcq_core::{Identity, QueueOptions, Wait};

    use ipcq_core::os::mapping::Mapping;
    use ipcq_core::os::two_lock::TwoLock;

    use super::*;
    use crate::segment::Segment;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn who_maps_a_part_repairs_without_harm_to_the_rest() -> Tested {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile()?.into(), identity)?;
        for number in 0..8 {
            segment.put(&[&vec![number; 1 << 20]], Wait::No)?;
        }
        let part = Map::new(Mapping::between(segment.storage(), 4, 4)?, None);
        Chunks { map: &part, storage: segment.storage() }.sweep();
        let mut message = Vec::new();
        for number in 0..8 {
            segment.get(&mut message, Wait::No)?;
            assert_eq!(message, vec![number; 1 << 20]);
        }
        Ok(())
    }
}
