//! What the deliveries of a queue look like in its file: one part of it, from a place that the backend chooses.
//!
//! ```text
//! 0        books: the ledger, how much there is of everything, when to look after holders
//! 4 KiB    for each holder, how much it holds
//! 8 KiB    slots of the holders
//! 32 KiB   entries: one for each message that is in flight or came back
//! 64 MiB   (behind the entries) the heap of those that came back, by their numbers
//! 68 MiB   tags of the blocks: which message they belong to
//! 196 MiB  blocks of 1 KiB, as many as the content needs
//! ```
//!
//! Memory is reserved as it comes to be used; the rest are holes in the file.

use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::os::event::Event;
use crate::os::participants::Slot;

/// How many processes can hold deliveries of one queue.
pub(super) const HOLDERS: usize = 1024;
/// The most messages that are in flight or came back.
pub(super) const MAX_ENTRIES: u32 = 1 << 20;
/// The most blocks: 16 GiB.
pub(super) const MAX_BLOCKS: u32 = 1 << 24;
/// The bytes of a block.
pub(super) const BLOCK: usize = 1024;
/// The extents of a message, at most.
pub(super) const EXTENTS: usize = 4;
pub(super) const PAGE: usize = 4096;

pub(super) const COUNTS_AT: usize = 4096;
pub(super) const SLOTS_AT: usize = 8192;
pub(super) const ENTRIES_AT: usize = 32 << 10;
pub(super) const HEAP_AT: usize = ENTRIES_AT + MAX_ENTRIES as usize * size_of::<Entry>();
pub(super) const TAGS_AT: usize = HEAP_AT + MAX_ENTRIES as usize * size_of::<AtomicU32>();
pub(super) const BLOCKS_AT: usize = TAGS_AT + MAX_BLOCKS as usize * size_of::<AtomicU64>();
/// All of it: a multiple of 64 KiB.
pub(super) const SPAN: usize = (BLOCKS_AT + MAX_BLOCKS as usize * BLOCK).next_multiple_of(1 << 16);

/// The first page.
#[repr(C)]
pub(super) struct Books {
    /// See [`Ledger`](super::ledger::Ledger).
    pub(super) ledger: AtomicU64,
    /// How often a message was handed out that had come back.
    pub(super) redelivered: AtomicU64,
    /// Entries that have memory.
    pub(super) entries: AtomicU32,
    /// The first entry that is free, plus 1; 0 for none. Others follow by [`Entry::next_free`].
    pub(super) free: AtomicU32,
    /// How many entries are in the heap.
    pub(super) heap: AtomicU32,
    /// No holder has a slot at or beyond this.
    pub(super) holders: AtomicU32,
    /// Blocks that are in use or ready to be.
    pub(super) blocks: AtomicU32,
    /// Where the search for free blocks goes on.
    pub(super) cursor: AtomicU32,
    /// Blocks in use.
    pub(super) used: AtomicU32,
    /// Blocks that became free since memory was given back last.
    pub(super) freed: AtomicU32,
    /// Entries whose movers died, at most.
    pub(super) moves: AtomicU32,
    /// When to look next whether holders live, in nanoseconds of the monotonic clock.
    pub(super) look_at: AtomicU64,
    /// No lease runs out before this.
    pub(super) lease_at: AtomicU64,
    /// What callers sleep on that wait for the end of messages.
    pub(super) settled: Event,
}

/// A message that is in flight or came back.
///
/// | word | stored by, ordering | loaded by, ordering | what the pair makes visible |
/// |------|---------------------|---------------------|-----------------------------|
/// | state | holder of the getters' lock, `SeqCst` | anyone, `SeqCst` | E1: all other words; and a join that watches the entry is seen, or sees the end |
/// | others | the same, `Relaxed`, before the state | the same | nothing |
#[repr(C, align(64))]
pub(super) struct Entry {
    /// The message's put number.
    pub(super) number: AtomicU64,
    /// See [`State`](super::entry::State).
    pub(super) state: AtomicU64,
    /// When the lease of its holder runs out, in nanoseconds of the monotonic clock; 0 for never.
    pub(super) until: AtomicU64,
    /// The message's length in bytes.
    pub(super) len: AtomicU32,
    /// Not 0 while a join waits for its end.
    pub(super) watched: AtomicU32,
    /// Where the bytes are: the first block above, and how many below. In a free entry the first is the next free one.
    pub(super) extents: [AtomicU64; EXTENTS],
}

impl Entry {
    /// The next free entry behind this one, plus 1.
    pub(super) const fn next_free(&self) -> &AtomicU64 {
        &self.extents[0]
    }
}

const _: () = {
    assert!(size_of::<Entry>() == 64 && size_of::<Books>() <= COUNTS_AT);
    assert!(COUNTS_AT + HOLDERS * size_of::<AtomicU32>() <= SLOTS_AT);
    assert!(SLOTS_AT + HOLDERS * size_of::<Slot>() <= ENTRIES_AT);
    assert!(HEAP_AT.is_multiple_of(PAGE) && TAGS_AT.is_multiple_of(PAGE) && BLOCKS_AT.is_multiple_of(PAGE));
};
