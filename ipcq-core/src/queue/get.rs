//! Getting messages, one or many, in three waiting forms.

use std::mem;
use std::time::{Duration, Instant};

use super::{Queue, scratch};
use crate::codec::{Codec, DecodeFailure};
use crate::deadline::Wait;
use crate::error::{
    DecodeError, GetCause, GetError, GetManyCause, GetManyError, GetTimeoutError, Missed, TryGetError,
};
use crate::message::{Batch, Limit};

impl<T, C: Codec<T>> Queue<T, C> {
    /// Gets the oldest message, waiting for one as long as it takes.
    ///
    /// # Blocking
    /// While the queue is empty and not closed.
    ///
    /// # Errors
    /// When the queue is closed and drained, or the backend fails; nothing was taken. When the message does not
    /// decode; it was taken, the error holds its bytes, and the queue goes on.
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// jobs.put(7)?;
    /// jobs.close()?;
    /// assert_eq!(jobs.get()?, 7);
    /// assert!(jobs.get().unwrap_err().is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get(&self) -> Result<T, GetError> {
        self.get_within(Wait::Forever).map_err(GetError)
    }

    /// Gets the oldest message if there is one now.
    ///
    /// # Blocking
    /// Not for a message; 10 ms at most for another process that is inside an operation.
    ///
    /// # Errors
    /// When the queue is empty or busy, and as [`get`](Self::get).
    #[inline]
    pub fn try_get(&self) -> Result<T, TryGetError> {
        self.get_within(Wait::No).map_err(TryGetError)
    }

    /// Gets the oldest message, waiting for one for `timeout` at most. One that is too long for the clock is for
    /// ever.
    ///
    /// # Blocking
    /// While the queue is empty and not closed, for `timeout` at most. That bounds the wait, not the copying of
    /// the message.
    ///
    /// # Errors
    /// When the time runs out, and as [`get`](Self::get).
    #[inline]
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetTimeoutError> {
        self.get_within(Wait::timeout(timeout)).map_err(GetTimeoutError)
    }

    /// Gets the oldest message, waiting for one until `deadline` at most.
    ///
    /// # Blocking
    /// While the queue is empty and not closed, until `deadline` at most.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    #[inline]
    pub fn get_deadline(&self, deadline: Instant) -> Result<T, GetTimeoutError> {
        self.get_within(Wait::Until(deadline)).map_err(GetTimeoutError)
    }

    /// Gets up to `max` messages that are there, in order, waiting for the first as long as it takes. `max` of 0
    /// gets none at once.
    ///
    /// # Blocking
    /// While the queue is empty and not closed.
    ///
    /// # Errors
    /// As [`get`](Self::get). When some of the messages do not decode, all that were taken are in the error:
    /// see [`GetManyError::into_results`].
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// jobs.put_many(0..5)?;
    /// assert_eq!(jobs.get_many(3)?, [0, 1, 2]);
    /// assert_eq!(jobs.get_many(3)?, [3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Going on with the sound messages when there are others among them:
    /// ```
    /// # use ipcq_core::memory::MemoryTransport;
    /// # use ipcq_core::{GetManyError, Queue, QueueOptions, Wait};
    /// # fn example(jobs: &Queue<String>) -> Result<(), GetManyError<String>> {
    /// let messages = jobs.get_many(64).or_else(|error| match error.is_decode() {
    ///     true => Ok(error.into_results().into_iter().filter_map(Result::ok).collect()),
    ///     false => Err(error),
    /// })?;
    /// # assert_eq!(messages, ["sound"]);
    /// # Ok(())
    /// # }
    /// # let jobs = Queue::<String>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// # jobs.channel().put(&[&[0xff]], Wait::No)?;
    /// # jobs.put("sound".to_owned())?;
    /// # example(&jobs)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many(&self, max: usize) -> Result<Vec<T>, GetManyError<T>> {
        self.get_many_within(max, Wait::Forever)
    }

    /// Gets up to `max` messages that are there now.
    ///
    /// # Blocking
    /// As [`try_get`](Self::try_get).
    ///
    /// # Errors
    /// When the queue is empty or busy, and as [`get_many`](Self::get_many).
    pub fn try_get_many(&self, max: usize) -> Result<Vec<T>, GetManyError<T>> {
        self.get_many_within(max, Wait::No)
    }

    /// Gets up to `max` messages, waiting for the first for `timeout` at most.
    ///
    /// # Blocking
    /// While the queue is empty and not closed, for `timeout` at most.
    ///
    /// # Errors
    /// When the time runs out, and as [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, max: usize, timeout: Duration) -> Result<Vec<T>, GetManyError<T>> {
        self.get_many_within(max, Wait::timeout(timeout))
    }

    /// Gets up to `max` messages, waiting for the first until `deadline` at most.
    ///
    /// # Blocking
    /// While the queue is empty and not closed, until `deadline` at most.
    ///
    /// # Errors
    /// As [`get_many_timeout`](Self::get_many_timeout).
    pub fn get_many_deadline(&self, max: usize, deadline: Instant) -> Result<Vec<T>, GetManyError<T>> {
        self.get_many_within(max, Wait::Until(deadline))
    }

    #[inline]
    pub(super) fn get_within(&self, wait: Wait) -> Result<T, Missed> {
        let outcome = scratch::with_get_bytes(|bytes| {
            self.channel.get(bytes, wait).map_err(GetCause::Fault)?;
            self.codec
                .decode_buffer(bytes)
                .map_err(|failure| GetCause::Decode(self.undecoded(mem::take(bytes), failure)))
        });
        outcome.map_err(|cause| Missed { queue: self.label.clone(), cause })
    }

    fn get_many_within(&self, max: usize, wait: Wait) -> Result<Vec<T>, GetManyError<T>> {
        let outcome = scratch::with_batch(|batch| {
            let limit = Limit::messages(max);
            self.channel.get_many(batch, limit, wait).map_err(GetManyCause::Fault)?;
            self.decode_all(batch)
        });
        outcome.map_err(|cause| GetManyError { queue: self.label.clone(), cause })
    }

    fn decode_all(&self, batch: &Batch) -> Result<Vec<T>, GetManyCause<T>> {
        let mut messages = Vec::with_capacity(batch.len());
        for bytes in batch.iter() {
            match self.codec.decode(bytes) {
                Ok(message) => messages.push(message),
                Err(failure) => return Err(self.decode_rest(messages, failure, batch)),
            }
        }
        Ok(messages)
    }

    /// Goes on after the first message that did not decode, so that no other is lost.
    #[cold]
    fn decode_rest(&self, sound: Vec<T>, failure: DecodeFailure, batch: &Batch) -> GetManyCause<T> {
        let mut failure = Some(failure);
        let done = sound.len();
        let mut results: Vec<_> = sound.into_iter().map(Ok).collect();
        for bytes in batch.iter().skip(done) {
            let decoded = failure.take().map_or_else(|| self.codec.decode(bytes), Err);
            results.push(decoded.map_err(|failure| self.undecoded(bytes.to_vec(), failure)));
        }
        GetManyCause::Decode(results)
    }

    #[cold]
    pub(super) fn undecoded(&self, bytes: Vec<u8>, failure: DecodeFailure) -> DecodeError {
        DecodeError::new(self.label.clone(), C::NAME, bytes, failure)
    }
}
