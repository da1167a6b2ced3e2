//! Putting one message, in three waiting forms.

use std::time::{Duration, Instant};

use super::{Queue, scratch};
use crate::codec::{Codec, EncodeError};
use crate::deadline::Wait;
use crate::error::{
    BackendError, BackendErrorKind, PutCause, PutError, PutFault, PutTimeoutError, Refused, TryPutError,
};

impl<T, C: Codec<T>> Queue<T, C> {
    /// Puts `message`, waiting for room as long as it takes.
    ///
    /// Once this has returned, every process knows of the message, and it stays put: nothing needs to be joined
    /// or flushed.
    ///
    /// # Blocking
    /// While the queue is full.
    ///
    /// # Errors
    /// When the queue is closed, the message is longer than the queue takes, the value does not encode, or the
    /// backend fails. Nothing was put, and the error hands the value back.
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<String>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// jobs.put("sweep".to_owned())?;
    /// jobs.close()?;
    ///
    /// let refused = jobs.put("mop".to_owned()).unwrap_err();
    /// assert!(refused.is_closed());
    /// assert_eq!(refused.into_inner(), "mop");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn put(&self, message: T) -> Result<(), PutError<T>> {
        self.put_within(message, Wait::Forever).map_err(PutError)
    }

    /// Puts `message` if there is room now.
    ///
    /// # Blocking
    /// Not for room; 10 ms at most for another process that is inside an operation.
    ///
    /// # Errors
    /// When the queue is full or busy, and as [`put`](Self::put).
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new().capacity(1))?;
    /// jobs.try_put(1)?;
    /// assert!(jobs.try_put(2).unwrap_err().is_full());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_put(&self, message: T) -> Result<(), TryPutError<T>> {
        self.put_within(message, Wait::No).map_err(TryPutError)
    }

    /// Puts `message`, waiting for room for `timeout` at most. One that is too long for the clock is for ever.
    ///
    /// # Blocking
    /// While the queue is full, for `timeout` at most. That bounds the wait, not the copying of the message.
    ///
    /// # Errors
    /// When the time runs out, and as [`put`](Self::put).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new().capacity(1))?;
    /// jobs.put_timeout(1, Duration::from_millis(5))?;
    /// assert!(jobs.put_timeout(2, Duration::from_millis(5)).unwrap_err().is_timeout());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn put_timeout(&self, message: T, timeout: Duration) -> Result<(), PutTimeoutError<T>> {
        self.put_within(message, Wait::timeout(timeout)).map_err(PutTimeoutError)
    }

    /// Puts `message`, waiting for room until `deadline` at most.
    ///
    /// # Blocking
    /// While the queue is full, until `deadline` at most.
    ///
    /// # Errors
    /// As [`put_timeout`](Self::put_timeout).
    #[inline]
    pub fn put_deadline(&self, message: T, deadline: Instant) -> Result<(), PutTimeoutError<T>> {
        self.put_within(message, Wait::Until(deadline)).map_err(PutTimeoutError)
    }

    #[inline]
    pub(super) fn put_within(&self, value: T, wait: Wait) -> Result<(), Refused<T>> {
        let outcome = scratch::with_put_bytes(|bytes| match self.encode(&value, bytes) {
            Ok(message) => self.channel.put(&[message], wait).map_err(PutCause::Fault),
            Err(error) => Err(self.not_encoded(error)),
        });
        outcome.map_err(|cause| Refused { value, queue: self.label.clone(), cause })
    }

    #[inline]
    pub(super) fn encode<'a>(&self, value: &'a T, bytes: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError> {
        if self.read_only {
            return Err(EncodeError::read_only());
        }
        self.codec.encode(value, bytes)
    }

    /// Memory that ran out is the same failure whether the codec or the backend wanted it.
    #[cold]
    pub(super) fn not_encoded(&self, error: EncodeError) -> PutCause {
        if error.is_no_room() {
            let error = BackendError::new(BackendErrorKind::NoRoom, &self.label, error.to_string())
                .with_advice("free some, or put a shorter message");
            return PutCause::Fault(PutFault::Backend(error));
        }
        PutCause::Encode(error)
    }
}
