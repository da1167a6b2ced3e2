//! The handle of a queue whose messages are acknowledged: it hands out deliveries, and can wait for their end.

use std::fmt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Delivery, Queue};
use crate::address::QueueAddress;
use crate::codec::{Codec, DefaultCodec};
use crate::deadline::Wait;
use crate::error::{
    BackendError, CreateError, GetError, GetTimeoutError, JoinError, OpenError, PutError, PutManyError,
    PutTimeoutError, TryGetError, TryPutError,
};
use crate::identity::Identity;
use crate::options::QueueOptions;
use crate::stat::Stat;
use crate::transport::{Channel, Transport};

/// A queue that loses no message with its taker: a get hands out a [`Delivery`], and the message is gone only once that
/// is acknowledged.
///
/// A delivery that is dropped, and those of a process that dies, go back to their places: the message with the lowest
/// put number leaves first, whoever gave it back. [`len`](Self::len) counts those that are ready,
/// [`in_flight`](Self::in_flight) those that are handed out, and both together never exceed the capacity. A closed queue
/// says so to a get only when there are none of either.
///
/// Work may be done more than once: a holder that dies after it did it, and before it acknowledged, leaves a message
/// that is handed out again, with a higher count of [`redeliveries`](Delivery::redeliveries).
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{AcknowledgedQueue, QueueOptions};
///
/// let transport = MemoryTransport::new();
/// let jobs = AcknowledgedQueue::<String>::create(&transport, "jobs", &QueueOptions::new())?;
/// jobs.put("sweep".to_owned())?;
///
/// let job = jobs.get()?;
/// assert_eq!((jobs.len()?, jobs.in_flight()?), (0, 1));
/// println!("doing {}", *job);
/// job.acknowledge()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AcknowledgedQueue<T, C = DefaultCodec>(pub(super) Queue<T, C>);

impl<T, C: Codec<T>> AcknowledgedQueue<T, C> {
    /// Makes the queue `name` on `transport` for acknowledged delivery; it must not exist. See
    /// [`max_redeliveries`](QueueOptions::max_redeliveries) and [`lease`](QueueOptions::lease) for its limits.
    ///
    /// # Errors
    /// As [`Queue::create`], and when the transport does not offer acknowledged delivery.
    pub fn create(
        transport: &dyn Transport,
        name: &str,
        options: &QueueOptions,
    ) -> Result<Self, CreateError> {
        Queue::create(transport, name, &options.clone().acknowledged(true)).map(Self)
    }

    /// Opens the queue `name` on `transport`, which must exist, be of this codec, and have been made for acknowledged
    /// delivery.
    ///
    /// # Errors
    /// As [`Queue::open`], and [`OpenError::Mismatch`] when its messages are not acknowledged.
    pub fn open(transport: &dyn Transport, name: &str) -> Result<Self, OpenError> {
        Self::over(Queue::open(transport, name)?)
    }

    /// Makes a queue without a name; see [`Queue::anonymous`].
    ///
    /// # Errors
    /// As [`create`](Self::create), and when it is to have a dead-letter queue, which needs a name.
    pub fn anonymous(transport: &dyn Transport, options: &QueueOptions) -> Result<Self, CreateError> {
        Queue::anonymous(transport, &options.clone().acknowledged(true)).map(Self)
    }

    /// The queue that the parent of this process [shared](Self::share_with) with it; `number` counts from 0.
    ///
    /// # Errors
    /// As [`Queue::inherited_number`], and as [`open`](Self::open).
    pub fn inherited(transport: &dyn Transport, number: usize) -> Result<Self, OpenError> {
        Self::over(Queue::inherited_number(transport, number)?)
    }

    /// A typed handle over `channel`.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] when the queue is of another codec, or not for acknowledged delivery.
    pub fn from_channel(channel: Arc<dyn Channel>) -> Result<Self, OpenError> {
        Self::over(Queue::from_channel(channel)?)
    }

    fn over(queue: Queue<T, C>) -> Result<Self, OpenError> {
        if queue.identity().acknowledged {
            return Ok(Self(queue));
        }
        Err(OpenError::mismatch(queue.identity(), "delivery", "final", "acknowledged"))
    }

