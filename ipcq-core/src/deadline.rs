//! How long a call may wait.

use std::time::{Duration, Instant};

/// How long a call may wait for room or for a message.
///
/// The three waiting forms of every operation (`try_put`, `put_timeout`/`put_deadline`, `put`) come down to one
/// of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Do not wait for the queue to change: `Full` or `Empty` at once. Another participant that is inside an
    /// operation is waited for 10 ms at most.
    No,
    /// Wait until this instant, then say `Timeout`.
    Until(Instant),
    /// Wait for ever.
    Forever,
}

impl Wait {
    /// Waits `timeout` from now; one that is too long for the clock is for ever.
    #[must_use]
    pub fn timeout(timeout: Duration) -> Self {
        Instant::now().checked_add(timeout).map_or(Self::Forever, Self::Until)
    }

    /// What is left of the wait: `None` is for ever, zero is over.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        match self {
            Self::No => Some(Duration::ZERO),
            Self::Until(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
            Self::Forever => None,
        }
    }

    /// Whether the wait is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }
}

impl From<Instant> for Wait {
    fn from(deadline: Instant) -> Self {
        Self::Until(deadline)
    }
}
