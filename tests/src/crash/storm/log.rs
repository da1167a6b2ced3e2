//! What the processes of a storm write down, in memory that outlives them.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapMut;

/// The log of all processes: one slot for each that ever took part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    words: &'static [AtomicU64],
}

/// How many messages one process puts at most.
pub(super) const MOST_MESSAGES: usize = 1 << 18;

/// Words before the first slot: whether to stop.
const HEADER: usize = 8;
/// Words of a slot: these three, then a bit for each message that was got.
const SLOT: usize = 8 + MOST_MESSAGES / 64;
const BEGUN: usize = 0;
const DONE: usize = 1;
const IN_HAND: usize = 2;

impl Log {
    /// Maps the file at `path`, with room for `slots` processes.
    pub(super) fn open(path: &Path, slots: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let words = HEADER + slots * SLOT;
        file.set_len(words as u64 * 8)?;
        // SAFETY: the file is in the directory of this storm alone, whose processes use it atomically.
        let map = unsafe { MmapMut::map_mut(&file) }?;
        let first = Box::leak(Box::new(map)).as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is that long, aligned to a page, never unmapped, and only used atomically.
        let words = unsafe { std::slice::from_raw_parts(first, words) };
        Ok(Self { words })
    }

    /// Tells all producers to end.
    pub(super) fn stop(&self) {
        self.words[0].store(1, Ordering::SeqCst);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.words[0].load(Ordering::SeqCst) != 0
    }

    /// The slot of the process number `number`.
    pub(super) fn slot(&self, number: usize) -> Slot {
        let at = HEADER + number * SLOT;
        Slot { words: &self.words[at..at + SLOT] }
    }

    pub(super) fn slots(&self) -> usize {
        (self.words.len() - HEADER) / SLOT
    }
}

/// What one process writes down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    words: &'static [AtomicU64],
}

impl Slot {
    /// Before a put: messages below `count` may be in the queue from now on.
    pub(super) fn begin(&self, count: usize) {
        self.words[BEGUN].store(count as u64, Ordering::SeqCst);
    }

    /// After an operation: `count` of them have returned; for a producer, that many messages were put.
    pub(super) fn done(&self, count: usize) {
        self.words[DONE].store(count as u64, Ordering::SeqCst);
    }

    pub(super) fn begun(&self) -> usize {
        to_usize(self.words[BEGUN].load(Ordering::SeqCst))
    }

    pub(super) fn count(&self) -> usize {
        to_usize(self.words[DONE].load(Ordering::SeqCst))
    }

    /// Before a get: up to `count` messages may be in hand; 0 after all that it returned are marked.
    pub(super) fn in_hand(&self, count: usize) {
        self.words[IN_HAND].store(count as u64, Ordering::SeqCst);
    }

    pub(super) fn may_have_had(&self) -> usize {
        to_usize(self.words[IN_HAND].load(Ordering::SeqCst))
    }

    /// Notes in the producer's slot that its message `number` was got; whether it was for the first time.
    pub(super) fn mark(&self, number: usize) -> bool {
        let bit = 1 << (number % 64);
        self.words[8 + number / 64].fetch_or(bit, Ordering::SeqCst) & bit == 0
    }

    pub(super) fn is_marked(&self, number: usize) -> bool {
        self.words[8 + number / 64].load(Ordering::SeqCst) & (1 << (number % 64)) != 0
    }

    /// How many messages are marked.
    pub(super) fn marks(&self) -> usize {
        let ones = |word: &AtomicU64| word.load(Ordering::SeqCst).count_ones() as usize;
        self.words[8..].iter().map(ones).sum()
    }
}

fn to_usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}
