//! The two ends of a queue in shared memory, each one word: what can be said of the queue by looking at them, and how it
//! ends. Nothing here takes a lock or names a thread, so that it works from other process namespaces, too, and for
//! queues that this program cannot open any more.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::event::Event;
use super::lock::RobustLock;
use super::participants::Side;

/// How often a look at both ends is repeated until they hold still. Each try fails only if a message was put or taken
/// meanwhile, so this many in a row mean that something other than a queue writes there.
const LOOKS: u32 = 1 << 20;

/// Set in the word of the tail when the queue is closed.
pub const CLOSED: u64 = 1 << 63;
/// Set in the word of the tail when the queue is removed.
pub const REMOVED: u64 = 1 << 62;

/// Where the words are, for each side that of putters first.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The end where messages are put, and that where they are taken. Each grows with each message, in the backend's own
    /// way.
    pub ends: [&'a AtomicU64; 2],
    /// The locks of callers.
    pub locks: [&'a RobustLock; 2],
    /// What callers sleep on.
    pub events: [&'a Event; 2],
    /// Not 0 once the queue is removed: for getters, who need not look at the tail then.
    pub removed: &'a AtomicU32,
}

/// The header of a queue: what all its processes share.
pub trait Ends {
    /// The largest capacity. [`between`](Self::between) tells so many messages from a head that has overtaken an
    /// older tail.
    const MAX_CAPACITY: usize;

    /// Where the words are.
    fn words(&self) -> Words<'_>;

    /// How many messages lie between `head` and `tail`.
    fn between(tail: u64, head: u64) -> usize;

    /// How many messages had been put, or taken, when an end was `word`, modulo 2^30.
    fn count(word: u64) -> u32;

    /// How many messages were put and taken since the queue was made.
    fn totals(&self) -> (u64, u64);

    /// How many bytes the messages have that were put since the queue was made. For people to read: those of a message
    /// whose putter was killed the moment it was put may be missing.
    fn bytes_put(&self) -> u64;

    /// The end where messages are put.
    #[inline]
    fn tail_word(&self) -> &AtomicU64 {
        self.words().ends[0]
    }

    /// The end where they are taken.
    #[inline]
    fn head_word(&self) -> &AtomicU64 {
        self.words().ends[1]
    }

    /// The lock of callers on `side`.
    #[inline]
    fn lock(&self, side: Side) -> &RobustLock {
        self.words().locks[usize::from(side == Side::Get)]
    }

    /// What callers on `side` sleep on.
    #[inline]
    fn event(&self, side: Side) -> &Event {
        self.words().events[usize::from(side == Side::Get)]
    }

    /// Whether nothing is put any more.
    #[inline]
    fn is_closed(&self) -> bool {
        self.tail_word().load(Ordering::SeqCst) & (CLOSED | REMOVED) != 0
    }

    /// How many messages there are, as far as can be seen without waiting: a hint.
    fn about(&self) -> usize {
        Self::between(self.tail_word().load(Ordering::SeqCst), self.head_word().load(Ordering::SeqCst))
    }

    /// How many messages there are, at an instant inside the call: the head is read while the tail holds still. `None`
    /// if it never does, which is damage.
    fn len(&self) -> Option<usize> {
        let mut tail = self.tail_word().load(Ordering::SeqCst);
        for _ in 0..LOOKS {
            let head = self.head_word().load(Ordering::SeqCst);
            let now = self.tail_word().load(Ordering::SeqCst);
            if now == tail {
                return Some(Self::between(tail, head));
            }
            tail = now;
        }
        None
    }

    /// Whether there is no message, at the instant at which the tail is read: the head only moves towards it.
    fn is_empty(&self) -> bool {
        let head = self.head_word().load(Ordering::SeqCst);
        Self::between(self.tail_word().load(Ordering::SeqCst), head) == 0
    }

    /// Whether there is no room for one more than `capacity` messages, at the instant at which the head is read: the
    /// tail only moves away from it. A head that has overtaken the tail by then says that there was room meanwhile.
    fn is_full(&self, capacity: usize) -> bool {
        let tail = self.tail_word().load(Ordering::SeqCst);
        let len = Self::between(tail, self.head_word().load(Ordering::SeqCst));
        (capacity..=Self::MAX_CAPACITY).contains(&len)
    }

    /// Whether the queue is removed. Finishes what a remover that died half-way began: getters are refused by then,
    /// so that nobody would ever take what is put.
    fn is_removed(&self) -> bool {
        let removed = self.tail_word().load(Ordering::SeqCst) & REMOVED != 0;
        let begun = !removed && self.words().removed.load(Ordering::SeqCst) != 0;
        if begun {
            self.end(CLOSED | REMOVED);
        }
        removed || begun
    }

    /// Closes the queue, lets nobody take what is in it, and wakes everyone; returns whether nobody had done so
    /// before, which is true for one of all who ever do.
    fn mark_removed(&self) -> bool {
        let first = self.words().removed.swap(1, Ordering::SeqCst) == 0;
        self.end(CLOSED | REMOVED);
        first
    }

    /// Closes the queue and wakes everyone.
    fn close(&self) {
        self.end(CLOSED);
    }

    /// Closes the queue and wakes everyone, if nothing was put since the tail was `tail`; returns whether it did.
    fn close_at(&self, tail: u64) -> bool {
        let closed =
            self.tail_word().compare_exchange(tail, tail | CLOSED, Ordering::SeqCst, Ordering::Relaxed);
        if closed.is_ok() {
            self.wake_everyone();
        }
        closed.is_ok()
    }

    /// Sets `flags` in the tail, after which nothing is put (a putter publishes by exchanging the tail that it saw), and
    /// wakes everyone.
    fn end(&self, flags: u64) {
        self.tail_word().fetch_or(flags, Ordering::SeqCst);
        self.wake_everyone();
    }

    /// Wakes all who sleep.
    fn wake_everyone(&self) {
        self.event(Side::Get).wake_all();
        self.event(Side::Put).wake_all();
    }
}
