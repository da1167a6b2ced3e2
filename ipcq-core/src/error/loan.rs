//! Why a queue did not lend room for a message.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::backend::BackendError;
use super::fault::PutFault;
use super::put::PutCause;

/// Why [`Queue::loan`](crate::Queue::loan) did not lend: the message could never be put, or there is no memory for it.
pub struct LoanError {
    queue: Arc<str>,
    cause: PutCause,
}

impl LoanError {
    pub(crate) const fn new(queue: Arc<str>, fault: PutFault) -> Self {
        Self { queue, cause: PutCause::Fault(fault) }
    }

    /// The queue, as in `shm:jobs`.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Whether the message would be longer than the queue takes.
    #[must_use]
    pub const fn is_too_long(&self) -> bool {
        matches!(self.cause, PutCause::Fault(PutFault::TooLong { .. }))
    }

    /// The failure of the backend, if it was one.
    #[must_use]
    pub const fn backend(&self) -> Option<&BackendError> {
        self.cause.backend()
    }
}

impl fmt::Display for LoanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.describe(&self.queue, f)
    }
}

impl fmt::Debug for LoanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoanError")
            .field("queue", &self.queue)
            .field("cause", &self.cause.state())
            .field("source", &self.source())
            .finish_non_exhaustive()
    }
}

impl Error for LoanError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
