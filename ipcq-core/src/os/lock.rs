//! A lock in shared memory that survives the death of its holder at any instruction.
//!
//! The lock is one futex word that holds the owner's thread id, as in robust mutexes of the C library, but it is
//! never linked into a list in shared memory: the thread's *pending operation* names it from before the attempt
//! until after the release (see `get_robust_list(2)`). When the owner dies the kernel replaces the id by
//! `OWNER_DIED` and wakes a waiter, whose [`RobustLock::lock`] says that there is something to
//! [recover](RobustGuard::is_recovered).
//!
//! A thread has one pending operation, so it can hold one such lock at a time, and nothing that might take
//! another (a serialiser, an allocator, a destructor, a signal handler) may run while it does.
//!
//! What this cannot repair by itself is bounded by [`SLICE`]: a waiter that was not woken looks again then.

use std::fmt;
use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::event::Event;
use super::futex::{self, OWNER, OWNER_DIED, WAITERS};
use super::process::{CurrentThread, current_thread};
use crate::Wait;

/// The longest sleep: 22 wake-ups a second, and a lost wake is made good within it.
pub const SLICE: Duration = Duration::from_millis(45);

/// How long a call that does not wait for the queue to change waits for another participant that is inside an
/// operation.
pub const PATIENCE: Duration = Duration::from_millis(10);

/// How often a thread looks whether the lock is free before it sleeps.
const LOOKS: u32 = 20;

/// The longest pause between two looks, in spin hints.
const LONGEST_PAUSE: u32 = 32;

/// A lock between processes, in memory that they share. All zeroes is an unlocked one.
#[derive(Default)]
#[repr(C)]
pub struct RobustLock {
    word: AtomicU32,
    /// How often an owner died with it, for people to read.
    deaths: AtomicU32,
}

/// The lock was not had in the time given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLocked;

