//! What the ring refuses, as the errors that callers know.

use std::collections::TryReserveError;

use ipcq_core::os::failure::Failure;
use ipcq_core::{BackendError, BackendErrorKind, GetFault, PutFault};

use crate::chunks::Stuck;
use crate::ring::{GetRefusal, PutRefusal};
use crate::segment::Segment;

impl Segment {
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
            PutRefusal::Stuck(Stuck::Damage) => self.damaged().into(),
            PutRefusal::Stuck(Stuck::NoRoom(source)) => {
                let failure = Failure::new("the memory for a message could not be had", source);
                failure.with_kind(BackendErrorKind::NoRoom).into_backend(self.identity()).into()
            }
        }
    }

    #[cold]
    pub(crate) fn explain_get(&self, refusal: &GetRefusal) -> GetFault {
        match refusal {
            GetRefusal::Empty => GetFault::Empty,
            GetRefusal::Closed => GetFault::Closed,
            GetRefusal::TooSmall(_) | GetRefusal::Damage => self.damaged().into(),
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
