//! How many messages `get` takes, how long it waits for each, and what it means that no more come.

use ipcq_core::{GetFault, Wait};

use crate::args::{AmountArgs, WaitArgs};
use crate::failure::Failure;
use crate::tally::messages;

/// What the user wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) amount: AmountArgs,
    pub(super) wait: WaitArgs,
}

impl Terms {
    /// How many messages are wanted at most.
    pub(super) fn wanted(&self) -> u64 {
        match self.amount {
            AmountArgs { all: true, .. } | AmountArgs { follow: true, .. } => u64::MAX,
            AmountArgs { number, .. } => number.unwrap_or(1),
        }
    }

    /// Whether a number of messages is wanted, rather than all there are or will be.
    pub(super) fn is_bounded(&self) -> bool {
        !self.amount.all && !self.amount.follow
    }

    /// How long the next message may be in coming.
    pub(super) fn wait(&self) -> Wait {
        match self.wait {
            WaitArgs { timeout: Some(timeout), .. } => Wait::timeout(timeout),
            WaitArgs { no_wait: true, .. } => Wait::No,
            _ if self.amount.all => Wait::No,
            _ => Wait::Forever,
        }
    }

    /// How to try again after an attempt that met `fault`, if that is to be done. `--all` is to know that the queue is empty:
    /// time that has passed does not say so, and neither does that somebody is busy, which only who said how long to wait
    /// is told.
    pub(super) fn try_again(&self, fault: &GetFault, wait: Wait) -> Option<Wait> {
        let again = match fault {
            GetFault::Timeout => wait != Wait::No,
            GetFault::Busy => !self.wait.is_bounded(),
            _ => false,
        };
        (again && self.amount.all).then_some(Wait::No)
    }

    /// What it means that no more messages come from `queue` after `done`.
    pub(super) fn end(&self, queue: &str, done: u64, fault: &GetFault) -> Result<(), Failure> {
        let fine = match fault {
            GetFault::Closed => self.amount.all || self.amount.follow,
            GetFault::Empty => self.amount.all,
            _ => false,
        };
        if fine {
            return Ok(());
        }
        let failure = Failure::get(queue, fault);
        Err(match self.amount.number {
            Some(number) if done > 0 => failure.after(&format!("got {done} of {number} messages")),
            _ if done > 0 => failure.after(&format!("got {}", messages(done))),
            _ => failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn terms(all: bool, no_wait: bool, timeout: Option<Duration>) -> Terms {
        let amount = AmountArgs { all, follow: false, number: None };
        Terms { amount, wait: WaitArgs { no_wait, timeout } }
    }

    #[test]
    fn all_is_over_only_when_the_queue_is_empty() {
        let (brief, long) = (Some(Duration::from_millis(1)), Wait::timeout(Duration::from_secs(1)));
        // Time that passed is no word on the queue: it is looked at once more.
        assert_eq!(terms(true, false, brief).try_again(&GetFault::Timeout, long), Some(Wait::No));
        assert_eq!(terms(true, false, None).try_again(&GetFault::Busy, Wait::No), Some(Wait::No));
        for bounded in [terms(true, true, None), terms(true, false, brief)] {
            assert_eq!(bounded.try_again(&GetFault::Busy, Wait::No), None);
            assert!(bounded.end("q", 0, &GetFault::Busy).is_err());
            assert!(bounded.end("q", 0, &GetFault::Empty).is_ok());
        }
        assert_eq!(terms(false, false, brief).try_again(&GetFault::Timeout, long), None);
    }
}
