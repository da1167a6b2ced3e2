//! Looking for something for a short while before sleeping until it comes.

use std::thread;
use std::time::{Duration, Instant};

/// How often to look before others may run in between. To let them costs little where nobody wants to; but a busy
/// machine gives the processor away for longer than an answer takes, so at first it is kept.
const STRAIGHT: u32 = 24;
/// How often to look before looking at the clock.
const PER_CLOCK: u32 = 4;

/// A bounded number of looks.
#[derive(Debug)]
pub(crate) struct Spin {
    start: Instant,
    limit: Duration,
    turns: u32,
}

impl Spin {
    /// Looks until `limit` is over.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { start: Instant::now(), limit, turns: 0 }
    }

    /// After a look that found nothing; returns whether to look once more.
    pub(crate) fn turn(&mut self) -> bool {
        self.turns += 1;
        if self.turns > STRAIGHT {
            // The one that is waited for may need this very processor.
            thread::yield_now();
        }
        !self.turns.is_multiple_of(PER_CLOCK) || self.start.elapsed() < self.limit
    }
}
