//! Why no message was got: one type per waiting form, all over one representation.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::backend::BackendError;
use super::decode::DecodeError;
use super::fault::GetFault;

/// What stopped a get: the queue, or the message itself once it had been taken.
pub(crate) enum GetCause {
    Decode(DecodeError),
    Fault(GetFault),
}

impl GetCause {
    /// One word for `Debug`.
    const fn state(&self) -> &'static str {
        match self {
            Self::Decode(_) => "decode",
            Self::Fault(fault) => state(fault),
        }
    }

    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Decode(error) => error.source(),
            Self::Fault(fault) => fault.source(),
        }
    }
}

/// Says which queue, what happened to it, and what to do next.
pub(super) fn describe(fault: &GetFault, queue: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match fault {
        GetFault::Empty => write!(f, "queue {queue} is empty; put messages into it, or wait for one"),
        GetFault::Busy => {
            write!(f, "queue {queue} is busy: another process is inside an operation on it; try again")
        }
        GetFault::Timeout => {
            write!(f, "the time to get a message from queue {queue} ran out; try again, or wait longer")
        }
        GetFault::Closed => write!(f, "queue {queue} is closed and drained; stop getting from it"),
        GetFault::Backend(error) => write!(f, "{error}"),
    }
}

/// One word for `Debug`.
pub(super) const fn state(fault: &GetFault) -> &'static str {
    match fault {
        GetFault::Empty => "empty",
        GetFault::Busy => "busy",
        GetFault::Timeout => "timeout",
        GetFault::Closed => "closed",
        GetFault::Backend(_) => "backend",
    }
}

/// A get that failed: the queue's name for people, and the cause. Made without allocating.
pub(crate) struct Missed {
    pub(crate) queue: Arc<str>,
    pub(crate) cause: GetCause,
}

/// Why [`Queue::get`](crate::Queue::get) gave no message: the queue is closed and drained, the message did not
/// decode, or the backend failed.
///
/// A message that does not decode has been taken; the error holds its bytes, and the queue goes on.
pub struct GetError(pub(crate) Missed);

/// Why [`Queue::get_timeout`](crate::Queue::get_timeout) or
/// [`Queue::get_deadline`](crate::Queue::get_deadline) gave no message: the time ran out, or what a [`GetError`]
/// says.
pub struct GetTimeoutError(pub(crate) Missed);

/// Why [`Queue::try_get`](crate::Queue::try_get) gave no message: the queue is empty or busy, or what a
/// [`GetError`] says.
pub struct TryGetError(pub(crate) Missed);

impl GetTimeoutError {
    /// Whether the time ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self.0.cause, GetCause::Fault(GetFault::Timeout))
    }
}

impl TryGetError {
    /// Whether the queue held no message, at an instant inside the call.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.0.cause, GetCause::Fault(GetFault::Empty))
    }

    /// Whether another process was inside an operation for longer than this call waits.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self.0.cause, GetCause::Fault(GetFault::Busy))
    }
}

impl From<GetError> for GetTimeoutError {
    fn from(error: GetError) -> Self {
        Self(error.0)
    }
}

impl From<GetError> for TryGetError {
    fn from(error: GetError) -> Self {
        Self(error.0)
    }
}

/// What the three have in common.
macro_rules! get_error {
    ($($name:ident)*) => {$(
        impl $name {
            /// The queue, as in `shm:jobs`.
            #[must_use]
            pub fn queue(&self) -> &str {
                &self.0.queue
            }

            /// Whether the queue is closed and drained.
            #[must_use]
            pub const fn is_closed(&self) -> bool {
                matches!(self.0.cause, GetCause::Fault(GetFault::Closed))
            }

            /// Whether a message was taken that did not decode.
            #[must_use]
            pub const fn is_decode(&self) -> bool {
                matches!(self.0.cause, GetCause::Decode(_))
            }

            /// The bytes of the message that did not decode, if that is what happened.
            #[must_use]
            pub fn bytes(&self) -> Option<&[u8]> {
                if let GetCause::Decode(error) = &self.0.cause { Some(error.bytes()) } else { None }
            }

            /// The bytes of the message that did not decode, if that is what happened.
            #[must_use]
            pub fn into_bytes(self) -> Option<Vec<u8>> {
                if let GetCause::Decode(error) = self.0.cause { Some(error.into_bytes()) } else { None }
            }

            /// The failure of the backend, if it was one.
            #[must_use]
            pub const fn backend(&self) -> Option<&BackendError> {
                if let GetCause::Fault(GetFault::Backend(error)) = &self.0.cause { Some(error) } else { None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.0.cause {
                    GetCause::Decode(error) => error.fmt(f),
                    GetCause::Fault(fault) => describe(fault, &self.0.queue, f),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("queue", &self.0.queue)
                    .field("cause", &self.0.cause.state())
                    .field("source", &self.source())
                    .finish_non_exhaustive()
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.0.cause.source()
            }
        }
    )*};
}

get_error! { GetError GetTimeoutError TryGetError }
