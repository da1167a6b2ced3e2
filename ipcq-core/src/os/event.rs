//! A word that processes sleep on until another one says that something changed.
//!
//! One bit says that somebody may be asleep. It is set by whoever is about to sleep and cleared by whoever wakes
//! one of them; a woken sleeper that finds nothing to do, or leaves something to do for others, sets it or wakes
//! the next. So nobody is woken who is not asleep, and a change that nobody waits for costs one load.
//!
//! The other 31 bits stay zero: should a waker die between clearing the bit and waking, the kernel wakes one
//! sleeper in its place only if the low 30 bits are zero (see [`lock`](super::lock)).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::futex::{self, WAITERS};

/// A word to sleep on, in memory that processes share. All zeroes is one that nobody sleeps on.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Event(AtomicU32);

impl Event {
    /// An event that nobody sleeps on.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Says that the caller is about to sleep. It must look once more, after
    /// [`RobustLock::synchronize`](super::lock::RobustLock::synchronize), whether what it waits for has happened,
    /// and only then [`sleep`](Self::sleep).
    pub fn announce(&self) {
        // A hostile peer may have left other bits there, and they would keep everyone awake.
        self.0.swap(WAITERS, Ordering::SeqCst);
    }

    /// Sleeps until woken, for `time` at most. Returns at once when somebody was woken since
    /// [`announce`](Self::announce); may return for no reason. Returns whether it was not the time that ended it.
    pub fn sleep(&self, time: Duration) -> bool {
        futex::wait(&self.0, WAITERS, time)
    }

    /// Whether somebody may be asleep.
    #[inline]
    #[must_use]
    pub fn has_sleepers(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// Wakes the one that has slept longest; returns whether there was one.
    #[cold]
    pub fn wake_one(&self) -> bool {
        self.0.swap(0, Ordering::SeqCst);
        futex::wake(&self.0, 1)
    }

    /// Wakes every sleeper.
    #[cold]
    pub fn wake_all(&self) {
        self.0.swap(0, Ordering::SeqCst);
        futex::wake(&self.0, i32::MAX);
    }

    pub(super) const fn word(&self) -> *const u32 {
        self.0.as_ptr()
    }
}
