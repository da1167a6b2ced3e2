//! Why a channel did not do what it was asked to.

use std::fmt;

use super::backend::BackendError;
use crate::Wait;

/// Why a channel did not put a message. Nothing was put.
#[derive(Debug)]
#[non_exhaustive]
pub enum PutFault {
    /// The queue held as many messages as its capacity, at an instant inside the call.
    Full,
    /// Another participant was inside an operation for longer than a call that does not wait can wait.
    Busy,
    /// The deadline passed.
    Timeout,
    /// The queue is closed.
    Closed,
    /// The message can never fit.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest message that the queue takes.
        max: usize,
    },
    /// The backend failed.
    Backend(BackendError),
}

impl PutFault {
    /// What a put says for which there was no room until `wait` was over.
    #[must_use]
    pub const fn no_room_in(wait: Wait) -> Self {
        if matches!(wait, Wait::No) { Self::Full } else { Self::Timeout }
    }
}

/// Why a channel did not get a message. Nothing was taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum GetFault {
    /// The queue held no message, at an instant inside the call.
    Empty,
    /// Another participant was inside an operation for longer than a call that does not wait can wait.
    Busy,
    /// The deadline passed.
    Timeout,
    /// The queue is closed and drained.
    Closed,
    /// The backend failed.
    Backend(BackendError),
}

impl GetFault {
    /// What a get says for which there was no message until `wait` was over.
    #[must_use]
    pub const fn no_message_in(wait: Wait) -> Self {
        if matches!(wait, Wait::No) { Self::Empty } else { Self::Timeout }
    }
}

/// Why a channel did not acknowledge a delivery, or give it back. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeliveryFault {
    /// Its lease ran out: the message has gone back, and may have been handed out again.
    Expired,
    /// It was handed out to another process, of which this one is a fork, or this process has settled it already.
    NotHeld,
    /// The backend failed.
    Backend(BackendError),
}

/// Why a channel did not see all messages acknowledged.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinFault {
    /// At least one was not, at an instant inside the call.
    Unfinished,
    /// The deadline passed.
    Timeout,
    /// The backend failed.
    Backend(BackendError),
}

impl From<BackendError> for DeliveryFault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<BackendError> for JoinFault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<BackendError> for PutFault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<BackendError> for GetFault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl fmt::Display for PutFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::Busy => f.write_str("another process is inside an operation on the queue"),
            Self::Timeout => f.write_str("the time to put a message ran out"),
            Self::Closed => f.write_str("the queue is closed"),
            Self::TooLong { len, max } => {
                write!(f, "the message has {len} bytes, and the queue takes {max} at most")
            }
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for GetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the queue is empty"),
            Self::Busy => f.write_str("another process is inside an operation on the queue"),
            Self::Timeout => f.write_str("the time to get a message ran out"),
            Self::Closed => f.write_str("the queue is closed and drained"),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for DeliveryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the lease of the delivery has run out"),
            Self::NotHeld => f.write_str("the delivery is not this process's"),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for JoinFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("not all messages have been acknowledged"),
            Self::Timeout => f.write_str("the time for all messages to be acknowledged ran out"),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DeliveryFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Backend(error) = self { error.source() } else { None }
    }
}

impl std::error::Error for JoinFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Backend(error) = self { error.source() } else { None }
    }
}

impl std::error::Error for PutFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Backend(error) = self { error.source() } else { None }
    }
}

impl std::error::Error for GetFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Backend(error) = self { error.source() } else { None }
    }
}
