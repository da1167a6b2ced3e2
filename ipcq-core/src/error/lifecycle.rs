//! Errors of making, opening and removing queues.

use std::error::Error;
use std::fmt;

use super::backend::{BackendError, BackendErrorKind};
use crate::name::NameError;

/// Why a queue was not made. Nothing is left of the attempt.
#[derive(Debug)]
#[non_exhaustive]
pub enum CreateError {
    /// There is a queue of that name.
    Exists {
        /// The queue, as in `shm:jobs`.
        queue: String,
    },
    /// The options ask for what this transport cannot do.
    Unsupported {
        /// The transport's name.
        transport: &'static str,
        /// What it cannot do.
        what: String,
    },
    /// The options ask for what no queue can be.
    Invalid {
        /// The rule that is broken.
        rule: &'static str,
    },
    /// The name is not legal.
    Name(NameError),
    /// The backend failed.
    Backend(BackendError),
}

impl CreateError {
    /// [`CreateError::Exists`].
    #[must_use]
    pub fn exists(queue: impl fmt::Display) -> Self {
        Self::Exists { queue: queue.to_string() }
    }

    /// [`CreateError::Unsupported`].
    #[must_use]
    pub const fn unsupported(transport: &'static str, what: String) -> Self {
        Self::Unsupported { transport, what }
    }

    /// [`CreateError::Invalid`].
    #[must_use]
    pub const fn invalid(rule: &'static str) -> Self {
        Self::Invalid { rule }
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { queue } => write!(f, "queue {queue} exists; open it, or remove it first"),
            Self::Unsupported { transport, what } => {
                write!(f, "the {transport} transport cannot make this queue: it does not offer {what}")
            }
            Self::Invalid { rule } => f.write_str(rule),
            Self::Name(error) => error.fmt(f),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl Error for CreateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Backend(error) = self { error.source() } else { None }
    }
}

impl From<NameError> for CreateError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<BackendError> for CreateError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

/// Why a queue was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no queue of that name.
    Missing {
        /// The queue, as in `shm:jobs`.
        queue: String,
    },
    /// The parent of this process shared no queue of that number with it, or its descriptor is closed by now.
    NotShared {
        /// The transport's name.
        transport: &'static str,
        /// The number of the queue, in the order of sharing, from 0 on.
        number: usize,
    },
    /// The queue is not what this program can use: something about it does not match.
    Mismatch {
        /// The queue, as in `shm:jobs`.
        queue: String,
        /// What does not match: magic, version, layout, codec, boot, process namespace, size.
        what: &'static str,
        /// What the queue has.
        found: String,
        /// What this program needs.
        expected: String,
    },
    /// The queue that the handle stood for is gone; a later one may have its name.
    Gone {
        /// The queue, as in `shm:jobs`.
        queue: String,
    },
    /// The user may not open it.
    Denied {
        /// The queue, as in `shm:jobs`.
        queue: String,
    },
    /// No backend of that name is in use in this program.
    UnknownTransport {
        /// The backend's name.
        transport: String,
    },
    /// The name is not legal.
    Name(NameError),
    /// The backend failed.
    Backend(BackendError),
}

impl OpenError {
    /// [`OpenError::Missing`].
    #[must_use]
    pub fn missing(queue: impl fmt::Display) -> Self {
        Self::Missing { queue: queue.to_string() }
    }

    /// [`OpenError::NotShared`].
    #[must_use]
    pub const fn not_shared(transport: &'static str, number: usize) -> Self {
        Self::NotShared { transport, number }
    }

    /// [`OpenError::Mismatch`].
    #[must_use]
    pub fn mismatch(
        queue: impl fmt::Display,
        what: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        let (queue, found, expected) = (queue.to_string(), found.to_string(), expected.to_string());
        Self::Mismatch { queue, what, found, expected }
    }

    /// Whether there is no such queue.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NotShared { .. })
    }
}

/// What to do about a queue of which `what` does not match.
fn advice_on_mismatch(what: &str) -> &'static str {
    match what {
        "codec" => "open it with that codec, or make another queue",
        "delivery" => "open it as a plain queue, or make another one for acknowledged delivery",
        "process namespace" => "use it from there, or remove it and make it again",
        "layout version" => "use the version of the program that made it, or remove it and make it again",
        _ => "remove it and make it again, or use another name",
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { queue } => {
                write!(f, "there is no queue {queue}; create it first, or look at what there is")
            }
            Self::Mismatch { queue, what, found, expected } => write!(
                f,
                "queue {queue} cannot be used by this program: its {what} is {found}, and must be {expected}; {}",
                advice_on_mismatch(what)
            ),
            Self::NotShared { transport, number } => write!(
                f,
                "no queue of transport {transport} with number {number} was shared with this process; share it \
                 with the command that starts this program, before it starts"
            ),
            Self::Gone { queue } => {
                write!(
                    f,
                    "the queue {queue} that this handle stood for is gone, and a later one may have its name; open it \
                     by its name to use that one"
                )
            }
            Self::Denied { queue } => {
                write!(f, "permission to open queue {queue} was refused; it belongs to another user")
            }
            Self::UnknownTransport { transport } => {
                write!(f, "no transport {transport:?} is in use in this program; make one of it first")
            }
            Self::Name(error) => error.fmt(f),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Backend(error) = self { error.source() } else { None }
    }
}

impl From<NameError> for OpenError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<BackendError> for OpenError {
    fn from(error: BackendError) -> Self {
        match error.kind() {
            BackendErrorKind::Gone => Self::Gone { queue: error.queue().to_owned() },
            BackendErrorKind::Denied => Self::Denied { queue: error.queue().to_owned() },
            _ => Self::Backend(error),
        }
    }
}

/// Why a queue was not removed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RemoveError {
    /// There is no queue of that name.
    Missing {
        /// The queue, as in `shm:jobs`.
        queue: String,
    },
    /// The backend failed.
    Backend(BackendError),
}

impl RemoveError {
    /// [`RemoveError::Missing`].
    #[must_use]
    pub fn missing(queue: impl fmt::Display) -> Self {
        Self::Missing { queue: queue.to_string() }
    }
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { queue } => write!(f, "there is no queue {queue}; nothing was removed"),
            Self::Backend(error) => error.fmt(f),
        }
    }
}

impl Error for RemoveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Backend(error) = self { error.source() } else { None }
    }
}

impl From<BackendError> for RemoveError {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}
