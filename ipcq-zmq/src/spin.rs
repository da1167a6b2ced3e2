//! Looking for something for a short while before sleeping until it comes.
//!
//! Where both sides have a processor of their own, it is best to go on looking. Where they share one, the other must run
//! in between (`sched_yield`), and to look without that only keeps it from its work. And where what is looked for
//! takes long, it is best to sleep soon. Which of them it is changes from one moment to the next, so each look learns from
//! those before.

use std::thread;
use std::time::{Duration, Instant};

/// How long to look where that has been of use.
const LONG: Duration = Duration::from_micros(50);
/// How long where it never is.
const SHORT: Duration = Duration::from_micros(2);
/// How often to look without letting others run, where that has been of use.
const STRAIGHT: u32 = 40;
/// How often to look for long, and straight, all the same, to learn whether that is of use by now.
const PROBE: u32 = 32;
/// How often to look before looking at the clock.
const PER_CLOCK: u32 = 4;

/// What looking has been of use for.
#[derive(Debug)]
pub(crate) struct Habit {
    limit: Duration,
    straight: u32,
    times: u32,
}

impl Default for Habit {
    fn default() -> Self {
        Self { limit: LONG, straight: STRAIGHT, times: 0 }
    }
}

impl Habit {
    /// To be called before looking.
    pub(crate) fn spin(&mut self) -> Spin {
        self.times = self.times.wrapping_add(1);
        let probes = self.times.is_multiple_of(PROBE);
        let (limit, straight) = if probes { (LONG, STRAIGHT) } else { (self.limit, self.straight) };
        Spin { start: Instant::now(), limit, straight, turns: 0 }
    }

    /// Whether what was looked for came in time.
    pub(crate) fn learn(&mut self, spin: &Spin, came: bool) {
        self.limit = if came { LONG } else { (self.limit / 2).max(SHORT) };
        if spin.straight > 0 {
            self.straight = if came && spin.turns <= spin.straight { STRAIGHT } else { 0 };
        }
    }
}

/// A bounded number of looks.
#[derive(Debug)]
pub(crate) struct Spin {
    start: Instant,
    limit: Duration,
    straight: u32,
    turns: u32,
}

impl Spin {
    /// Looks for as long as other threads take for a request or two. They get the processor at once: there are most often
    /// more of them than processors.
    pub(crate) fn of_thread() -> Self {
        Self { start: Instant::now(), limit: 2 * LONG, straight: 0, turns: 0 }
    }

    /// After a look that found nothing; returns whether to look once more.
    pub(crate) fn turn(&mut self) -> bool {
        self.turns += 1;
        if self.turns > self.straight {
            thread::yield_now();
        }
        !self.turns.is_multiple_of(PER_CLOCK) || self.start.elapsed() < self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_in_vain_looks_for_less_long() {
        let mut habit = Habit::default();
        for _ in 0..10 {
            let spin = habit.spin();
            habit.learn(&spin, false);
        }
        assert_eq!((habit.limit, habit.straight), (SHORT, 0));
        let spins: Vec<Spin> = (0..PROBE).map(|_| habit.spin()).collect();
        let probes: Vec<&Spin> = spins.iter().filter(|spin| spin.limit == LONG).collect();
        assert_eq!(probes.len(), 1, "one look for long to learn");
        habit.learn(probes[0], true);
        assert_eq!((habit.limit, habit.straight), (LONG, STRAIGHT));
    }

    #[test]
    fn who_shares_a_processor_lets_the_other_run() {
        let mut habit = Habit::default();
        let mut spin = habit.spin();
        for _ in 0..=STRAIGHT {
            spin.turn();
        }
        habit.learn(&spin, true);
        assert_eq!((habit.limit, habit.straight), (LONG, 0));
    }

    #[test]
    fn a_spin_ends() {
        let mut spin = Habit::default().spin();
        while spin.turn() {}
        assert!(spin.start.elapsed() >= LONG);
    }
}
