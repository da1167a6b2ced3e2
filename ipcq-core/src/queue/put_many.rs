//! Putting many messages for little more than the price of one.

use std::time::{Duration, Instant};

use super::{Queue, scratch};
use crate::codec::{Codec, EncodeError};
use crate::deadline::Wait;
use crate::error::{PutCause, PutManyError, Rest};
use crate::message::Batch;

/// The most messages and bytes that are encoded before they are put, so that memory stays bounded.
const PORTION: usize = 1024;
const PORTION_BYTES: usize = 1 << 20;
/// How long an iterator may take over a portion before what it has given is put.
const PATIENCE: Duration = Duration::from_millis(1);

impl<T, C: Codec<T>> Queue<T, C> {
    /// Puts all of `messages` in order, each taking effect by itself; returns how many there were.
    ///
    /// Others' messages may lie between them. The messages are encoded and put in portions of up to 1024
    /// messages or 1 MiB, so that they may be without end; what an iterator gave is put before it is asked for
    /// more when it is slower than 1 ms for a portion.
    ///
    /// # Blocking
    /// While the queue is full.
    ///
    /// # Errors
    /// As [`put`](Self::put), for the first message that does not go in. Those before it are in; the error says
    /// how many and hands back the rest, of which the iterator is asked for no more than it has given. Give
    /// `&mut iterator` to keep it, and see [`PutManyError::without_rest`] where the iterator borrows.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new().capacity(3))?;
    /// assert_eq!(jobs.put_many([1, 2])?, 2);
    ///
    /// let stopped = jobs.put_many_timeout([3, 4, 5], Duration::from_millis(5)).unwrap_err();
    /// assert!(stopped.is_timeout());
    /// assert_eq!(stopped.put(), 1);
    /// assert_eq!(stopped.into_rest().collect::<Vec<_>>(), [4, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_many<I>(&self, messages: I) -> Result<usize, PutManyError<I::IntoIter>>
    where
        I: IntoIterator<Item = T>,
    {
        self.put_many_within(messages.into_iter(), Wait::Forever)
    }

    /// Puts as many of `messages` as there is room for now.
    ///
    /// # Blocking
    /// As [`try_put`](Self::try_put), and for the iterator.
    ///
    /// # Errors
    /// When the queue is full or busy before all are in, and as [`put_many`](Self::put_many).
    pub fn try_put_many<I>(&self, messages: I) -> Result<usize, PutManyError<I::IntoIter>>
    where
        I: IntoIterator<Item = T>,
    {
        self.put_many_within(messages.into_iter(), Wait::No)
    }

    /// Puts all of `messages`, waiting for room for `timeout` at most, over all of them.
    ///
    /// # Blocking
    /// While the queue is full, for `timeout` at most, and for the iterator.
    ///
    /// # Errors
    /// When the time runs out before all are in, and as [`put_many`](Self::put_many).
    pub fn put_many_timeout<I>(
        &self,
        messages: I,
        timeout: Duration,
    ) -> Result<usize, PutManyError<I::IntoIter>>
    where
        I: IntoIterator<Item = T>,
    {
        self.put_many_within(messages.into_iter(), Wait::timeout(timeout))
    }

    /// Puts all of `messages`, waiting for room until `deadline` at most.
    ///
    /// # Blocking
    /// While the queue is full, until `deadline` at most, and for the iterator.
    ///
    /// # Errors
    /// As [`put_many_timeout`](Self::put_many_timeout).
    pub fn put_many_deadline<I>(
        &self,
        messages: I,
        deadline: Instant,
    ) -> Result<usize, PutManyError<I::IntoIter>>
    where
        I: IntoIterator<Item = T>,
    {
        self.put_many_within(messages.into_iter(), Wait::Until(deadline))
    }

    fn put_many_within<I>(&self, mut messages: I, wait: Wait) -> Result<usize, PutManyError<I>>
    where
        I: Iterator<Item = T>,
    {
        let mut taken = Vec::with_capacity(messages.size_hint().0.min(PORTION));
        let mut put = 0;
        loop {
            let (done, outcome) = scratch::with_batch(|batch| {
                let filled =
                    scratch::with_put_bytes(|bytes| self.fill(&mut messages, &mut taken, batch, bytes));
                let (done, outcome) =
                    if batch.is_empty() { (0, Ok(())) } else { self.channel.put_many(batch, 0, wait) };
                (done, outcome.map_err(PutCause::Fault).and(filled))
            });
            put += done;
            match outcome {
                Ok(Filled::Portion) => taken.clear(),
                Ok(Filled::Last) => return Ok(put),
                Err(cause) => {
                    taken.drain(..done);
                    let rest = Rest::new(taken, messages);
                    return Err(PutManyError { queue: self.label.clone(), put, rest, cause });
                }
            }
        }
    }

    /// Takes and encodes the next portion. A value that does not encode is the last one taken, and not in
    /// `batch`.
    fn fill<I>(
        &self,
        messages: &mut I,
        taken: &mut Vec<T>,
        batch: &mut Batch,
        scratch: &mut Vec<u8>,
    ) -> Result<Filled, PutCause>
    where
        I: Iterator<Item = T>,
    {
        let begun = Instant::now();
        while taken.len() < PORTION && batch.byte_len() < PORTION_BYTES {
            let Some(value) = messages.next() else { return Ok(Filled::Last) };
            let encoded = self.encode(&value, scratch).and_then(|bytes| append(bytes, batch));
            taken.push(value);
            encoded.map_err(|error| self.not_encoded(error))?;
            // Reading the clock costs more than a message, so it is read seldom once the iterator was quick.
            let look = taken.len().is_power_of_two() || taken.len().is_multiple_of(16);
            if look && begun.elapsed() > PATIENCE {
                break;
            }
        }
        Ok(Filled::Portion)
    }
}

/// Whether the iterator may have more.
enum Filled {
    Portion,
    Last,
}

fn append(message: &[u8], batch: &mut Batch) -> Result<(), EncodeError> {
    batch.try_reserve(1, message.len())?;
    batch.push(message);
    Ok(())
}
