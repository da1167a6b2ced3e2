//! Where the bytes of deliveries lie: blocks, tagged with the entry and the number of their message.
//!
//! A block is in use if and only if the entry that its tag names has that message. So a message that leaves frees its
//! blocks without touching them, and nobody can leak one: what a killed getter had tagged belongs to a message that it
//! did not take. The search goes on where it last found some; what is not found is added at the end, memory first, so
//! that a full file system is an error before anything was touched.

use std::io;
use std::sync::atomic::Ordering;

use super::Store;
use super::entry::Kind;
use super::layout::{BLOCK, BLOCKS_AT, EXTENTS, Entry, MAX_BLOCKS, PAGE, TAGS_AT};
use crate::os::refusal::{Damage, Stuck};

/// Blocks that an empty pool keeps: 64 KiB of warm memory.
const KEEP: u32 = 64;
/// Blocks that are added at least.
const GROW_STEP: u32 = 32;
/// The most memory, in blocks, that is given back before the lock is free again: 4 MiB.
const TRIM_STEP: u32 = 4096;
/// How many blocks are looked at where most are in use.
const LOOKS: u32 = 256;
const PER_PAGE: u32 = 4;
const TAGS_PER_PAGE: u32 = 512;

/// A block that is free and has memory.
const FREE: u64 = 0;
/// A block that is free and may have none.
const COLD: u64 = 1;
const NUMBER_BITS: u32 = 42;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// The tag of the blocks of message `number`, which has the entry `index`.
const fn tag_of(index: u32, number: u64) -> u64 {
    ((index as u64 + 1) << NUMBER_BITS) | (number & NUMBER_MASK)
}

/// A run of blocks.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    first: u32,
    blocks: u32,
}

impl Extent {
    const fn pack(self) -> u64 {
        ((self.first as u64) << 32) | self.blocks as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves are meant")]
    const fn unpack(word: u64) -> Self {
        Self { first: (word >> 32) as u32, blocks: word as u32 }
    }
}

/// The runs of one message.
#[derive(Debug, Default)]
pub(super) struct Extents {
    runs: [Extent; EXTENTS],
    len: usize,
}

impl Extents {
    fn push(&mut self, extent: Extent) {
        self.runs[self.len] = extent;
        self.len += 1;
    }

    fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.runs[..self.len].iter().copied()
    }

    /// Writes them into `entry`.
    pub(super) fn save(&self, entry: &Entry) {
        for (word, run) in entry.extents.iter().zip(self.runs) {
            word.store(run.pack(), Ordering::Relaxed);
        }
    }
}

