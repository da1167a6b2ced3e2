//! How many messages `get` takes, how long it waits for each, and what it means that no more come.

use ipcq_core::{GetFault, Wait};

use crate::args::{AmountArgs, WaitArgs};
use crate::commands::put::messages;
use crate::failure::Failure;

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

    /// Whether an attempt that met `fault` is to be made again: busy is neither empty nor not, and `--all` is to know.
    pub(super) fn try_again(&self, fault: &GetFault) -> bool {
        matches!(fault, GetFault::Busy) && self.amount.all
    }

    /// What it means that no more messages come from `queue` after `done`.
    pub(super) fn end(&self, queue: &str, done: u64, fault: &GetFault) -> Result<(), Failure> {
        let fine = match fault {
            GetFault::Closed => self.amount.all || self.amount.follow,
            GetFault::Empty | GetFault::Timeout => self.amount.all,
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
