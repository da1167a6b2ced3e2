//! Where messages lie that are too long for a record: blocks of a shared file, tagged with the message they belong to.
//!
//! A block is in use if and only if its tag names a message that is in the queue, between head and tail. So taking a
//! message frees its blocks without touching them, and nobody can leak one: what a killed putter had tagged belongs
//! to a message that never came to be. Putters look for free blocks from where they last found some, which in a
//! queue are mostly those that became free first; they take the first again once the queue is empty, because those
//! are warm. What is not found is added at the end of the file, memory first, so that a full file system is an
//! error before anything was touched.
//!
//! All of this runs under the putters' lock, but for reading what is tagged.

use std::io;
use std::iter;
use std::sync::atomic::Ordering;

use ipcq_core::os::refusal::{Damage, Stuck};

use crate::conduit::Storage;
use crate::kernel::PAGE;
use crate::layout::{BLOCK, COUNT, PutSide, TAGS_AT};
use crate::map::Map;
use crate::record::{Extent, Extents};

/// Blocks that an empty queue keeps: 48 KiB of warm memory, with which it has less than 128 KiB.
pub(crate) const KEEP: u32 = 48;

/// Blocks that a queue keeps while somebody asks for messages time and again: with which it has less than 1 MiB more
/// than an empty one.
pub(crate) const WARM: u32 = 1000;

/// The most memory, in blocks, that is given back before the lock is free again: 4 MiB, which takes a millisecond.
const TRIM_STEP: u32 = 4096;

/// Blocks that are added at least, as long as there is memory: a system call for each message would cost more than
/// the message.
const GROW_STEP: u32 = 32;

/// Blocks in a page of memory, and tags.
const PER_PAGE: u32 = 4;
const TAGS_PER_PAGE: u32 = 1024;

/// A block that is free and has memory.
const FREE: u32 = 0;
/// A block that is free and has none.
const COLD: u32 = 1;
/// A block that is free, and about to get some or to lose it.
const UNSURE: u32 = 2;
/// Set in the tag of a block that was given out; the rest is the number of its message.
const OWNED: u32 = 1 << 31;

/// The messages whose blocks are in use: numbers from `head` to before `tail`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) head: u64,
    pub(crate) tail: u64,
}

impl Live {
    /// Whether a block with this tag is in use.
    #[inline]
    fn has(self, tag: u32) -> bool {
        let age = (tag_of(self.tail)).wrapping_sub(tag) & !OWNED;
        tag & OWNED != 0 && age != 0 && u64::from(age) <= self.tail.wrapping_sub(self.head) & COUNT
    }
}

/// The pool of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool<'a> {
    pub(crate) map: &'a Map,
    pub(crate) storage: &'a Storage,
}

