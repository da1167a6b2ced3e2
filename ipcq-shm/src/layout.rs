//! What a segment looks like: the one description that all processes of a queue share.
//!
//! ```text
//! 0          header: what is fixed (checked once, at open), then the words that change
//! 4 KiB      slots of the participants
//! 64 KiB     links: for each chunk the number of the one behind it
//! 2112 KiB   chunks of 64 KiB, as many as the content needs
//! ```
//!
//! In an acknowledged queue what is handed out comes before the chunks (see
//! [`deliveries`](ipcq_core::os::deliveries)): 16 GiB of the file, most of which are holes.
//!
//! One of the chunks has the table of what is lent, once something was (see [`loans`](crate::loans)), and others are lent, or
//! can be. The rest are the queue's content.
//!
//! They form a ring: the tail enters the next one, or, where that one still holds messages, a fresh one that is
//! linked in between. What the head has left is free again, without any bookkeeping. Everything that changes is
//! changed by one atomic store, so that whoever dies leaves nothing to repair but fresh chunks that were not linked
//! in yet.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ipcq_core::os::deliveries::MoveNote;
use ipcq_core::os::ends::{Ends, Words};
use ipcq_core::os::event::Event;
use ipcq_core::os::fixed::FIXED_WORDS;
use ipcq_core::os::lock::RobustLock;
use ipcq_core::os::mapping::{Apart, Layout};

use crate::position::{CHUNK, MAX_CAPACITY, MAX_CHUNKS, Position};

/// Where the links begin.
pub(crate) const LINKS_AT: usize = 1 << 16;
/// Where the chunks begin.
pub(crate) const CHUNKS_AT: usize = LINKS_AT + MAX_CHUNKS as usize * size_of::<AtomicU32>();

/// Used by putters under their lock.
#[repr(C)]
pub(crate) struct PutSide {
    pub(crate) lock: RobustLock,
    /// Chunks that have ever been used: those in the ring and the spare ones.
    pub(crate) chunks: AtomicU32,
    /// How many spare chunks there are, which need no memory, and the first of them; links lead on to the others.
    pub(crate) spare: AtomicU64,
    /// A head that was seen once; the real one is at or beyond it.
    pub(crate) seen_head: AtomicU64,
    /// Messages ever put, as of the last time that the tail entered a chunk.
    pub(crate) total: AtomicU64,
    /// How often the tail entered a chunk.
    pub(crate) entered: AtomicU64,
    /// The bytes of messages ever put.
    pub(crate) bytes: AtomicU64,
}

/// What memory there may be to give back, under the putters' lock. Getters look at it after each batch, so it is not
/// with what putters write all the time.
#[repr(C)]
pub(crate) struct Memory {
    /// Chunks in the ring.
    pub(crate) ring: AtomicU32,
    /// How many of the last spare chunks may still have memory, which a dead putter reserved, and the first of them.
    pub(crate) unswept: AtomicU64,
}

/// Used by getters under their lock.
#[repr(C)]
pub(crate) struct GetSide {
    pub(crate) lock: RobustLock,
    /// Not 0 once the queue is removed.
    pub(crate) removed: AtomicU32,
    /// A tail that was seen once; the real one is at or beyond it.
    pub(crate) seen_tail: AtomicU64,
    /// Messages ever taken, as of the last time that the head entered a chunk.
    pub(crate) total: AtomicU64,
}

/// Used by putters under their lock, but for what is said otherwise: what is lent.
#[repr(C)]
pub(crate) struct Books {
    /// The chunk with the table of what is lent, plus 1; 0 for none. Set once.
    pub(crate) table: AtomicU32,
    /// How many entries of it have been used.
    pub(crate) entries: AtomicU32,
    /// An entry that became free, stored by whoever freed it: a hint.
    pub(crate) last_freed: AtomicU32,
    /// As many neighbouring chunks, or more, were not to be had; 0 where that is not known.
    pub(crate) no_run: AtomicU32,
    /// Chunks that were ever lent.
    pub(crate) lent: AtomicU64,
}

/// The first page of a segment.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) fixed: [AtomicU64; FIXED_WORDS],
    pub(crate) put: Apart<PutSide>,
    pub(crate) tail: Apart<AtomicU64>,
    pub(crate) get: Apart<GetSide>,
    pub(crate) head: Apart<AtomicU64>,
    pub(crate) not_empty: Apart<Event>,
    pub(crate) not_full: Apart<Event>,
    pub(crate) memory: Apart<Memory>,
    pub(crate) moving: Apart<MoveNote>,
    pub(crate) loans: Apart<Books>,
}

/// The file of a segment.
#[derive(Debug)]
pub(crate) struct InChunks;

#[allow(unsafe_code, reason = "vouches for the header")]
// SAFETY: the header consists of atomics, and events and locks are such.
unsafe impl Layout for InChunks {
    type Header = Header;
    const UNITS_AT: usize = CHUNKS_AT;
    const UNIT: usize = CHUNK;
    const EMPTY_LEN: usize = CHUNKS_AT + CHUNK;
    const FEWEST: u32 = 1;
    const MOST: u32 = MAX_CHUNKS;
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
        Position(tail).since(Position(head))
    }

    fn count(word: u64) -> u32 {
        Position(word).count()
    }

    fn totals(&self) -> (u64, u64) {
        let of = |end: &AtomicU64, total: &AtomicU64| {
            Position(end.load(Ordering::SeqCst)).total(total.load(Ordering::Relaxed))
        };
        (of(&self.tail.0, &self.put.0.total), of(&self.head.0, &self.get.0.total))
    }

    fn bytes_put(&self) -> u64 {
        self.put.0.bytes.load(Ordering::Relaxed)
    }
}

const _: () = {
    assert!(CHUNKS_AT.is_multiple_of(CHUNK));
    assert!(size_of::<PutSide>() <= 64 && size_of::<GetSide>() <= 64);
    assert!(offset_of!(Header, tail).is_multiple_of(128) && offset_of!(Header, head).is_multiple_of(128));
    assert!(offset_of!(Header, head) - offset_of!(Header, tail) >= 128);
};
