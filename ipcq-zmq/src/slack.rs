//! What the process of a broker keeps of memory that messages and buffers have left, and when that is given back.
//!
//! Freed memory is used again for the next messages, which costs less than to ask the kernel for it, so it is kept
//! while messages come. It is given back once they have needed less for a while.

use ipcq_core::os::allocator;

/// So much may be kept.
const MUCH: usize = 64 << 10;
/// How long messages have needed less before it is given back, at least, in nanoseconds; it takes twice that at most.
const PERIOD: u64 = 250_000_000;

/// What messages have needed.
#[derive(Debug, Default)]
pub(crate) struct Slack {
    /// The most that may not have been given back.
    kept: usize,
    /// The most that was needed at once in this period.
    recent: usize,
    /// When the period ends.
    end: u64,
}

impl Slack {
    /// So much is needed now.
    pub(crate) fn note(&mut self, bytes: usize) {
        self.recent = self.recent.max(bytes);
    }

    /// When to look next, of messages that need `bytes` now; nothing if there is nothing to give back.
    pub(crate) fn next(&self, bytes: usize) -> Option<u64> {
        (self.kept.max(self.recent).saturating_sub(bytes) >= MUCH).then_some(self.end)
    }

    /// Gives back what was not needed in the last period, of messages that need `bytes` now. To be called as often as
    /// one likes.
    pub(crate) fn look(&mut self, now: u64, bytes: usize) {
        if now >= self.end && self.begin(now, bytes) {
            allocator::give_back_freed();
        }
    }

    /// Begins the next period; returns whether there is something to give back.
    fn begin(&mut self, now: u64, bytes: usize) -> bool {
        self.end = now.saturating_add(PERIOD);
        let recent = std::mem::replace(&mut self.recent, bytes);
        let gives_back = self.kept.saturating_sub(recent) >= MUCH;
        self.kept = if gives_back { recent } else { self.kept.max(recent) };
        gives_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_for_a_period_is_given_back_once() {
        let mut slack = Slack::default();
        assert!(!slack.begin(0, 0));
        assert_eq!(slack.next(0), None, "nothing was ever needed");
        slack.note(10 * MUCH);
        assert_eq!(slack.next(10 * MUCH), None, "all of it is needed");
        assert_eq!(slack.next(0), Some(PERIOD));
        assert!(!slack.begin(PERIOD, 0), "it was needed in the period that has ended");
        assert_eq!(slack.next(0), Some(2 * PERIOD));
        assert!(slack.begin(2 * PERIOD, 0));
        assert_eq!(slack.next(0), None);
        assert!(!slack.begin(3 * PERIOD, 0));
    }

    #[test]
    fn what_is_needed_time_and_again_is_kept() {
        let mut slack = Slack::default();
        for period in 0..10 {
            slack.note(10 * MUCH);
            assert!(!slack.begin(period * PERIOD, 0), "in period {period}");
        }
        slack.note(MUCH);
        assert!(slack.begin(10 * PERIOD, MUCH), "much less was needed");
        assert!(!slack.begin(11 * PERIOD, MUCH));
    }
}