impl RobustLock {
    /// An unlocked lock.
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU32::new(0), deaths: AtomicU32::new(0) }
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// [`NotLocked`] when `wait` was over first; [`Wait::No`] gives the holder [`PATIENCE`].
    ///
    /// # Blocking
    /// While another thread of any process holds it, as `wait` says.
    #[inline]
    pub fn lock(&self, wait: Wait) -> Result<RobustGuard<'_>, NotLocked> {
        self.lock_until(|| match wait {
            Wait::No => Some(Instant::now() + PATIENCE),
            Wait::Until(deadline) => Some(deadline),
            Wait::Forever => None,
        })
    }

    /// Takes the lock. `deadline` is asked only when another thread holds it, so that the clock need not be read
    /// otherwise; `None` means to wait for ever.
    ///
    /// # Errors
    /// [`NotLocked`] when the deadline passed first.
    ///
    /// # Blocking
    /// While another thread of any process holds it, until the deadline.
    #[inline]
    pub fn lock_until(
        &self,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<RobustGuard<'_>, NotLocked> {
        let thread = current_thread();
        let before = thread.begin(self.word.as_ptr());
        let guard = |recovered| RobustGuard { lock: self, thread, before, recovered };
        if self.word.compare_exchange(0, thread.id, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return Ok(guard(false));
        }
        match self.lock_contended(thread.id, deadline()) {
            Ok(recovered) => {
                self.deaths.fetch_add(u32::from(recovered), Ordering::Relaxed);
                Ok(guard(recovered))
            }
            Err(NotLocked) => {
                thread.end(before);
                Err(NotLocked)
            }
        }
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    /// [`NotLocked`] when somebody does.
    pub fn try_lock(&self) -> Result<RobustGuard<'_>, NotLocked> {
        let thread = current_thread();
        let before = thread.begin(self.word.as_ptr());
        let word = self.word.load(Ordering::Relaxed);
        let taken = word & OWNER == 0 && self.claim(word, thread.id | (word & WAITERS));
        if taken {
            let recovered = word & OWNER_DIED != 0;
            self.deaths.fetch_add(u32::from(recovered), Ordering::Relaxed);
            return Ok(RobustGuard { lock: self, thread, before, recovered });
        }
        thread.end(before);
        Err(NotLocked)
    }

    /// Whether the last owner died with the lock, and nobody has taken it since.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.word.load(Ordering::Relaxed) & (OWNER | OWNER_DIED) == OWNER_DIED
    }

    /// How often an owner died with it and another took it since.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Reads the word in the one total order of sequentially consistent operations.
    ///
    /// The unlocking exchange is in that order too. Who announces that it is about to sleep (also in that order),
    /// then calls this, then looks at what the lock protects, sees all that was done under the lock, unless the
    /// unlocking came later, and then the unlocker sees the announcement: no wake-up is lost, and the hot path
    /// pays no fence for it.
    pub fn synchronize(&self) {
        self.word.load(Ordering::SeqCst);
    }

    fn claim(&self, from: u32, to: u32) -> bool {
        self.word.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Looks whether the lock becomes free, ever less often, for some 10 microseconds at most.
    ///
    /// A holder is done within a microsecond, while falling asleep and being woken costs dozens. Looking often would take
    /// the word from the holder's cache again and again, so the pauses grow. (64 B, 4x4 in batches of 64: 1.09 times as
    /// many messages a second, from 0.95 to 1.23 in twelve interleaved runs beside other work.) Who let others have the
    /// processor between looks would lose it for milliseconds to one that goes on without waiting, time and again, and
    /// get a thousandth of its share.
    fn look(&self) -> u32 {
        let mut pauses = 1;
        for _ in 0..LOOKS {
            let word = self.word.load(Ordering::Relaxed);
            if word & OWNER == 0 {
                return word;
            }
            for _ in 0..pauses {
                hint::spin_loop();
            }
            pauses = (2 * pauses).min(LONGEST_PAUSE);
        }
        self.word.load(Ordering::Relaxed)
    }

    /// Waits for the lock; returns whether its last owner died with it.
    #[cold]
    fn lock_contended(&self, me: u32, deadline: Option<Instant>) -> Result<bool, NotLocked> {
        // Who has slept cannot know whether others still do, so it keeps the bit for them.
        let mut keep = 0;
        loop {
            let word = self.look();
            if word & OWNER == 0 {
                if self.claim(word, me | (word & WAITERS) | keep) {
                    return Ok(word & OWNER_DIED != 0);
                }
                continue;
            }
            let left = deadline.map_or(SLICE, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(NotLocked);
            }
            let asleep = word | WAITERS;
            if word == asleep || self.claim(word, asleep) {
                let slept = left.min(SLICE);
                let before = Instant::now();
                futex::wait(&self.word, asleep, slept);
                keep = WAITERS;
                let unchanged = before.elapsed() >= slept && self.word.load(Ordering::Relaxed) == asleep;
                // The kernel gives a dead owner's lock back by itself. A word that names nobody was damaged.
                if unchanged && futex::thread_is_dead(word & OWNER) && self.claim(asleep, me | WAITERS) {
                    return Ok(true);
                }
            }
        }
    }
}

impl fmt::Debug for RobustLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RobustLock({:#x})", self.word.load(Ordering::Relaxed))
    }
}

/// The lock, held until this is dropped or [`unlock_and_wake`](Self::unlock_and_wake) is called.
pub struct RobustGuard<'a> {
    lock: &'a RobustLock,
    thread: CurrentThread,
    before: usize,
    recovered: bool,
}

impl RobustGuard<'_> {
    /// Whether the last owner died while it held the lock: what it protects may be half changed.
    #[must_use]
    pub const fn is_recovered(&self) -> bool {
        self.recovered
    }

    /// Releases the lock, then wakes one of those who sleep on `event`, should there be any.
    #[inline]
    pub fn unlock_and_wake(self, event: &Event) {
        self.release();
        if event.has_sleepers() {
            self.thread.point_at(event.word());
            event.wake_one();
        }
        self.thread.end(self.before);
        std::mem::forget(self);
    }

    #[inline]
    fn release(&self) {
        // Sequentially consistent: see `synchronize`.
        if self.lock.word.swap(0, Ordering::SeqCst) & WAITERS != 0 {
            futex::wake(&self.lock.word, 1);
        }
    }
}

impl Drop for RobustGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.release();
        self.thread.end(self.before);
    }
}

impl fmt::Debug for RobustGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RobustGuard").field("recovered", &self.recovered).finish_non_exhaustive()
    }
}
