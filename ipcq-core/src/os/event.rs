//! A word that processes sleep on until another one says that something changed.
//!
//! One bit says that somebody may be asleep. It is set by whoever is about to sleep and cleared by whoever wakes
//! one of them; a woken sleeper that finds nothing to do, or leaves something to do for others, sets it or wakes
//! the next. So nobody is woken who is not asleep, and a change that nobody waits for costs one load.
//!
//! Sleepers stand in one of two lines. Who comes while others may be asleep joins the second; wakes go to the first,
//! and once nobody is in that, the second is the first from then on. So nobody is woken twice before each who came
//! before has been woken once, though every sleeper gets up once a slice and the kernel then takes it for a new one.
//! Another bit says which line is the first.
//!
//! The other 30 bits stay zero: should a waker die between clearing the bit and waking, the kernel wakes one
//! sleeper in its place only if the low 30 bits are zero (see [`lock`](super::lock)).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::futex::{self, WAITERS};

/// Set while the line [`Line::Odd`] is the first.
const ODD_FIRST: u32 = 0x4000_0000;

/// A word to sleep on, in memory that processes share. All zeroes is one that nobody sleeps on.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Event {
    word: AtomicU32,
    /// How many calls slept on it, for people to read.
    waits: AtomicU64,
}

impl Event {
    /// An event that nobody sleeps on.
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU32::new(0), waits: AtomicU64::new(0) }
    }

    /// Says that the caller is about to sleep, and returns the line that it joins if it is not in one. It must look once
    /// more, after [`RobustLock::synchronize`](super::lock::RobustLock::synchronize), whether what it waits for has
    /// happened, and only then [`sleep`](Self::sleep).
    pub fn announce(&self) -> Line {
        let was = self.word.load(Ordering::Relaxed);
        let first = was & ODD_FIRST;
        // A hostile peer may have left other bits there, and they would keep everyone awake.
        self.word.swap(WAITERS | first, Ordering::SeqCst);
        let first = Line::first(first);
        if was & WAITERS == 0 { first } else { first.other() }
    }

    /// The same for one that has just woken another to go on in its place: it joins the second line, also when that one was
    /// the last of whom the word knew. Others may sleep all the same, and those would be passed over for as long as one
    /// that gives way joins the line before theirs.
    pub fn announce_behind_others(&self) -> Line {
        self.announce();
        Line::first(self.word.load(Ordering::Relaxed) & ODD_FIRST).other()
    }

    /// Sleeps in `line` until woken, for `time` at most. Returns at once when somebody was woken since
    /// [`announce`](Self::announce); may return for no reason. Returns whether it was not the time that ended it.
    pub fn sleep(&self, line: Line, time: Duration) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if word & WAITERS == 0 {
            return true;
        }
        futex::wait_in(&self.word, word, line.bit(), time)
    }

    /// Counts a call that is about to sleep for the first time.
    pub(super) fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls ever slept on it.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Whether somebody may be asleep.
    #[inline]
    #[must_use]
    pub fn has_sleepers(&self) -> bool {
        self.word.load(Ordering::SeqCst) & WAITERS != 0
    }

    /// Wakes the one that has slept longest in the first line that has one; returns whether there was one.
    #[cold]
    pub fn wake_one(&self) -> bool {
        let first = self.word.fetch_and(ODD_FIRST, Ordering::SeqCst) & ODD_FIRST;
        if futex::wake_in(&self.word, 1, Line::first(first).bit()) {
            return true;
        }
        // Somebody else may have done so meanwhile, or not: both lines get their turn.
        self.word.fetch_xor(ODD_FIRST, Ordering::SeqCst);
        futex::wake(&self.word, 1)
    }

    /// Wakes every sleeper.
    #[cold]
    pub fn wake_all(&self) {
        self.word.swap(0, Ordering::SeqCst);
        futex::wake(&self.word, i32::MAX);
    }

    pub(super) const fn word(&self) -> *const u32 {
        self.word.as_ptr()
    }

    /// The word itself, for who sleeps on several.
    pub(crate) const fn as_word(&self) -> &AtomicU32 {
        &self.word
    }
}

/// One of the two lines that sleepers stand in. A sleeper keeps its line until it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// First to begin with.
    Even,
    /// First after that.
    Odd,
}

impl Line {
    const fn first(bits: u32) -> Self {
        if bits & ODD_FIRST == 0 { Self::Even } else { Self::Odd }
    }

    const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Even => 1,
            Self::Odd => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Whoever stands in the first line is woken first, also if the kernel has known another one for longer.
    #[test]
    fn the_first_line_is_woken_first() {
        let (event, order) = (Event::new(), Mutex::new(Vec::new()));
        let (first, second) = (event.announce(), event.announce());
        assert_eq!((first, second), (Line::Even, Line::Odd));
        thread::scope(|scope| {
            for (at, line) in [second, first].into_iter().enumerate() {
                let (event, order) = (&event, &order);
                scope.spawn(move || {
                    event.sleep(line, LONG);
                    order.lock().expect("no sleeper fails").push(line);
                });
                while sleepers() <= at {
                    thread::yield_now();
                }
            }
            for count in 1..=2 {
                event.announce();
                assert!(event.wake_one());
                while order.lock().expect("no sleeper fails").len() < count {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(order.into_inner().expect("no sleeper fails"), [first, second]);
    }

    #[test]
    fn who_gives_way_stands_behind_others() {
        let event = Event::new();
        assert_eq!((event.announce_behind_others(), event.announce()), (Line::Odd, Line::Odd));
        event.wake_all();
        assert_eq!((event.announce_behind_others(), event.announce()), (Line::Odd, Line::Odd));
    }

    #[test]
    fn the_second_line_is_the_first_once_nobody_is_in_that() {
        let event = Event::new();
        event.announce();
        assert!(!event.wake_one());
        assert!(!event.has_sleepers());
        assert_eq!((event.announce(), event.announce()), (Line::Odd, Line::Even));
        event.wake_all();
        assert!(!event.has_sleepers());
    }

    /// How many threads of this process are asleep on a futex with a bit set that is not all bits.
    fn sleepers() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").expect("this process has threads");
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("syscall")).ok())
            .filter(|call| call.starts_with(&format!("{} ", libc::SYS_futex)))
            .filter(|call| call.split(' ').nth(6).is_some_and(|bits| matches!(bits, "0x1" | "0x2")))
            .count()
    }
}
