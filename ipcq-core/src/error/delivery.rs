//! Why a delivery was not settled, and why a join did not see the end.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::backend::BackendError;
use super::fault::{DeliveryFault, JoinFault};

/// Why a delivery was not acknowledged, or not given back. Nothing was changed by it.
pub struct DeliveryError {
    pub(crate) queue: Arc<str>,
    pub(crate) fault: DeliveryFault,
}

impl DeliveryError {
    /// Whether its lease had run out: the message has gone back, and somebody else may do the work again.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        matches!(self.fault, DeliveryFault::Expired)
    }

    /// Whether this process does not hold it: it is the fork of the one that does.
    #[must_use]
    pub const fn is_not_held(&self) -> bool {
        matches!(self.fault, DeliveryFault::NotHeld)
    }

    /// The queue, as in `shm:jobs`.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The failure of the backend, if it was one.
    #[must_use]
    pub const fn backend(&self) -> Option<&BackendError> {
        if let DeliveryFault::Backend(error) = &self.fault { Some(error) } else { None }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = &self.queue;
        match &self.fault {
            DeliveryFault::Expired => write!(
                f,
                "the lease of a delivery from queue {queue} has run out, and the message has gone back; \
                 make the queue with a longer lease, or work faster"
            ),
            DeliveryFault::NotHeld => {
                write!(f, "a delivery from queue {queue} is held by another process; acknowledge it there")
            }
            DeliveryFault::Backend(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryError").field("queue", &self.queue).field("fault", &self.fault).finish()
    }
}

impl Error for DeliveryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// Why [`AcknowledgedQueue::join`](crate::AcknowledgedQueue::join) and its other forms did not see all messages
/// acknowledged.
pub struct JoinError {
    pub(crate) queue: Arc<str>,
    pub(crate) fault: JoinFault,
}

impl JoinError {
    /// Whether a message was not acknowledged yet; only from a call that does not wait.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(self.fault, JoinFault::Unfinished)
    }

    /// Whether the time ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self.fault, JoinFault::Timeout)
    }

    /// The queue, as in `shm:jobs`.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The failure of the backend, if it was one.
    #[must_use]
    pub const fn backend(&self) -> Option<&BackendError> {
        if let JoinFault::Backend(error) = &self.fault { Some(error) } else { None }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = &self.queue;
        match &self.fault {
            JoinFault::Unfinished => {
                write!(f, "queue {queue} has messages that are not acknowledged yet; wait for them")
            }
            JoinFault::Timeout => write!(
                f,
                "the time for all messages of queue {queue} to be acknowledged ran out; wait longer, or look \
                 whether anybody gets them"
            ),
            JoinFault::Backend(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinError").field("queue", &self.queue).field("fault", &self.fault).finish()
    }
}

impl Error for JoinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}