impl Pool<'_> {
    fn side(&self) -> &PutSide {
        &self.map.header().put.0
    }

    /// Blocks that are in use or ready to be.
    fn blocks(&self) -> u32 {
        self.map.bounded(self.side().blocks.load(Ordering::Relaxed), self.storage)
    }

    /// Finds room for `len` bytes of message `number`, in `most` extents at most, and tags it.
    pub(crate) fn give(&self, len: usize, number: u64, head: u64, most: usize) -> Result<Extents, Stuck> {
        let side = self.side();
        let wanted = u32::try_from(len.div_ceil(BLOCK)).map_err(|_| too_large())?;
        let live = Live { head, tail: number };
        if live.tail == live.head {
            side.cursor.store(0, Ordering::Relaxed);
        }
        let mut extents = Extents::default();
        let found = self.find(wanted, live, most - 1, &mut extents);
        let added = self.warm(&extents).and_then(|()| self.grow(wanted - found));
        take(added.inspect_err(|_| self.cold(&extents).for_each(|run| self.cool(run)))?, &mut extents);
        extents.iter().for_each(|extent| self.mark(extent, tag_of(number)));
        let given = side.given.load(Ordering::Relaxed).wrapping_add(u64::from(wanted));
        side.given.store(given, Ordering::Relaxed);
        Ok(extents)
    }

    /// Collects up to `wanted` free blocks in up to `most` extents; returns how many.
    pub(crate) fn find(&self, wanted: u32, live: Live, most: usize, extents: &mut Extents) -> u32 {
        let blocks = self.blocks();
        let cursor = self.side().cursor.load(Ordering::Relaxed);
        let (mut block, mut found) = (if cursor < blocks { cursor } else { 0 }, 0);
        // Once around at most, and no longer than a few times what is wanted: free blocks are where the search goes
        // on the next time, and what is missing is added.
        let mut steps = blocks.min(wanted.saturating_mul(4).saturating_add(4096));
        let mut run = Extent { first: block, blocks: 0 };
        while steps > 0 && found < wanted && extents.len() < most {
            if block == blocks {
                found += take(run, extents);
                (block, run) = (0, Extent::default());
                continue;
            }
            if live.has(self.map.tag(block).load(Ordering::Relaxed)) {
                found += take(run, extents);
                run = Extent { first: block + 1, blocks: 0 };
            } else {
                run.blocks += 1;
            }
            (block, steps) = (block + 1, steps - 1);
            if found + run.blocks == wanted {
                break;
            }
        }
        if extents.len() < most {
            run.blocks = run.blocks.min(wanted.saturating_sub(found));
            found += take(run, extents);
        }
        self.side().cursor.store(block, Ordering::Relaxed);
        found
    }

    /// Reserves memory for those blocks of `extents` that may have none.
    pub(crate) fn warm(&self, extents: &Extents) -> io::Result<()> {
        self.cold(extents).try_for_each(|run| {
            self.mark(run, UNSURE);
            self.storage.reserve(self.map.place(run.first), bytes(run))
        })
    }

    /// The runs of blocks in `extents` that may have no memory.
    fn cold(&self, extents: &Extents) -> impl Iterator<Item = Extent> {
        let is_cold = |block: &u32| is_cold(self.map.tag(*block).load(Ordering::Relaxed));
        extents.iter().flat_map(move |extent| {
            let mut rest = extent.first..extent.first + extent.blocks;
            iter::from_fn(move || {
                let first = rest.find(is_cold)?;
                let behind = rest.find(|block| !is_cold(block)).unwrap_or(rest.end);
                Some(Extent { first, blocks: behind - first })
            })
        })
    }

    /// Adds blocks at the end; returns the first `count` of them.
    fn grow(&self, count: u32) -> io::Result<Extent> {
        let blocks = self.blocks();
        if count == 0 {
            return Ok(Extent::default());
        }
        if count > self.map.limit().saturating_sub(blocks) {
            return Err(too_large());
        }
        let step = count.max(GROW_STEP).min(self.map.limit() - blocks);
        let added = match self.reserve(blocks, step) {
            Err(_) if step > count => self.reserve(blocks, count).map(|()| count),
            outcome => outcome.map(|()| step),
        }?;
        for block in blocks..blocks + added {
            self.map.tag(block).store(FREE, Ordering::Relaxed);
        }
        self.side().blocks.store(blocks + added, Ordering::Release);
        self.side().cursor.store(blocks + count, Ordering::Relaxed);
        Ok(Extent { first: blocks, blocks: count })
    }

    /// Reserves the memory of blocks from `first` on, and of their tags.
    fn reserve(&self, first: u32, count: u32) -> io::Result<()> {
        let (at, len) = tag_pages(first, first + count);
        self.storage.reserve(at, len)?;
        let reserved = self.storage.reserve(self.map.place(first), count as usize * BLOCK);
        reserved.inspect_err(|_| self.storage.release(at, len))
    }

    /// Gives back the memory of blocks from `first` to before `end`, which are no blocks any more, and of their tags.
    fn release(&self, first: u32, end: u32) {
        let (at, len) = tag_pages(first, end.max(first));
        self.storage.release(at, len);
        self.storage.release(self.map.place(first), end.saturating_sub(first) as usize * BLOCK);
    }

    /// Forgets what was given to a message that did not come to be.
    #[cold]
    pub(crate) fn take_back(&self, extents: &Extents) {
        self.side().trimmed.store(0, Ordering::Relaxed);
        for extent in extents.iter() {
            for block in extent.first..extent.first.saturating_add(extent.blocks).min(self.blocks()) {
                self.map.tag(block).store(FREE, Ordering::Relaxed);
            }
        }
    }

    /// Repairs what a dead putter left: tags of messages that did not come to be, which would be in use once their
    /// number is, and memory beyond the last block.
    #[cold]
    pub(crate) fn sweep(&self, live: Live) {
        let blocks = self.blocks();
        for block in 0..blocks {
            let tag = self.map.tag(block);
            let was = tag.load(Ordering::Relaxed);
            if !is_cold(was) && !live.has(was) {
                tag.store(FREE, Ordering::Relaxed);
            }
        }
        self.side().trimmed.store(0, Ordering::Relaxed);
        let in_file = self.map.units_in(self.storage).unwrap_or(blocks);
        if in_file.saturating_sub(blocks) > TRIM_STEP {
            // Hundreds of MiB take as many milliseconds, for which nobody else would have the lock.
            self.side().stray.store(in_file, Ordering::Relaxed);
        } else {
            self.release(blocks, in_file);
        }
    }

    /// Gives the memory of free blocks beyond `keep` back; returns whether there may be more to do, so that the lock
    /// can be released in between.
    pub(crate) fn trim(&self, keep: u32, live: Live) -> bool {
        let side = self.side();
        let blocks = self.blocks();
        if side.stray.load(Ordering::Relaxed) != 0 {
            self.trim_stray(blocks);
            return true;
        }
        let is_free = |block: u32| !live.has(self.map.tag(block).load(Ordering::Relaxed));
        let mut end = blocks;
        while end > keep && end > blocks.saturating_sub(TRIM_STEP) && is_free(end - 1) {
            end -= 1;
        }
        if end < blocks {
            side.blocks.store(end, Ordering::Release);
            self.release(end, blocks);
            return end > keep;
        }
        let more = self.trim_inside(keep, end, is_free);
        if !more && keep == KEEP {
            side.trimmed.store(live.head + 1, Ordering::Relaxed);
        }
        more
    }

    /// Gives back some of the memory beyond the last of the `blocks`.
    #[cold]
    fn trim_stray(&self, blocks: u32) {
        let stray = &self.side().stray;
        let end = self.map.bounded(stray.load(Ordering::Relaxed), self.storage);
        let first = end.saturating_sub(TRIM_STEP).max(blocks);
        if first < end {
            self.release(first, end);
        }
        stray.store(if first > blocks { first } else { 0 }, Ordering::Relaxed);
    }

    /// Gives back pages between blocks in use.
    fn trim_inside(&self, keep: u32, end: u32, is_free: impl Fn(u32) -> bool) -> bool {
        let (mut left, mut run) = (TRIM_STEP, Extent::default());
        for page in keep.div_ceil(PER_PAGE)..end / PER_PAGE {
            let first = page * PER_PAGE;
            let in_page = || first..first + PER_PAGE;
            let is_warm = |block| self.map.tag(block).load(Ordering::Relaxed) != COLD;
            if !in_page().all(&is_free) || !in_page().any(is_warm) {
                self.cool(std::mem::take(&mut run));
                continue;
            }
            if run.blocks == 0 {
                run.first = first;
            }
            run.blocks += PER_PAGE;
            left -= PER_PAGE;
            if left < PER_PAGE {
                self.cool(run);
                return true;
            }
        }
        self.cool(run);
        false
    }

    /// Gives the memory of free blocks back. They are marked first: who finds them reserves it again.
    fn cool(&self, run: Extent) {
        self.mark(run, UNSURE);
        self.storage.release(self.map.place(run.first), bytes(run));
        self.mark(run, COLD);
    }

    fn mark(&self, run: Extent, tag: u32) {
        (run.first..run.first + run.blocks)
            .for_each(|block| self.map.tag(block).store(tag, Ordering::Release));
    }

    /// Whether memory may have become free, beyond that of an empty queue, since it was given back last.
    #[inline]
    pub(crate) fn has_much(&self, head: u64) -> bool {
        let side = self.side();
        let untrimmed = || side.trimmed.load(Ordering::Relaxed) != head + 1;
        side.blocks.load(Ordering::Relaxed) > KEEP && untrimmed() || side.stray.load(Ordering::Relaxed) != 0
    }

    /// Whether more than `keep` blocks are in use or ready to be, or a dead putter left memory behind them.
    #[inline]
    pub(crate) fn has_more_than(&self, keep: u32) -> bool {
        let side = self.side();
        side.blocks.load(Ordering::Relaxed) > keep || side.stray.load(Ordering::Relaxed) != 0
    }

    /// Copies `parts` to where `extents` say, one part after the other.
    pub(crate) fn write(&self, extents: &Extents, parts: &[&[u8]]) -> Result<(), Damage> {
        let mut places = extents.iter();
        let (mut extent, mut at) = (places.next().unwrap_or_default(), 0);
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let room = extent.blocks as usize * BLOCK - at;
                if room == 0 {
                    (extent, at) = (places.next().ok_or(Damage)?, 0);
                    continue;
                }
                let (now, later) = rest.split_at(rest.len().min(room));
                self.map.write(extent, at, now, self.storage)?;
                (at, rest) = (at + now.len(), later);
            }
        }
        Ok(())
    }

    /// Appends the message of `len` bytes that lies where `extents` say to `buffer`, which has room for it.
    pub(crate) fn read(&self, extents: &Extents, len: usize, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        let mut left = len;
        for extent in extents.iter() {
            let here = left.min(extent.blocks as usize * BLOCK);
            self.map.read(extent, here, buffer, self.storage)?;
            left -= here;
        }
        if left == 0 { Ok(()) } else { Err(Damage) }
    }

    /// Whether a message of `len` bytes can be in the file: nobody is believed to have sent more than there is.
    pub(crate) fn holds(&self, len: usize) -> bool {
        u32::try_from(len.div_ceil(BLOCK))
            .is_ok_and(|blocks| self.map.bounded(blocks, self.storage) == blocks)
    }
}

/// Whether a block with this tag has to be given memory before it is used.
const fn is_cold(tag: u32) -> bool {
    matches!(tag, COLD | UNSURE)
}

/// The tag of the blocks of message `number`.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
const fn tag_of(number: u64) -> u32 {
    number as u32 | OWNED
}

fn too_large() -> io::Error {
    let text = "the queue's memory, or this process's address space, is as large as it can be";
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

/// Where the pages of tags are, and how many bytes they have, that hold those of blocks from `first` to before `end`
/// and none of a block before, but for the first page of all, which is always there.
fn tag_pages(first: u32, end: u32) -> (usize, usize) {
    let (before, after) = (first.div_ceil(TAGS_PER_PAGE).max(1), end.div_ceil(TAGS_PER_PAGE).max(1));
    (TAGS_AT + before as usize * PAGE, after.saturating_sub(before) as usize * PAGE)
}

/// Adds a run of free blocks; returns how many blocks it has.
fn take(run: Extent, extents: &mut Extents) -> u32 {
    if run.blocks > 0 {
        extents.push(run);
    }
    run.blocks
}

const fn bytes(run: Extent) -> usize {
    run.blocks as usize * BLOCK
}
