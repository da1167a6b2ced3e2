//! What the flow refuses, as the errors that callers know.

use std::collections::TryReserveError;

use ipcq_core::os::failure::Failure;
use ipcq_core::{BackendError, BackendErrorKind, PutFault};

use crate::conduit::Conduit;
use crate::flow::PutRefusal;
use crate::pool::Stuck;

impl Conduit {
    #[inline]
    pub(crate) fn check_length(&self, len: usize) -> Result<(), PutFault> {
        let max = self.identity().max_message;
        if len > max { Err(PutFault::TooLong { len, max }) } else { Ok(()) }
    }

    #[cold]
    pub(crate) fn explain_put(&self, refusal: PutRefusal) -> PutFault {
        match refusal {
            PutRefusal::Full => PutFault::Full,
            PutRefusal::Closed => PutFault::Closed,
            PutRefusal::Stuck(stuck) => self.explain_stuck(stuck).into(),
        }
    }

    #[cold]
    pub(crate) fn explain_stuck(&self, stuck: Stuck) -> BackendError {
        match stuck {
            Stuck::Damage => self.damaged(),
            Stuck::NoRoom(source) => {
                let failure = Failure::new("the memory or the descriptors it needs could not be had", source);
                failure.with_kind(BackendErrorKind::NoRoom).into_backend(self.identity())
            }
        }
    }

    /// This process has no memory to take a message of `len` bytes into.
    #[cold]
    pub(crate) fn no_memory(&self, len: usize, source: TryReserveError) -> BackendError {
        let what = format!("this process has no memory for its next message of {len} bytes");
        BackendError::new(BackendErrorKind::NoRoom, self.identity(), what)
            .with_advice("free some and get it again: it is still in the queue")
            .with_source(source)
    }
}
