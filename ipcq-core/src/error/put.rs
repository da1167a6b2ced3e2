//! Why a message was not put: one type per waiting form, all over one representation.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::backend::BackendError;
use super::fault::PutFault;
use crate::codec::EncodeError;

/// What stopped a put, before the queue was touched or by the queue itself.
pub(crate) enum PutCause {
    Encode(EncodeError),
    Fault(PutFault),
}

impl PutCause {
    /// Says which queue, what happened to it, and what to do next.
    pub(super) fn describe(&self, queue: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => {
                write!(f, "a message for queue {queue} was not put: {error}; the error hands the value back")
            }
            Self::Fault(PutFault::Full) => {
                write!(f, "queue {queue} is full; get messages from it, or wait for room")
            }
            Self::Fault(PutFault::Busy) => {
                write!(f, "queue {queue} is busy: another process is inside an operation on it; try again")
            }
            Self::Fault(PutFault::Timeout) => {
                write!(f, "the time to put a message into queue {queue} ran out; try again, or wait longer")
            }
            Self::Fault(PutFault::Closed) => {
                write!(f, "queue {queue} is closed; it takes no more messages, so put to another one")
            }
            Self::Fault(PutFault::TooLong { len, max }) => write!(
                f,
                "the message has {len} bytes, and queue {queue} takes {max} at most; \
                 split it, or make the queue with a higher message limit"
            ),
            Self::Fault(PutFault::Backend(error)) => write!(f, "{error}"),
        }
    }

    pub(super) fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            Self::Fault(fault) => fault.source(),
        }
    }

    pub(super) const fn backend(&self) -> Option<&BackendError> {
        if let Self::Fault(PutFault::Backend(error)) = self { Some(error) } else { None }
    }

    /// One word for `Debug`.
    pub(super) const fn state(&self) -> &'static str {
        match self {
            Self::Encode(_) => "encode",
            Self::Fault(PutFault::Full) => "full",
            Self::Fault(PutFault::Busy) => "busy",
            Self::Fault(PutFault::Timeout) => "timeout",
            Self::Fault(PutFault::Closed) => "closed",
            Self::Fault(PutFault::TooLong { .. }) => "too long",
            Self::Fault(PutFault::Backend(_)) => "backend",
        }
    }
}

/// A put that failed: the value, the queue's name for people, and the cause. Made without allocating.
pub(crate) struct Refused<T> {
    pub(crate) value: T,
    pub(crate) queue: Arc<str>,
    pub(crate) cause: PutCause,
}

/// Why [`Queue::put`](crate::Queue::put) did not put: the queue is closed, the message can never fit, the value
/// could not be encoded, or the backend failed. The value is handed back.
pub struct PutError<T>(pub(crate) Refused<T>);

/// Why [`Queue::put_timeout`](crate::Queue::put_timeout) or
/// [`Queue::put_deadline`](crate::Queue::put_deadline) did not put: the time ran out, or what a [`PutError`]
/// says. The value is handed back.
pub struct PutTimeoutError<T>(pub(crate) Refused<T>);

/// Why [`Queue::try_put`](crate::Queue::try_put) did not put: the queue is full or busy, or what a [`PutError`]
/// says. The value is handed back.
pub struct TryPutError<T>(pub(crate) Refused<T>);

impl<T> PutTimeoutError<T> {
    /// Whether the time ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self.0.cause, PutCause::Fault(PutFault::Timeout))
    }
}

impl<T> TryPutError<T> {
    /// Whether the queue held as many messages as its capacity, at an instant inside the call.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self.0.cause, PutCause::Fault(PutFault::Full))
    }

    /// Whether another process was inside an operation for longer than this call waits.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self.0.cause, PutCause::Fault(PutFault::Busy))
    }
}

impl<T> From<PutError<T>> for PutTimeoutError<T> {
    fn from(error: PutError<T>) -> Self {
        Self(error.0)
    }
}

impl<T> From<PutError<T>> for TryPutError<T> {
    fn from(error: PutError<T>) -> Self {
        Self(error.0)
    }
}

/// What the three have in common.
macro_rules! put_error {
    ($($name:ident)*) => {$(
        impl<T> $name<T> {
            /// The value that was not put.
            #[must_use]
            pub fn into_inner(self) -> T {
                self.0.value
            }

            /// The queue, as in `shm:jobs`.
            #[must_use]
            pub fn queue(&self) -> &str {
                &self.0.queue
            }

            /// Whether the queue is closed.
            #[must_use]
            pub const fn is_closed(&self) -> bool {
                matches!(self.0.cause, PutCause::Fault(PutFault::Closed))
            }

            /// Whether the message is longer than the queue takes.
            #[must_use]
            pub const fn is_too_long(&self) -> bool {
                matches!(self.0.cause, PutCause::Fault(PutFault::TooLong { .. }))
            }

            /// Whether the value could not be encoded.
            #[must_use]
            pub const fn is_encode(&self) -> bool {
                matches!(self.0.cause, PutCause::Encode(_))
            }

            /// The failure of the backend, if it was one.
            #[must_use]
            pub const fn backend(&self) -> Option<&BackendError> {
                self.0.cause.backend()
            }
        }

        impl<T> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.cause.describe(&self.0.queue, f)
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("queue", &self.0.queue)
                    .field("cause", &self.0.cause.state())
                    .field("source", &self.source())
                    .finish_non_exhaustive()
            }
        }

        impl<T> Error for $name<T> {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.0.cause.source()
            }
        }
    )*};
}

put_error! { PutError PutTimeoutError TryPutError }
