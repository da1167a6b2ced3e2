//! A failure of a backend: what happened, to which queue, and what to do next.

use std::error::Error;
use std::fmt;

/// What kind of failure a [`BackendError`] is: callers act differently on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// Memory, disk, file handles or shared-memory space ran out. The queue is as before, and works again when
    /// there is room.
    NoRoom,
    /// The queue does not exist any more.
    Gone,
    /// The queue's storage holds what no queue can hold: something else wrote there.
    Damaged,
    /// The system refused access.
    Denied,
    /// What was asked for cannot be done with this queue.
    Unsupported,
    /// Anything else.
    Other,
}

/// A failure of a backend.
///
/// Its text is one sentence that says what happened and to which queue; [`advice`](Self::advice) says what to do
/// next, and `source` is the cause.
pub struct BackendError(Box<Inner>);

struct Inner {
    kind: BackendErrorKind,
    queue: String,
    what: String,
    advice: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BackendError {
    /// A failure of `kind` of the queue called `queue` (`shm:jobs`), or of a transport (`shm`) and all of its queues; `what` says what happened, without naming
    /// the queue, as in `the memory for a message could not be had`.
    #[must_use]
    pub fn new(kind: BackendErrorKind, queue: impl fmt::Display, what: impl Into<String>) -> Self {
        let (queue, what) = (queue.to_string(), what.into());
        Self(Box::new(Inner { kind, queue, what, advice: None, source: None }))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.0.kind
    }

    /// The queue it happened to (`shm:jobs`), or the transport (`shm`) where it concerns all of its queues.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// What to do next, where there is something to say.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// Whether something ran out that may be had again later.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        self.kind() == BackendErrorKind::NoRoom
    }

    /// Whether the queue does not exist any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.kind() == BackendErrorKind::Gone
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.0.queue.contains(':') { "queue" } else { "transport" };
        write!(f, "{whose} {}: {}", self.0.queue, self.0.what)?;
        self.0.advice.as_ref().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendError")
            .field("kind", &self.0.kind)
            .field("queue", &self.0.queue)
            .field("what", &self.0.what)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}
