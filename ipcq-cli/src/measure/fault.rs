//! Why a measurement failed.

use std::fmt;
use std::io;

use ipcq_core::error::{BackendError, CreateError, GetFault, OpenError, PutFault};

/// Why a measurement failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// What happened, and what to do, for people.
    Failed(String),
    /// The system refused something.
    System {
        /// What could not be done.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// A queue could not be made.
    Create(CreateError),
    /// A queue could not be found.
    Open(OpenError),
    /// A queue could not be handed on or closed.
    Backend(BackendError),
    /// A message did not go into a queue.
    Put {
        /// The queue.
        queue: String,
        /// Why.
        fault: PutFault,
    },
    /// No message came out of a queue.
    Get {
        /// The queue.
        queue: String,
        /// Why.
        fault: GetFault,
    },
}

impl Fault {
    /// What happened, and what to do, for people.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// The system refused `what`.
    pub fn system(what: &str, error: impl Into<io::Error>) -> Self {
        Self::System { what: what.to_owned(), error: error.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::System { what, error } => write!(f, "{what}: {error}"),
            Self::Create(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Backend(error) => error.fmt(f),
            Self::Put { queue, fault } => write!(f, "queue {queue}: {fault}"),
            Self::Get { queue, fault } => write!(f, "queue {queue}: {fault}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<CreateError> for Fault {
    fn from(error: CreateError) -> Self {
        Self::Create(error)
    }
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<BackendError> for Fault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}