impl Store<'_> {
    fn blocks(&self) -> u32 {
        self.books().blocks.load(Ordering::Relaxed).min(self.map().block_limit())
    }

    fn is_free(&self, block: u32) -> bool {
        let tag = self.map().tag(block).load(Ordering::Relaxed);
        let Some(index) = (tag >> NUMBER_BITS).checked_sub(1) else { return true };
        let entry = self.entry(u32::try_from(index).unwrap_or(0));
        entry.state().kind == Kind::Free || entry.number() & NUMBER_MASK != tag & NUMBER_MASK
    }

    /// Finds room for `bytes`, message `number` of the entry `index`, and copies them there.
    pub(super) fn keep(&self, bytes: &[u8], number: u64, index: u32) -> Result<Extents, Stuck> {
        let wanted = u32::try_from(bytes.len().div_ceil(BLOCK)).map_err(|_| too_large())?;
        let mut extents = Extents::default();
        let found = self.find(wanted, &mut extents)?;
        if found < wanted {
            extents.push(self.grow(wanted - found)?);
        }
        let mut rest = bytes;
        for run in extents.iter() {
            for block in run.first..run.first + run.blocks {
                self.map().tag(block).store(tag_of(index, number), Ordering::Relaxed);
            }
            let (now, later) = rest.split_at(rest.len().min(run.blocks as usize * BLOCK));
            self.map().write(run.first, now)?;
            rest = later;
        }
        Ok(extents)
    }

    /// Appends the message of `entry` to `buffer`, which has room for it.
    pub(super) fn recall(&self, entry: &Entry, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        let mut left = entry.len.load(Ordering::Relaxed) as usize;
        for word in &entry.extents {
            let run = Extent::unpack(word.load(Ordering::Relaxed));
            let here = left.min(run.blocks as usize * BLOCK);
            if run.first.checked_add(run.blocks).is_none_or(|end| end > self.blocks()) {
                return Err(Damage);
            }
            self.map().read(run.first, here, buffer)?;
            left -= here;
        }
        if left == 0 { Ok(()) } else { Err(Damage) }
    }

    /// Whether a message of `len` bytes can be here: nobody is believed to have sent more than there is.
    pub(super) fn can_have(&self, len: usize) -> bool {
        len.div_ceil(BLOCK) <= self.blocks() as usize
    }

    /// Collects up to `wanted` free blocks, in all runs but the last; returns how many.
    fn find(&self, wanted: u32, extents: &mut Extents) -> Result<u32, Stuck> {
        let (books, blocks) = (self.books(), self.blocks());
        let used = books.used.load(Ordering::Relaxed);
        if used == 0 {
            books.cursor.store(0, Ordering::Relaxed);
        }
        let cursor = books.cursor.load(Ordering::Relaxed);
        let (mut block, mut found) = (if cursor < blocks { cursor } else { 0 }, 0);
        // Where one of eight is free, going on finds it; else more are added soon.
        let scarce = blocks.saturating_sub(used) < blocks / 8;
        let mut steps =
            if scarce { blocks.min(wanted.saturating_mul(4).saturating_add(LOOKS)) } else { blocks };
        let mut run = Extent { first: block, blocks: 0 };
        while steps > 0 && found + run.blocks < wanted && extents.len < EXTENTS - 1 {
            if block == blocks {
                found += self.take(run, extents)?;
                (block, run) = (0, Extent::default());
                continue;
            }
            if self.is_free(block) {
                run.blocks += 1;
            } else {
                found += self.take(run, extents)?;
                run = Extent { first: block + 1, blocks: 0 };
            }
            (block, steps) = (block + 1, steps - 1);
        }
        if extents.len < EXTENTS - 1 {
            found += self.take(run, extents)?;
        }
        books.cursor.store(block, Ordering::Relaxed);
        Ok(found)
    }

    /// Adds a run of free blocks, all with memory; returns how many blocks it has.
    fn take(&self, run: Extent, extents: &mut Extents) -> Result<u32, Stuck> {
        if run.blocks == 0 {
            return Ok(0);
        }
        let tags = || (run.first..run.first + run.blocks).map(|block| self.map().tag(block));
        if tags().any(|tag| tag.load(Ordering::Relaxed) == COLD) {
            // What was had in vain is given back, of warm blocks too.
            tags().for_each(|tag| tag.store(COLD, Ordering::Relaxed));
            self.reserve(place(run.first), run.blocks as usize * BLOCK)?;
        }
        extents.push(run);
        Ok(run.blocks)
    }

    /// Adds blocks at the end; returns the first `count` of them.
    fn grow(&self, count: u32) -> Result<Extent, Stuck> {
        let blocks = self.blocks();
        let room = self.map().block_limit() - blocks;
        if count > room {
            return Err(too_large().into());
        }
        let step = count.max(GROW_STEP).next_multiple_of(PER_PAGE).min(room);
        let (at, len) = tag_pages(blocks, blocks + step);
        self.reserve(at, len)?;
        if let Err(error) = self.reserve(place(blocks), step as usize * BLOCK) {
            self.release(at, len);
            return Err(error.into());
        }
        for block in blocks..blocks + step {
            self.map().tag(block).store(FREE, Ordering::Relaxed);
        }
        self.books().blocks.store(blocks + step, Ordering::Relaxed);
        self.books().cursor.store(blocks + count, Ordering::Relaxed);
        Ok(Extent { first: blocks, blocks: count })
    }

    /// Whether so much became free that giving memory back is worth a look.
    pub(super) fn pool_has_much(&self) -> bool {
        let books = self.books();
        books.freed.load(Ordering::Relaxed) > KEEP && books.blocks.load(Ordering::Relaxed) > KEEP
    }

    /// Gives the memory of free blocks back; returns whether there may be more to do, so that the lock can be released
    /// in between.
    pub(super) fn trim_pool(&self) -> bool {
        let blocks = self.blocks();
        let mut end = blocks;
        while end > KEEP && end > blocks.saturating_sub(TRIM_STEP) && self.is_free(end - 1) {
            end -= 1;
        }
        let end = end.next_multiple_of(PER_PAGE);
        if end < blocks {
            self.books().blocks.store(end, Ordering::Relaxed);
            self.release_blocks(end, blocks);
        }
        let more = blocks - end.min(blocks) >= TRIM_STEP - PER_PAGE || self.trim_inside(end.min(blocks));
        if !more {
            self.books().freed.store(0, Ordering::Relaxed);
        }
        more
    }

    /// Gives back pages between blocks in use.
    fn trim_inside(&self, end: u32) -> bool {
        let (mut left, mut run) = (TRIM_STEP, Extent::default());
        for page in KEEP.div_ceil(PER_PAGE)..end / PER_PAGE {
            let in_page = || page * PER_PAGE..(page + 1) * PER_PAGE;
            let is_warm = |block| self.map().tag(block).load(Ordering::Relaxed) != COLD;
            if !in_page().all(|block| self.is_free(block)) || !in_page().any(is_warm) {
                self.cool(std::mem::take(&mut run));
                continue;
            }
            if run.blocks == 0 {
                run.first = page * PER_PAGE;
            }
            (run.blocks, left) = (run.blocks + PER_PAGE, left - PER_PAGE);
            if left == 0 {
                self.cool(run);
                return true;
            }
        }
        self.cool(run);
        false
    }

    /// Gives the memory of free blocks back. They are marked first: who finds them reserves it again.
    fn cool(&self, run: Extent) {
        for block in run.first..run.first + run.blocks {
            self.map().tag(block).store(COLD, Ordering::Relaxed);
        }
        self.release(place(run.first), run.blocks as usize * BLOCK);
    }

    /// Gives back what a dead getter had reserved and not added, wherever it is.
    pub(super) fn sweep_pool(&self) {
        self.release_blocks(self.blocks(), MAX_BLOCKS);
        self.books().freed.store(u32::MAX, Ordering::Relaxed);
    }

    fn release_blocks(&self, first: u32, end: u32) {
        let (at, len) = tag_pages(first, end);
        self.release(at, len);
        self.release(place(first), end.saturating_sub(first) as usize * BLOCK);
    }
}

fn too_large() -> io::Error {
    let text = "what is in flight is as large as it can be: acknowledge some";
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

/// Where the pages of tags are, and how many bytes they have, that hold those of blocks from `first` to before `end` and
/// none of a block before.
fn tag_pages(first: u32, end: u32) -> (usize, usize) {
    let (before, after) = (first.div_ceil(TAGS_PER_PAGE), end.div_ceil(TAGS_PER_PAGE));
    (TAGS_AT + before as usize * PAGE, after.saturating_sub(before) as usize * PAGE)
}

const fn place(block: u32) -> usize {
    BLOCKS_AT + block as usize * BLOCK
}
