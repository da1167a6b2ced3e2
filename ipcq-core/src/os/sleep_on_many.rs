//! Sleeping on the words of several queues at once.
//!
//! `futex_waitv` (Linux 5.16) sleeps on 128 words. Where a filter of system calls forbids it, and for queues that have no
//! word, there is only looking from time to time: soon at first, then ever less often.

use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::{Duration, Instant};

use super::futex;
use super::lock::SLICE;
use crate::Wait;
use crate::readiness::ASLEEP;

/// The most words that the kernel lets a thread sleep on at once.
pub(crate) const MOST: usize = 128;

/// The first pause of who has to look by itself.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// How one wait sleeps, from its first sleep on.
#[derive(Debug)]
pub(crate) struct Sleeper {
    /// The next pause of who has to look by itself.
    pause: Duration,
    /// Which of too many words come next.
    first: usize,
}

impl Sleeper {
    pub(crate) const fn new() -> Self {
        Self { pause: FIRST_PAUSE, first: 0 }
    }

    /// Sleeps until a word does not have [`ASLEEP`], for a slice at most, or until `wait` is over; returns whether it may
    /// have been woken. Beside the `words` there are `deaf` queues by which nobody is woken, so that the caller must look.
    pub(crate) fn sleep(&mut self, words: &[&AtomicU32], deaf: usize, wait: Wait) -> bool {
        let most = wait.remaining().map_or(SLICE, |left| left.min(SLICE));
        if words.is_empty() {
            self.pause(deaf, wait);
            return false;
        }
        let time = if deaf == 0 { most } else { self.next_pause(deaf, wait) };
        let group = self.group(words);
        match futex::wait_many(group, ASLEEP, time) {
            Some(woken) => woken,
            None => {
                self.pause(deaf, wait);
                true
            }
        }
    }

    /// As many of `words` as can be slept on; others the next time.
    fn group<'w, 'a>(&mut self, words: &'w [&'a AtomicU32]) -> &'w [&'a AtomicU32] {
        let rest = words.get(self.first..).filter(|rest| !rest.is_empty());
        let (from, rest) = rest.map_or((0, words), |rest| (self.first, rest));
        let group = rest.get(..MOST).unwrap_or(rest);
        self.first = from + group.len();
        group
    }

    fn pause(&mut self, deaf: usize, wait: Wait) {
        let pause = self.next_pause(deaf, wait);
        thread::sleep(pause);
    }

    /// Twice as long each time. Asking a queue that nobody is woken by may cost a question to another process and a sleep
    /// until it has answered, so the more there are, the less often: two wake-ups for each, and not 25 in a second.
    fn next_pause(&mut self, deaf: usize, wait: Wait) -> Duration {
        let questions = u32::try_from(deaf).unwrap_or(u32::MAX).saturating_add(1);
        let longest = if deaf == 0 { SLICE } else { SLICE.saturating_mul(questions.saturating_add(1)) };
        let pause = self.pause.min(longest);
        self.pause = self.pause.saturating_mul(2).min(longest);
        wait.remaining().map_or(pause, |left| left.min(pause))
    }
}

/// Whether a wait that began at `start` has looked for as long as is cheaper than falling asleep.
pub(crate) fn has_looked(start: Instant) -> bool {
    const LOOK: Duration = Duration::from_micros(20);
    start.elapsed() >= LOOK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_many_words_get_their_turn() {
        let words: Vec<AtomicU32> = (0..300).map(AtomicU32::new).collect();
        let words: Vec<&AtomicU32> = words.iter().collect();
        let mut sleeper = Sleeper::new();
        let lengths: Vec<usize> = (0..4).map(|_| sleeper.group(&words).len()).collect();
        assert_eq!(lengths, [128, 128, 44, 128]);
    }

    #[test]
    fn who_has_to_look_does_so_ever_less_often() {
        let mut sleeper = Sleeper::new();
        let pauses: Vec<u128> = (0..9).map(|_| sleeper.next_pause(1, Wait::Forever).as_millis()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 135]);
        assert_eq!(sleeper.next_pause(1, Wait::No), Duration::ZERO);
    }

    #[test]
    fn a_word_that_changed_is_not_slept_on() {
        let (asleep, changed) = (AtomicU32::new(ASLEEP), AtomicU32::new(0));
        let start = Instant::now();
        assert!(Sleeper::new().sleep(&[&asleep, &changed], 0, Wait::Forever));
        assert!(start.elapsed() < SLICE);
        assert!(!Sleeper::new().sleep(&[&asleep, &asleep], 0, Wait::Forever));
        assert!(start.elapsed() >= SLICE);
    }
}
