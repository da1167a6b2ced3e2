//! Messages as iterators.

use std::fmt;
use std::iter::FusedIterator;

use super::Queue;
use crate::codec::Codec;
use crate::error::{GetError, TryGetError};

impl<T, C: Codec<T>> Queue<T, C> {
    /// The messages as they come, until the queue is closed and drained.
    ///
    /// A message that does not decode is an error in its place, and the next ones follow. A failure of the
    /// backend is the last item.
    ///
    /// # Blocking
    /// Each step, as [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// jobs.put_many(1..=3)?;
    /// jobs.close()?;
    /// let mut sum = 0;
    /// for job in &jobs {
    ///     sum += job?;
    /// }
    /// assert_eq!(sum, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn iter(&self) -> Iter<'_, T, C> {
        Iter { queue: self, ended: false }
    }

    /// The messages that are there, until the queue is empty.
    ///
    /// A message that does not decode is an error in its place, and so is a step that finds the queue busy; the
    /// next ones follow. A failure of the backend is the last item.
    ///
    /// # Blocking
    /// Each step, as [`try_get`](Self::try_get).
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// jobs.put_many(1..=3)?;
    /// assert_eq!(jobs.try_iter().collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn try_iter(&self) -> TryIter<'_, T, C> {
        TryIter { queue: self, ended: false }
    }
}

impl<'a, T, C: Codec<T>> IntoIterator for &'a Queue<T, C> {
    type Item = Result<T, GetError>;
    type IntoIter = Iter<'a, T, C>;

    fn into_iter(self) -> Iter<'a, T, C> {
        self.iter()
    }
}

/// The messages of a queue until it is closed and drained; see [`Queue::iter`].
pub struct Iter<'a, T, C> {
    queue: &'a Queue<T, C>,
    ended: bool,
}

impl<T, C: Codec<T>> Iterator for Iter<'_, T, C> {
    type Item = Result<T, GetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.queue.get();
        if let Err(error) = &item {
            self.ended = !error.is_decode();
            if error.is_closed() {
                return None;
            }
        }
        Some(item)
    }
}

impl<T, C: Codec<T>> FusedIterator for Iter<'_, T, C> {}

/// The messages of a queue until it is empty; see [`Queue::try_iter`].
pub struct TryIter<'a, T, C> {
    queue: &'a Queue<T, C>,
    ended: bool,
}

impl<T, C: Codec<T>> Iterator for TryIter<'_, T, C> {
    type Item = Result<T, TryGetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.queue.try_get();
        if let Err(error) = &item {
            self.ended = !error.is_decode() && !error.is_busy();
            if error.is_empty() || error.is_closed() {
                return None;
            }
        }
        Some(item)
    }
}

impl<T, C: Codec<T>> FusedIterator for TryIter<'_, T, C> {}

impl<T, C> fmt::Debug for Iter<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("queue", self.queue).field("ended", &self.ended).finish()
    }
}

impl<T, C> fmt::Debug for TryIter<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryIter").field("queue", self.queue).field("ended", &self.ended).finish()
    }
}
