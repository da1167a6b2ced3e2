//! What the control file of a queue looks like: the one description that all its processes share.
//!
//! ```text
//! 0          header: what is fixed (checked once, at open), then the words that change
//! 4 KiB      slots of the participants
//! 64 KiB     lengths: of each message in the queue, by its number
//! 4160 KiB   tags: for each block of the pool the message that it belongs to
//! 68 MiB     the pool: blocks of 1 KiB for the messages that are too long for a record of the pipe
//! ```
//!
//! In an acknowledged queue what is handed out comes before the pool (see
//! [`deliveries`](ipcq_core::os::deliveries)): 16 GiB of the file, most of which are holes.
//!
//! The messages themselves are records in the pipe, and the two counts `tail` and `head` say which of them are in
//! the queue. Everything that changes, changes by one atomic store; what a killed process leaves half done is found
//! from the numbers of the records in the pipe, and from the tags: see [`recover`](crate::recover).

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ipcq_core::os::deliveries::{Ledger, MoveNote};
use ipcq_core::os::ends::{Ends, REMOVED, Words};
use ipcq_core::os::event::Event;
use ipcq_core::os::fixed::FIXED_WORDS;
use ipcq_core::os::lock::RobustLock;
use ipcq_core::os::mapping::{Apart, Layout};

use crate::record::LARGE;

/// Where the lengths begin.
pub(crate) const LENGTHS_AT: usize = 1 << 16;
/// The largest capacity there can be, whatever the system allows a pipe to hold.
pub(crate) const MAX_CAPACITY: usize = 1 << 20;
/// Where the tags begin.
pub(crate) const TAGS_AT: usize = LENGTHS_AT + MAX_CAPACITY * size_of::<AtomicU32>();
/// The most blocks of the pool: 16 GiB.
pub(crate) const MAX_BLOCKS: u32 = 1 << 24;
/// The bytes of a block.
pub(crate) const BLOCK: usize = 1024;
/// Where the pool begins.
pub(crate) const POOL_AT: usize = TAGS_AT + MAX_BLOCKS as usize * size_of::<AtomicU32>();

/// What of `tail` is not a flag: how many messages were ever put.
pub(crate) const COUNT: u64 = REMOVED - 1;

/// Used by putters under their lock.
#[repr(C)]
pub(crate) struct PutSide {
    pub(crate) lock: RobustLock,
    /// Not 0 while what a dead putter left is not repaired.
    pub(crate) dirty: AtomicU32,
    /// A head that was seen once; the real one is at or beyond it.
    pub(crate) seen_head: AtomicU64,
    /// How many records lie in the last page of the pipe, if that is known: see [`pages`](crate::pages).
    pub(crate) fill: AtomicU32,
    /// How many pages of the pipe may lie half empty in its middle, and the record behind the last of them.
    pub(crate) waste: AtomicU32,
    pub(crate) waste_end: AtomicU64,
    /// Blocks of the pool that are in use or ready to be used.
    pub(crate) blocks: AtomicU32,
    /// Where the search for free blocks goes on.
    pub(crate) cursor: AtomicU32,
    /// The bytes of messages ever put.
    pub(crate) bytes: AtomicU64,
    /// Blocks ever given out.
    pub(crate) given: AtomicU64,
    /// The head as of the last time that all free memory was given back, and one more; 0 for never.
    pub(crate) trimmed: AtomicU64,
    /// Up to which block there may be memory beyond the last one, which a dead putter had reserved; 0 for none.
    pub(crate) stray: AtomicU32,
}

/// Used by getters under their lock.
#[repr(C)]
pub(crate) struct GetSide {
    pub(crate) lock: RobustLock,
    /// Not 0 while what a dead getter left is not repaired.
    pub(crate) dirty: AtomicU32,
    /// Not 0 once the queue is removed.
    pub(crate) removed: AtomicU32,
    /// A tail that was seen once; the real one is at or beyond it.
    pub(crate) seen_tail: AtomicU64,
}

/// A record that a getter of an acknowledged queue has read from the pipe, and keeps here until the head has passed it:
/// see [`hand`](crate::hand).
pub(crate) type Hand = [AtomicU64; LARGE / size_of::<u64>()];

/// The first page of the control file.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) fixed: [AtomicU64; FIXED_WORDS],
    pub(crate) put: Apart<PutSide>,
    /// How many messages were ever put, and whether the queue is closed or removed.
    pub(crate) tail: Apart<AtomicU64>,
    pub(crate) get: Apart<GetSide>,
    /// How many messages were ever taken.
    pub(crate) head: Apart<AtomicU64>,
    pub(crate) not_empty: Apart<Event>,
    pub(crate) not_full: Apart<Event>,
    pub(crate) moving: Apart<MoveNote>,
    pub(crate) hand: Apart<Hand>,
}

/// The control file of a queue.
#[derive(Debug)]
pub(crate) struct InBlocks;

#[allow(unsafe_code, reason = "vouches for the header")]
// SAFETY: the header consists of atomics, and events and locks are such.
unsafe impl Layout for InBlocks {
    type Header = Header;
    const UNITS_AT: usize = POOL_AT;
    const UNIT: usize = BLOCK;
    /// Without blocks, but with the tags of all that there may be.
    const EMPTY_LEN: usize = POOL_AT;
    const FEWEST: u32 = 64;
    const MOST: u32 = MAX_BLOCKS;
}

impl Ends for Header {
    const MAX_CAPACITY: usize = MAX_CAPACITY;

    #[inline]
    fn words(&self) -> Words<'_> {
        Words {
            ends: [&self.tail.0, &self.head.0],
            locks: [&self.put.0.lock, &self.get.0.lock],
            events: [&self.not_full.0, &self.not_empty.0],
            removed: &self.get.0.removed,
        }
    }

    #[inline]
    fn between(tail: u64, head: u64) -> usize {
        usize::try_from(tail.wrapping_sub(head) & COUNT).unwrap_or(usize::MAX)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
    fn count(word: u64) -> u32 {
        word as u32 & Ledger::COUNT
    }

    fn totals(&self) -> (u64, u64) {
        (self.tail.0.load(Ordering::SeqCst) & COUNT, self.head.0.load(Ordering::SeqCst))
    }

    fn bytes_put(&self) -> u64 {
        self.put.0.bytes.load(Ordering::Relaxed)
    }
}

const _: () = {
    assert!(TAGS_AT.is_multiple_of(4096) && POOL_AT.is_multiple_of(4096));
    assert!(size_of::<PutSide>() <= 128 && size_of::<GetSide>() <= 64);
    assert!(offset_of!(Header, tail).is_multiple_of(128) && offset_of!(Header, head).is_multiple_of(128));
};
