//! How many calls to wait for before all of them are made as one request, and how long.
//!
//! As many as there were in the rounds before, and no longer than a request takes. Where they do not come by then, half
//! as many more are expected as were missed, and no more for some rounds: for twice as many each time that this happens again.

use std::time::Duration;

/// How many are expected at most.
const MOST: usize = 64;
/// For how many rounds at most no more are expected, after those who were did not come.
const SHY_MAX: u32 = 256;
/// How long to wait for them at most.
const LONGEST: Duration = Duration::from_micros(50);
/// The part that a round has in what is known of how long rounds take.
const WEIGHT: u32 = 8;

/// How many calls are expected, as far as can be told from those before.
#[derive(Debug)]
pub(crate) struct Company {
    expected: usize,
    /// For how many rounds no more are expected.
    shy: u32,
    /// For how many it will be the next time that they do not come.
    next_shy: u32,
    /// How long a round takes.
    round: Duration,
}

impl Default for Company {
    fn default() -> Self {
        Self { expected: 1, shy: 0, next_shy: 1, round: LONGEST / 2 }
    }
}

impl Company {
    /// How long to wait for those who are expected.
    pub(crate) const fn bound(&self) -> Duration {
        self.round
    }

    /// Whether no more are expected than are `present`.
    pub(crate) const fn is_complete(&self, present: usize) -> bool {
        present >= self.expected
    }

    /// All who were expected are present.
    pub(crate) fn has_come(&mut self, present: usize) {
        if present > 1 {
            self.next_shy = (self.next_shy / 2).max(1);
        }
    }

    /// No more than those who are `present` have come in time.
    pub(crate) fn is_late(&mut self, present: usize) {
        if self.is_complete(present) {
            return;
        }
        self.expected -= (self.expected - present).div_ceil(2);
        self.shy = self.next_shy;
        self.next_shy = (2 * self.next_shy).min(SHY_MAX);
    }

    /// A round has ended, which took so long: so many were done in it, or came meanwhile.
    pub(crate) fn learn(&mut self, present: usize, round: Duration) {
        self.round = (self.round * (WEIGHT - 1) + round.min(LONGEST)) / WEIGHT;
        if self.shy > 0 {
            self.shy -= 1;
        } else {
            self.expected = self.expected.max(present.min(MOST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_micros(10);

    fn after(present: usize) -> Company {
        let mut company = Company::default();
        company.learn(present, ROUND);
        company
    }

    #[test]
    fn as_many_are_expected_as_there_were() {
        assert!(Company::default().is_complete(1), "who comes first waits for nobody");
        let company = after(8);
        assert!(!company.is_complete(7));
        assert!(company.is_complete(8));
        assert!(after(1000).is_complete(MOST), "more than one request carries");
    }

    #[test]
    fn who_does_not_come_is_expected_no_more() {
        let mut company = after(8);
        (0..3).for_each(|_| company.is_late(1));
        assert!(company.is_complete(1));
    }

    #[test]
    fn those_who_never_come_in_time_are_seldom_waited_for() {
        let mut company = Company::default();
        let mut late = 0;
        for _ in 0..10_000 {
            if !company.is_complete(1) {
                company.is_late(1);
                late += 1;
            }
            // The other one came while the request was on its way.
            company.learn(2, ROUND);
        }
        assert!((1..100).contains(&late), "waited in vain {late} times");
        // Those who come are waited for again, and it takes as long as it took to learn that.
        company.learn(2, ROUND);
        (0..20).for_each(|_| company.has_come(2));
        assert_eq!(company.next_shy, 1);
    }

    #[test]
    fn nobody_is_waited_for_longer_than_rounds_take() {
        let mut company = after(2);
        (0..100).for_each(|_| company.learn(2, ROUND));
        assert!((ROUND..ROUND * 2).contains(&company.bound()), "{:?}", company.bound());
        // A round that waited for the queue says nothing.
        company.learn(2, Duration::from_secs(3600));
        assert!(company.bound() <= LONGEST, "{:?}", company.bound());
    }
}
