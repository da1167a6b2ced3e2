//! A queue that may lend its memory: see [`Loan`]. What is provided copies, for those that do not.

use std::sync::Arc;

use super::two_lock::TwoLock;
use crate::error::{GetFault, PutFault};
use crate::{Loan, Wait};

/// A queue with loans of its own, or without.
pub trait Lending: TwoLock {
    /// Room for a message of `len` bytes; see [`Channel::loan`](crate::Channel::loan).
    ///
    /// # Errors
    /// As there.
    fn loan(self: &Arc<Self>, len: usize) -> Result<Loan, PutFault> {
        self.identity().blank(len).map(Loan::from)
    }

    /// Puts what was built; see [`Channel::put_loan`](crate::Channel::put_loan).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Blocking
    /// As there.
    fn put_loan(self: &Arc<Self>, loan: &mut Loan, wait: Wait) -> Result<(), PutFault> {
        self.put(&[&loan[..]], wait)?;
        *loan = Loan::default();
        Ok(())
    }

    /// Gets a message as a loan; see [`Channel::get_loan`](crate::Channel::get_loan).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Blocking
    /// As there.
    fn get_loan(self: &Arc<Self>, wait: Wait) -> Result<Loan, GetFault> {
        let mut message = Vec::new();
        self.get(&mut message, wait)?;
        Ok(message.into())
    }
}
