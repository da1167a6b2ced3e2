//! Waiting for room or for a message: a bounded spin, then sleep in slices.
//!
//! Most waits end within microseconds, while a wake-up of a sleeper costs 25 to 50: so a waiter spins for a few,
//! longer than an answer from another processor takes. Behind that it looks for some 100 more, but lets others have
//! the processor in between: who is waited for may be among them. (64 B in batches of 64, spinning alone for 3 µs and
//! for 20: 46 to 53 and 18 M messages/s on one processor, the same for 1x1 and 4x4; 4x4 on four processors 1.23 times as
//! many, the middle of 31 pairs; one at a time no difference.) Then it announces itself, looks once more, and sleeps
//! until it is woken; after each slice at the latest it looks again by itself, in case that who was to wake it, or was
//! woken in its place, was stopped or killed.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::hint;
use std::ops::RangeInclusive;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::event::Event;
use super::lock::{PATIENCE, RobustLock, SLICE};
use super::participants::{Side, Waiting};
use crate::trace::Nap;
use crate::{Identity, Wait};

/// How long a waiter spins alone.
const SPIN: Duration = Duration::from_micros(3);

/// How long it then goes on, giving way to others that could use its processor, before it sleeps.
const YIELD: Duration = Duration::from_micros(120);

/// How long a thread may go on while others sleep on its side: long beside a wake-up, so that giving way costs
/// little, and short beside the 10 s over which shares must be even, with a hundred processes waiting.
const TURN: Duration = Duration::from_millis(2);

/// How many waits a turn has at least, unless it is [`LONG_TURN`]: who did not have a processor for much of its turn
/// would get far less than others.
const WAITS: u32 = 2000;

/// How long a turn of few waits may be.
const LONG_TURN: Duration = Duration::from_millis(10);

/// A thread that has not come by for this long begins a new turn. One that only stood in line for a processor does
/// not.
const ABSENCE: Duration = Duration::from_millis(100);

/// The fewest and the most pauses that a waiter makes before it looks.
const PAUSES: RangeInclusive<u32> = 4..=32;

/// Every so many waits that look at once, one makes pauses instead, to learn whether they would be of use.
const PROBE: u32 = 8;

/// How this process waits on each side of a queue: one object for each queue and process. It also tells queues apart
/// for the turns of threads.
#[derive(Debug, Default)]
pub struct Turns {
    paces: [Pace; 2],
}

/// Since when a thread goes on without sleeping, on one side of one queue. Threads of a process have turns of their
/// own, for those of one that is woken would else prolong those of another that goes on.
#[derive(Clone, Copy)]
struct Turn {
    /// Where the queue's [`Turns`] are, and the side.
    of: (usize, bool),
    began: Instant,
    /// When this thread last came by.
    seen: Instant,
    waits: u32,
}

