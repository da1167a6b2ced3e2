//! Why a batch was not put or got as a whole, with everything that must not be lost.

use std::error::Error;
use std::fmt;
use std::iter::{Chain, FusedIterator};
use std::sync::Arc;
use std::vec;

use super::backend::BackendError;
use super::decode::DecodeError;
use super::fault::{GetFault, PutFault};
use super::get;
use super::put::PutCause;

/// Why [`Queue::put_many`](crate::Queue::put_many) and its other forms stopped before all messages were in.
///
/// The messages before the one that stopped it are in; [`into_rest`](Self::into_rest) hands back that one and
/// all after it, in order, and can be given to `put_many` again.
pub struct PutManyError<I: Iterator> {
    pub(crate) queue: Arc<str>,
    pub(crate) put: usize,
    pub(crate) rest: Rest<I>,
    pub(crate) cause: PutCause,
}

/// The values that `put_many` did not put, in order: those it had taken from the iterator, then what the
/// iterator still has.
pub struct Rest<I: Iterator>(Chain<vec::IntoIter<I::Item>, I>);

impl<I: Iterator> Rest<I> {
    pub(crate) fn new(taken: Vec<I::Item>, left: I) -> Self {
        Self(taken.into_iter().chain(left))
    }
}

impl<I: Iterator> Iterator for Rest<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<I: FusedIterator> FusedIterator for Rest<I> {}

impl<I: Iterator> fmt::Debug for Rest<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}

impl<I: Iterator> PutManyError<I> {
    /// How many messages went in.
    #[must_use]
    pub const fn put(&self) -> usize {
        self.put
    }

    /// The values that did not go in, in order. What the iterator had not given yet is asked for only as this
    /// is used.
    #[must_use]
    pub fn into_rest(self) -> Rest<I> {
        self.rest
    }

    /// The same error without the values, which may borrow what cannot leave the function.
    #[must_use]
    pub fn without_rest(self) -> PutManyError<std::iter::Empty<()>> {
        let Self { queue, put, cause, .. } = self;
        PutManyError { queue, put, cause, rest: Rest::new(Vec::new(), std::iter::empty()) }
    }

    /// The queue, as in `shm:jobs`.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Whether the queue is full; only from a call that does not wait.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self.cause, PutCause::Fault(PutFault::Full))
    }

    /// Whether another process was inside an operation for longer than a call that does not wait can wait.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self.cause, PutCause::Fault(PutFault::Busy))
    }

    /// Whether the time ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self.cause, PutCause::Fault(PutFault::Timeout))
    }

    /// Whether the queue is closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.cause, PutCause::Fault(PutFault::Closed))
    }

    /// Whether the first message of the rest is longer than the queue takes.
    #[must_use]
    pub const fn is_too_long(&self) -> bool {
        matches!(self.cause, PutCause::Fault(PutFault::TooLong { .. }))
    }

    /// Whether the first value of the rest could not be encoded.
    #[must_use]
    pub const fn is_encode(&self) -> bool {
        matches!(self.cause, PutCause::Encode(_))
    }

    /// The failure of the backend, if it was one.
    #[must_use]
    pub const fn backend(&self) -> Option<&BackendError> {
        self.cause.backend()
    }
}

impl<I: Iterator> fmt::Display for PutManyError<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.describe(&self.queue, f)?;
        write!(f, " (messages put before: {})", self.put)
    }
}

impl<I: Iterator> fmt::Debug for PutManyError<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutManyError")
            .field("queue", &self.queue)
            .field("put", &self.put)
            .field("cause", &self.cause.state())
            .field("source", &self.source())
            .finish_non_exhaustive()
    }
}

impl<I: Iterator> Error for PutManyError<I> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

/// Why [`Queue::get_many`](crate::Queue::get_many) and its other forms gave no messages, or not only messages.
///
/// Either nothing was taken ([`is_empty`](Self::is_empty), [`is_busy`](Self::is_busy),
/// [`is_timeout`](Self::is_timeout), [`is_closed`](Self::is_closed), [`backend`](Self::backend)), or messages
/// were taken and at least one of them did not decode ([`is_decode`](Self::is_decode)): then
/// [`into_results`](Self::into_results) has all of them, so that the sound ones are not lost.
pub struct GetManyError<T> {
    pub(crate) queue: Arc<str>,
    pub(crate) cause: GetManyCause<T>,
}

pub(crate) enum GetManyCause<T> {
    Fault(GetFault),
    /// All that was taken, in order; at least one is an error.
    Decode(Vec<Result<T, DecodeError>>),
}

impl<T> GetManyError<T> {
    /// Every message that was taken, in order, each as it decoded; none if nothing was taken.
    #[must_use]
    pub fn into_results(self) -> Vec<Result<T, DecodeError>> {
        match self.cause {
            GetManyCause::Decode(results) => results,
            GetManyCause::Fault(_) => Vec::new(),
        }
    }

    /// The queue, as in `shm:jobs`.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Whether messages were taken of which at least one did not decode.
    #[must_use]
    pub const fn is_decode(&self) -> bool {
        matches!(self.cause, GetManyCause::Decode(_))
    }

    /// Whether the queue is empty; only from a call that does not wait.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.cause, GetManyCause::Fault(GetFault::Empty))
    }

    /// Whether another process was inside an operation for longer than a call that does not wait can wait.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self.cause, GetManyCause::Fault(GetFault::Busy))
    }

    /// Whether the time ran out.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self.cause, GetManyCause::Fault(GetFault::Timeout))
    }

    /// Whether the queue is closed and drained.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.cause, GetManyCause::Fault(GetFault::Closed))
    }

    /// The failure of the backend, if it was one.
    #[must_use]
    pub const fn backend(&self) -> Option<&BackendError> {
        if let GetManyCause::Fault(GetFault::Backend(error)) = &self.cause { Some(error) } else { None }
    }

    fn first_undecoded(&self) -> Option<&DecodeError> {
        let GetManyCause::Decode(results) = &self.cause else { return None };
        results.iter().find_map(|result| result.as_ref().err())
    }
}

impl<T> fmt::Display for GetManyError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            GetManyCause::Fault(fault) => get::describe(fault, &self.queue, f),
            GetManyCause::Decode(results) => {
                let broken = results.iter().filter(|result| result.is_err()).count();
                let (taken, queue) = (results.len(), &self.queue);
                write!(
                    f,
                    "{broken} of {taken} messages taken from queue {queue} could not be decoded; \
                     the error holds all of them"
                )
            }
        }
    }
}

impl<T> fmt::Debug for GetManyError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = match &self.cause {
            GetManyCause::Fault(fault) => get::state(fault),
            GetManyCause::Decode(_) => "decode",
        };
        f.debug_struct("GetManyError")
            .field("queue", &self.queue)
            .field("cause", &cause)
            .field("source", &self.source())
            .finish_non_exhaustive()
    }
}

impl<T> Error for GetManyError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            GetManyCause::Fault(fault) => fault.source(),
            GetManyCause::Decode(_) => self.first_undecoded().map(|error| error as _),
        }
    }
}