    /// Puts `message`, waiting for room as long as it takes; see [`Queue::put`].
    ///
    /// # Blocking
    /// While the queue is full: as many messages as its capacity are ready or in flight.
    ///
    /// # Errors
    /// As [`Queue::put`].
    pub fn put(&self, message: T) -> Result<(), PutError<T>> {
        self.0.put(message)
    }

    /// Puts `message` if there is room now; see [`Queue::try_put`].
    ///
    /// # Errors
    /// As [`Queue::try_put`].
    pub fn try_put(&self, message: T) -> Result<(), TryPutError<T>> {
        self.0.try_put(message)
    }

    /// Puts `message`, waiting for room for `timeout` at most; see [`Queue::put_timeout`].
    ///
    /// # Blocking
    /// While the queue is full, for `timeout` at most.
    ///
    /// # Errors
    /// As [`Queue::put_timeout`].
    pub fn put_timeout(&self, message: T, timeout: Duration) -> Result<(), PutTimeoutError<T>> {
        self.0.put_timeout(message, timeout)
    }

    /// Puts `message`, waiting for room until `deadline` at most; see [`Queue::put_deadline`].
    ///
    /// # Blocking
    /// While the queue is full, until `deadline` at most.
    ///
    /// # Errors
    /// As [`Queue::put_deadline`].
    pub fn put_deadline(&self, message: T, deadline: Instant) -> Result<(), PutTimeoutError<T>> {
        self.0.put_deadline(message, deadline)
    }

    /// Puts all of `messages` in order; see [`Queue::put_many`].
    ///
    /// # Blocking
    /// While the queue is full.
    ///
    /// # Errors
    /// As [`Queue::put_many`].
    pub fn put_many<I>(&self, messages: I) -> Result<usize, PutManyError<I::IntoIter>>
    where
        I: IntoIterator<Item = T>,
    {
        self.0.put_many(messages)
    }

    /// Gets the first message that is ready, waiting for one as long as it takes.
    ///
    /// # Blocking
    /// While none is ready and the queue is not closed; on a closed queue, while one is in flight, which may come back.
    ///
    /// # Errors
    /// When the queue is closed and has no messages, ready or in flight, or the backend fails; nothing was taken. When
    /// the message does not decode: it is gone from the queue, and the error holds its bytes.
    pub fn get(&self) -> Result<Delivery<T>, GetError> {
        self.0.deliver_within(Wait::Forever).map_err(GetError)
    }

    /// Gets the first message that is ready, if there is one now.
    ///
    /// # Blocking
    /// Not for a message; 10 ms at most for another process that is inside an operation.
    ///
    /// # Errors
    /// When none is ready, or the queue is busy, and as [`get`](Self::get).
    pub fn try_get(&self) -> Result<Delivery<T>, TryGetError> {
        self.0.deliver_within(Wait::No).map_err(TryGetError)
    }

