//! Waiting for room or for a message: a bounded spin, then sleep in slices.
//!
//! Most waits end within microseconds, while a wake-up of a sleeper costs 25 to 50: so a waiter spins for
//! [`SPIN`] first. A wait that ends sooner than a wake-up takes would have both sides sleep in turn, so it goes on
//! for [`YIELD`], giving way to others (64 B in batches of 64, 1x1: 28.6 M messages/s with it, 27.1 without; one by
//! one 4x4 on two cores: 9.3 and 8.3; medians of one interleaved run). Then it announces itself, looks once more,
//! and sleeps until it is woken; after each slice at the latest it looks again by itself, in case that who was to
//! wake it, or was woken in its place, was stopped or killed.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipcq_core::os::lock::{NotLocked, RobustGuard, SLICE};
use ipcq_core::{GetFault, PutFault, Wait};

use crate::segment::Segment;

/// How long a waiter spins alone.
const SPIN: Duration = Duration::from_micros(20);

/// How long it then goes on, giving way to others that could use its processor, before it sleeps.
const YIELD: Duration = Duration::from_micros(120);

/// How long a process may go on while others sleep on its side: long beside a wake-up, so that giving way costs
/// little, and short beside the 10 s over which shares must be even, with a hundred processes waiting.
const TURN: Duration = Duration::from_millis(2);

/// A process that has not come by for this long begins a new turn. One that only stood in line for a processor does
/// not.
const ABSENCE: Duration = Duration::from_millis(100);

/// When this process's turns began, on each side.
#[derive(Debug)]
pub(crate) struct Turns {
    start: Instant,
    sides: [Turn; 2],
}

/// In nanoseconds since the start of the turns.
#[derive(Debug, Default)]
struct Turn {
    began: AtomicU64,
    /// When this process last came by.
    seen: AtomicU64,
}

impl Default for Turns {
    fn default() -> Self {
        Self { start: Instant::now(), sides: Default::default() }
    }
}

impl Turns {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn side(&self, side: Side) -> &Turn {
        &self.sides[usize::from(side == Side::Get)]
    }

    fn begin(&self, side: Side) {
        self.side(side).began.store(self.now(), Ordering::Relaxed);
    }

    /// Whether this process, which comes by now, has come by all the time for longer than [`TURN`].
    fn is_over(&self, side: Side) -> bool {
        let (turn, now) = (self.side(side), self.now());
        let past = |since: u64| Duration::from_nanos(now.saturating_sub(since));
        let seen = turn.seen.swap(now, Ordering::Relaxed);
        if seen == 0 || past(seen) > ABSENCE {
            turn.began.store(now, Ordering::Relaxed);
        }
        past(turn.began.load(Ordering::Relaxed)) > TURN
    }
}

/// The side of the queue that a caller is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Put,
    Get,
}

impl Side {
    /// The side whose callers make those on this one go on.
    const fn other(self) -> Self {
        match self {
            Self::Put => Self::Get,
            Self::Get => Self::Put,
        }
    }
}

/// The deadline passed first.
struct Late;