thread_local! {
    /// The turn that this thread has, on the last queue and side on which it waited.
    static TURN_HERE: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// How long a waiter pauses before it looks.
///
/// Who looks all the time takes the other side's words from its cache with every message, so that both go at the pace
/// of the transfers. Where messages come one behind the other, it is better to look a little later and find some. Where
/// each is an answer to the last, pauses would only make it late. A wait that paused tells which it is, by how many
/// messages, or how much room, it found. (64 B one at a time, two cores, medians of ten interleaved runs, in millions
/// of messages a second, without and with: 1x1 13.0 and 17.1, 4x4 13.1 and 18.0, 1x1 at a capacity of 10 11.1 and 12.4.)
#[derive(Debug, Default)]
struct Pace {
    pauses: AtomicU32,
    waits: AtomicU32,
}

impl Pace {
    fn pauses(&self) -> u32 {
        let pauses = self.pauses.load(Ordering::Relaxed);
        let probes = pauses == 0 && self.waits.fetch_add(1, Ordering::Relaxed).is_multiple_of(PROBE);
        if probes { *PAUSES.start() } else { pauses }
    }

    /// After `pauses`, a wait found that `found` calls could go on, of `most` that ever can. Where that is much of it,
    /// the other side may have had to wait meanwhile.
    fn learn(&self, pauses: u32, found: usize, most: usize) {
        let next = if (2..=most / 4).contains(&found) {
            (2 * pauses).min(*PAUSES.end())
        } else if pauses > *PAUSES.start() {
            pauses / 2
        } else {
            0
        };
        self.pauses.store(next, Ordering::Relaxed);
    }
}

impl Turns {
    fn of(&self, side: Side) -> (usize, bool) {
        (ptr::from_ref(self).addr(), side == Side::Get)
    }

    /// Begins a turn of the calling thread.
    fn begin(&self, side: Side) {
        TURN_HERE.set(Some(self.turn(side, Instant::now())));
    }

    fn turn(&self, side: Side, now: Instant) -> Turn {
        Turn { of: self.of(side), began: now, seen: now, waits: 0 }
    }

    /// Whether the calling thread, which comes by to wait, has come by all the time for a whole turn.
    fn is_over(&self, side: Side) -> bool {
        let now = Instant::now();
        let known = TURN_HERE.get().filter(|turn| turn.of == self.of(side) && now - turn.seen <= ABSENCE);
        let turn = known.unwrap_or_else(|| self.turn(side, now));
        let waits = turn.waits.saturating_add(1);
        TURN_HERE.set(Some(Turn { seen: now, waits, ..turn }));
        now - turn.began > if waits < WAITS { LONG_TURN } else { TURN }
    }
}

/// The time that a call which does not wait gives to others that are inside an operation: 10 ms in all, however often
/// it takes the lock, from when it first has to wait for it.
#[derive(Debug, Default)]
pub struct Patience(Cell<Option<Instant>>);

impl Patience {
    /// When to stop waiting for a lock.
    #[must_use]
    pub fn deadline(&self, wait: Wait) -> Option<Instant> {
        match wait {
            Wait::No => {
                let end = self.0.get().unwrap_or_else(|| Instant::now() + PATIENCE);
                self.0.set(Some(end));
                Some(end)
            }
            Wait::Until(deadline) => Some(deadline),
            Wait::Forever => None,
        }
    }

    /// When a call that gets stops waiting for the getters' lock; one that has messages would like `more`.
    #[must_use]
    pub fn deadline_of_get(&self, wait: Wait, more: bool) -> Option<Instant> {
        if more { self.deadline_for_more(wait) } else { self.deadline(wait) }
    }

    /// The same for a call that has what it came for, and would like more.
    #[must_use]
    pub fn deadline_for_more(&self, wait: Wait) -> Option<Instant> {
        let own = self.deadline(wait);
        let usual = Instant::now() + PATIENCE;
        Some(own.map_or(usual, |own| own.min(usual)))
    }
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

/// A queue on whose two sides calls wait. The provided methods are the waiting, and are the same for all queues.
pub trait TwoSided {
    /// What callers on `side` sleep on.
    fn event(&self, side: Side) -> &Event;

    /// The lock of callers on `side`.
    fn lock_of(&self, side: Side) -> &RobustLock;

    /// The turns of this process.
    fn turns(&self) -> &Turns;

    /// Whether a caller on `side` can go on, at an instant inside the call: there is room, or a message.
    fn can_go_on(&self, side: Side) -> bool;

    /// What was fixed when the queue was made.
    fn identity(&self) -> &Identity;

    /// How many calls on `side` could go on, as far as can be seen without waiting: a hint.
    fn backlog(&self, side: Side) -> usize;

    /// Whether the queue is closed.
    fn is_closed(&self) -> bool;

    /// Whether callers on `side` will not be able to go on any more.
    fn has_ended(&self, _side: Side) -> bool {
        self.is_closed()
    }

    /// Closes a queue whose producers have all left, if it was made to; returns whether it did so now.
    fn close_if_abandoned(&self) -> bool;

    /// Counts a call that is about to sleep.
    fn count_waiter(&self, side: Side) -> Option<Waiting<'_>>;

    /// What a call does once a slice while it has nothing better to do, for as long as it is told to go on.
    fn do_chores(&self, go_on: &dyn Fn() -> bool);

    /// What a call does that found nothing to do, and does not wait: one step of that, where it can be of use so soon.
    fn do_a_chore(&self) {
        self.do_chores(&|| false);
    }

    /// Waits until a caller on `side` can go on, or the queue is closed.
    ///
    /// # Errors
    /// [`Late`] when `wait` was over first.
    ///
    /// # Blocking
    /// As `wait` says.
    fn wait_on(&self, side: Side, wait: Wait) -> Result<(), Late> {
        let ready = || self.can_go_on(side) || self.has_ended(side);
        if wait.is_over() {
            // Looking again could go on for as long as others keep the queue busy.
            return if self.close_if_abandoned() { Ok(()) } else { Err(Late) };
        }
        let mut gives_way = self.give_way(side, wait);
        if !gives_way && self.spin_at_pace(side, wait, ready) {
            return Ok(());
        }
        let _counted = self.count_waiter(side);
        let mut line = None;
        let (mut slept, mut nap) = (false, Nap::of(self.identity(), side));
        loop {
            let event = self.event(side);
            let announced = if gives_way { event.announce_behind_others() } else { event.announce() };
            let line = *line.get_or_insert(announced);
            self.lock_of(side.other()).synchronize();
            if !gives_way && ready() || self.has_ended(side) || self.close_if_abandoned() {
                return Ok(());
            }
            let slice = wait.remaining().map_or(SLICE, |left| left.min(SLICE));
            if slice.is_zero() {
                return Err(Late);
            }
            if !std::mem::replace(&mut slept, true) {
                self.event(side).count_wait();
            }
            nap.begin();
            let woken = self.event(side).sleep(line, slice);
            self.turns().begin(side);
            gives_way = false;
            // Looking around after a slice costs next to nothing; who was woken has somebody to keep up with.
            if ready() || woken && spin(wait, ready) {
                // Who woke this one cleared the bit, and cannot know whether others sleep. Neither can this one, so
                // it sets the bit again before it goes on: see `pass_on`.
                self.event(side).announce();
                return Ok(());
            }
            self.do_chores(&|| !ready() && !wait.is_over());
        }
    }

    /// Looks until it is `ready`, after some pauses if they are of use; returns whether it is.
    fn spin_at_pace(&self, side: Side, wait: Wait, ready: impl Fn() -> bool) -> bool {
        let pace = &self.turns().paces[usize::from(side == Side::Get)];
        let pauses = pace.pauses();
        for _ in 0..pauses {
            hint::spin_loop();
        }
        let is_ready = spin(wait, ready);
        if pauses > 0 {
            pace.learn(pauses, self.backlog(side), self.identity().capacity);
        }
        is_ready
    }

    /// Ends this thread's turn if it is over and somebody sleeps on the same side: wakes that one, and says that
    /// the caller shall sleep behind it. Without this, one that never sleeps can keep the others from ever finding
    /// room, or a message, when they wake.
    ///
    /// The kernel is asked who sleeps, and not the event's bit: that is clear from when somebody is woken until it runs, and
    /// one that waits for this thread's processor does not run before this thread stops. Where nobody sleeps, such a one
    /// is let run.
    fn give_way(&self, side: Side, wait: Wait) -> bool {
        let has_time = wait.remaining().is_none_or(|left| left > 2 * SLICE);
        if !has_time || !self.turns().is_over(side) {
            return false;
        }
        let gives_way = self.event(side).wake_one();
        if !gives_way {
            thread::yield_now();
            self.turns().begin(side);
        }
        gives_way
    }

    /// Wakes one more caller on `side` if it can go on as well: whoever was woken passes the wake on.
    #[inline]
    fn pass_on(&self, side: Side) {
        if self.event(side).has_sleepers() {
            self.wake_if_useful(side);
        }
    }

    /// The rare part of [`pass_on`](Self::pass_on).
    #[cold]
    fn wake_if_useful(&self, side: Side) {
        if self.can_go_on(side) {
            self.event(side).wake_one();
        }
    }

    /// Wakes one caller on `side` that is asleep.
    #[inline]
    fn wake_if_asleep(&self, side: Side) {
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