    /// Gets the first message that is ready, waiting for one for `timeout` at most.
    ///
    /// # Blocking
    /// As [`get`](Self::get), for `timeout` at most.
    ///
    /// # Errors
    /// When the time runs out, and as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Delivery<T>, GetTimeoutError> {
        self.0.deliver_within(Wait::timeout(timeout)).map_err(GetTimeoutError)
    }

    /// Gets the first message that is ready, waiting for one until `deadline` at most.
    ///
    /// # Blocking
    /// As [`get`](Self::get), until `deadline` at most.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    pub fn get_deadline(&self, deadline: Instant) -> Result<Delivery<T>, GetTimeoutError> {
        self.0.deliver_within(Wait::Until(deadline)).map_err(GetTimeoutError)
    }

    /// Waits until every message whose put took effect before has been acknowledged, or has gone to the dead-letter
    /// queue. Those put later are not waited for.
    ///
    /// A worker that dies does not hinder it, as long as another one does its work.
    ///
    /// # Blocking
    /// As long as that takes.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    ///
    /// # Examples
    /// ```
    /// # use ipcq_core::memory::MemoryTransport;
    /// # use ipcq_core::{AcknowledgedQueue, QueueOptions};
    /// let jobs = AcknowledgedQueue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// jobs.put(1)?;
    /// let job = jobs.get()?;
    /// assert!(jobs.try_join().unwrap_err().is_unfinished());
    /// job.acknowledge()?;
    /// jobs.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&self) -> Result<(), JoinError> {
        self.join_within(Wait::Forever)
    }

    /// Whether every message whose put took effect before has been acknowledged or dead-lettered.
    ///
    /// # Errors
    /// When not ([`JoinError::is_unfinished`]), and as [`join`](Self::join).
    pub fn try_join(&self) -> Result<(), JoinError> {
        self.join_within(Wait::No)
    }

    /// As [`join`](Self::join), for `timeout` at most.
    ///
    /// # Blocking
    /// As [`join`](Self::join), for `timeout` at most.
    ///
    /// # Errors
    /// When the time runs out, and as [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), JoinError> {
        self.join_within(Wait::timeout(timeout))
    }

    /// As [`join`](Self::join), until `deadline` at most.
    ///
    /// # Blocking
    /// As [`join`](Self::join), until `deadline` at most.
    ///
    /// # Errors
    /// As [`join_timeout`](Self::join_timeout).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), JoinError> {
        self.join_within(Wait::Until(deadline))
    }

    fn join_within(&self, wait: Wait) -> Result<(), JoinError> {
        let queue = &self.0;
        queue.channel.join(wait).map_err(|fault| JoinError { queue: queue.label.clone(), fault })
    }
}

impl<T, C> AcknowledgedQueue<T, C> {
    /// How many messages are ready to be handed out, at an instant inside the call.
    ///
    /// # Errors
    /// When the queue is gone or damaged, as for all that follow.
    pub fn len(&self) -> Result<usize, BackendError> {
        self.0.len()
    }

    /// How many messages are handed out and neither acknowledged nor back, at an instant inside the call.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn in_flight(&self) -> Result<usize, BackendError> {
        self.0.channel.in_flight()
    }

    /// Whether no message is ready, at an instant inside the call.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool, BackendError> {
        self.0.is_empty()
    }

    /// Whether as many messages as the capacity are ready or in flight, at an instant inside the call.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn is_full(&self) -> Result<bool, BackendError> {
        self.0.is_full()
    }

    /// How many messages the queue takes. It never changes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Whether the queue is closed, at an instant inside the call.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn is_closed(&self) -> Result<bool, BackendError> {
        self.0.is_closed()
    }

    /// Closes the queue for everyone; what is in flight can still be given back. See [`Queue::close`].
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn close(&self) -> Result<(), BackendError> {
        self.0.close()
    }

    /// Everything that is known of the queue, for people to read.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn stat(&self) -> Result<Stat, BackendError> {
        self.0.stat()
    }

    /// Registers this process as a producer; see [`Queue::register_producer`].
    ///
    /// # Errors
    /// As there.
    pub fn register_producer(&self) -> Result<(), BackendError> {
        self.0.register_producer()
    }

    /// Ends that; see [`Queue::unregister_producer`].
    ///
    /// # Errors
    /// As there.
    pub fn unregister_producer(&self) -> Result<(), BackendError> {
        self.0.unregister_producer()
    }

    /// Lets the process that `command` starts inherit this queue; see [`Queue::share_with`].
    ///
    /// # Errors
    /// As there.
    pub fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        self.0.share_with(command)
    }

    /// The queue of bytes under this handle.
    #[must_use]
    pub const fn channel(&self) -> &Arc<dyn Channel> {
        self.0.channel()
    }

    /// What was fixed when the queue was made.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.0.identity()
    }

    /// Where another process finds this queue; `None` for an anonymous one. This is what a handle serialises to.
    #[must_use]
    pub fn address(&self) -> Option<QueueAddress> {
        self.0.address()
    }
}

impl<T, C: Clone> Clone for AcknowledgedQueue<T, C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T, C> fmt::Debug for AcknowledgedQueue<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcknowledgedQueue").field(&self.0).finish()
    }
}

/// As a [`Queue`]'s.
impl<T, C> Serialize for AcknowledgedQueue<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// As a [`Queue`]'s.
impl<'de, T, C: Codec<T>> Deserialize<'de> for AcknowledgedQueue<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::over(Queue::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