impl Segment {
    /// Takes the putters' lock, and repairs what its last holder left behind if it died.
    #[inline]
    pub(crate) fn lock_put(&self, wait: Wait) -> Result<RobustGuard<'_>, PutFault> {
        match self.header().put.0.lock.lock(wait) {
            Ok(guard) => {
                if guard.is_recovered() {
                    self.ring().chunks().sweep();
                }
                Ok(guard)
            }
            Err(NotLocked) if wait != Wait::No => Err(PutFault::Timeout),
            Err(NotLocked) if self.tail().is_closed() => Err(PutFault::Closed),
            Err(NotLocked) if self.is_full() => Err(PutFault::Full),
            Err(NotLocked) => Err(PutFault::Busy),
        }
    }

    /// Takes the getters' lock, whose holders leave nothing to repair when they die.
    #[inline]
    pub(crate) fn lock_get(&self, wait: Wait) -> Result<RobustGuard<'_>, GetFault> {
        match self.header().get.0.lock.lock(wait) {
            Ok(guard) => Ok(guard),
            Err(NotLocked) if wait != Wait::No => Err(GetFault::Timeout),
            Err(NotLocked) if !self.is_empty() => Err(GetFault::Busy),
            Err(NotLocked) if self.tail().is_closed() => Err(GetFault::Closed),
            Err(NotLocked) => Err(GetFault::Empty),
        }
    }

    /// Waits until a putter can go on.
    #[cold]
    pub(crate) fn wait_for_room(&self, wait: Wait) -> Result<(), PutFault> {
        if wait == Wait::No {
            return Err(PutFault::Full);
        }
        self.wait(Side::Put, wait, || !self.is_full() || self.tail().is_closed())
            .map_err(|Late| PutFault::Timeout)
    }

    /// Waits until a getter can go on.
    #[cold]
    pub(crate) fn wait_for_message(&self, wait: Wait) -> Result<(), GetFault> {
        if wait == Wait::No {
            // One step; a thread does the rest, for the caller does not want to wait.
            self.do_chores(|| false);
            self.memory_was_freed();
            return if self.close_if_abandoned() { Ok(()) } else { Err(GetFault::Empty) };
        }
        self.wait(Side::Get, wait, || !self.is_empty() || self.tail().is_closed())
            .map_err(|Late| GetFault::Timeout)
    }

    fn wait(&self, side: Side, wait: Wait, ready: impl Fn() -> bool) -> Result<(), Late> {
        if wait.is_over() {
            // Looking again could go on for as long as others keep the queue busy.
            return if self.close_if_abandoned() { Ok(()) } else { Err(Late) };
        }
        let mut gives_way = self.give_way(side, wait);
        if !gives_way && spin(wait, &ready) {
            return Ok(());
        }
        let _counted = self.count_waiter(side);
        loop {
            self.event(side).announce();
            self.lock_of(side.other()).synchronize();
            if !gives_way && ready() || self.tail().is_closed() || self.close_if_abandoned() {
                return Ok(());
            }
            let slice = wait.remaining().map_or(SLICE, |left| left.min(SLICE));
            if slice.is_zero() {
                return Err(Late);
            }
            let woken = self.event(side).sleep(slice);
            self.turns.begin(side);
            gives_way = false;
            // Looking around after a slice costs next to nothing; who was woken has somebody to keep up with.
            if ready() || woken && spin(wait, &ready) {
                // Who woke this one cleared the bit, and cannot know whether others sleep. Neither can this one, so
                // it sets the bit again before it goes on: see `pass_on`.
                self.event(side).announce();
                return Ok(());
            }
            self.do_chores(|| !ready() && !wait.is_over());
        }
    }

    /// Ends this process's turn if it is over and somebody sleeps on the same side: wakes that one, and says that
    /// the caller shall sleep behind it. Without this, one that never sleeps can keep the others from ever finding
    /// room, or a message, when they wake.
    fn give_way(&self, side: Side, wait: Wait) -> bool {
        let has_time = wait.remaining().is_none_or(|left| left > 2 * SLICE);
        self.event(side).has_sleepers() && has_time && self.turns.is_over(side) && self.event(side).wake_one()
    }

    /// Wakes one more caller on `side` if it can go on as well: whoever was woken passes the wake on.
    #[inline]
    pub(crate) fn pass_on(&self, side: Side) {
        if self.event(side).has_sleepers() {
            self.wake_if_useful(side);
        }
    }

    #[cold]
    fn wake_if_useful(&self, side: Side) {
        let stuck = match side {
            Side::Put => self.is_full(),
            Side::Get => self.is_empty(),
        };
        if !stuck {
            self.event(side).wake_one();
        }
    }

    /// Wakes one caller on `side` that is asleep.
    #[inline]
    pub(crate) fn wake_if_asleep(&self, side: Side) {
        if self.event(side).has_sleepers() {
            self.event(side).wake_one();
        }
    }
}

/// Looks until it is `ready`, for [`SPIN`] or as long as the wait goes; returns whether it is.
fn spin(wait: Wait, ready: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    let end = match wait {
        Wait::Until(deadline) => deadline.min(start + YIELD),
        _ => start + YIELD,
    };
    let alone = start + SPIN;
    loop {
        for _ in 0..16 {
            if ready() {
                return true;
            }
            hint::spin_loop();
        }
        let now = Instant::now();
        if now >= end {
            return false;
        }
        if now >= alone {
            thread::yield_now();
        }
    }
}
