//! What the processes of a storm write down, in memory that outlives them.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memmap2::MmapMut;
use nix::time::{ClockId, clock_gettime};

use super::accounts::{Passage, Span};

/// The log of all processes: one slot for each that ever took part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    words: &'static [AtomicU64],
}

/// How many messages one process puts at most.
pub(super) const MOST_MESSAGES: usize = 1 << 18;

/// Words before the first slot: whether to stop, and when the storm began.
const HEADER: usize = 8;
const STOP: usize = 0;
const START: usize = 1;
/// Words of a slot: these, then for each message of a producer when it was put, and when it was got.
const SLOT: usize = FIRST + 2 * MOST_MESSAGES;
const BEGUN: usize = 0;
const DONE: usize = 1;
const IN_HAND: usize = 2;
const CALLED: usize = 3;
const FIRST: usize = 8;

impl Log {
    /// Maps the file at `path`, with room for `slots` processes. Only what is written there takes memory.
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

    /// Begins the storm's time.
    pub(super) fn start(&self) {
        self.words[START].store(microseconds(), Ordering::SeqCst);
    }

    /// Microseconds since the storm began, the same for all processes; after 35 minutes time stands still.
    pub(super) fn now(&self) -> u32 {
        let past = microseconds().saturating_sub(self.words[START].load(Ordering::Relaxed));
        u32::try_from(past).unwrap_or(LATEST).min(LATEST)
    }

    /// Tells all producers to end.
    pub(super) fn stop(&self) {
        self.words[STOP].store(1, Ordering::SeqCst);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.words[STOP].load(Ordering::SeqCst) != 0
    }

    /// The slot of the process number `number`.
    pub(super) fn slot(&self, number: usize) -> Slot {
        let at = HEADER + number * SLOT;
        Slot { log: *self, words: &self.words[at..at + SLOT] }
    }

    pub(super) fn slots(&self) -> usize {
        (self.words.len() - HEADER) / SLOT
    }
}

/// The last instant that there is, so that one bit of two packed instants is free.
const LATEST: u32 = u32::MAX >> 1;

fn microseconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock that every system has");
    Duration::from(now).as_micros().try_into().unwrap_or(u64::MAX)
}

/// What one process writes down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    log: Log,
    words: &'static [AtomicU64],
}

impl Slot {
    /// Before a put: the messages from `first` on, below `count`, may be in the queue from now on.
    pub(super) fn begin(&self, first: usize, count: usize) {
        let from = self.log.now();
        for message in first..count {
            self.times(message)[0].store(pack(from, u32::MAX), Ordering::SeqCst);
        }
        self.words[BEGUN].store(count as u64, Ordering::SeqCst);
    }

    /// After a put: the messages from `first` on, below `count`, are in, and no others were.
    pub(super) fn returned(&self, first: usize, count: usize) {
        let to = self.log.now();
        for message in first..count {
            let word = &self.times(message)[0];
            let (from, _) = unpack(word.load(Ordering::SeqCst));
            word.store(pack(from, to), Ordering::SeqCst);
        }
        self.done(count);
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

    /// Before a get: up to `count` messages may be in hand from now on.
    pub(super) fn call(&self, count: usize) {
        self.words[CALLED].store(u64::from(self.log.now()), Ordering::SeqCst);
        self.in_hand(count);
    }

    /// How many messages may be in hand: those that it returned and that are not marked yet.
    pub(super) fn in_hand(&self, count: usize) {
        self.words[IN_HAND].store(count as u64, Ordering::SeqCst);
    }

    /// When the last get was called.
    pub(super) fn called(&self) -> u32 {
        unpack(self.words[CALLED].load(Ordering::SeqCst)).1
    }

    pub(super) fn may_have_had(&self) -> usize {
        to_usize(self.words[IN_HAND].load(Ordering::SeqCst))
    }

    /// Notes in the producer's slot that its message `number` was got, by a get that was `called` then; whether it
    /// was for the first time.
    pub(super) fn mark(&self, number: usize, called: u32) -> bool {
        self.times(number)[1].swap(pack(called, self.log.now()) | MARKED, Ordering::SeqCst) == 0
    }

    /// What became of each message of this producer that is known to have been in the queue.
    pub(super) fn passages(&self) -> Vec<Passage> {
        let begun = self.begun();
        if begun == 0 {
            // A consumer, whose operations are gets.
            return Vec::new();
        }
        let came = |number: &usize| self.times(*number)[1].load(Ordering::SeqCst) != 0;
        // A put that never returned leaves a beginning of what it was to put.
        let last = (self.count()..begun).rev().find(came);
        let known = last.map_or(self.count(), |number| number + 1);
        (0..known).map(|number| self.passage(number)).collect()
    }

    fn passage(&self, number: usize) -> Passage {
        let [put, got] = [0, 1].map(|which: usize| self.times(number)[which].load(Ordering::SeqCst));
        let span = |word| {
            let (from, to) = unpack(word);
            Span { from, to }
        };
        Passage { put: span(put), got: (got != 0).then(|| span(got & !MARKED)) }
    }

    fn times(&self, message: usize) -> &[AtomicU64] {
        &self.words[FIRST + 2 * message..FIRST + 2 * message + 2]
    }
}

/// Tells a message that was got at the very beginning from one that was not; no instant has this bit.
const MARKED: u64 = 1 << 63;

const fn pack(from: u32, to: u32) -> u64 {
    (from as u64) << 32 | to as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the word are meant")]
const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

fn to_usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}
