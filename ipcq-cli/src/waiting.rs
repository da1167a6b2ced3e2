//! Waits in pieces: to say something, or to look around, before a long wait goes on.

use std::time::{Duration, Instant};

use ipcq_core::Wait;

/// `wait`, but no longer than `most` from now.
pub(crate) fn at_most(wait: Wait, most: Duration) -> Wait {
    match (wait, Instant::now().checked_add(most)) {
        (Wait::Forever, Some(limit)) => Wait::Until(limit),
        (Wait::Until(deadline), Some(limit)) => Wait::Until(deadline.min(limit)),
        _ => wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_end_counts() {
        let hour = Duration::from_secs(3600);
        assert_eq!(at_most(Wait::No, hour), Wait::No);
        assert!(matches!(at_most(Wait::Forever, hour), Wait::Until(_)));
        let soon = Wait::timeout(Duration::ZERO);
        assert_eq!(at_most(soon, hour), soon);
        assert_ne!(at_most(Wait::timeout(hour), Duration::ZERO), Wait::timeout(hour));
        assert_eq!(at_most(Wait::Forever, Duration::MAX), Wait::Forever);
    }
}
