//! The typed handle of a queue: what programs use, the same on every transport.

mod acknowledged;
#[cfg(feature = "tokio")]
mod asynchronous;
mod delivery;
mod get;
mod iter;
mod loan;
mod put;
mod put_many;
#[cfg(feature = "tokio")]
mod reactor;
mod scratch;
mod travel;

use std::fmt;
use std::marker::PhantomData;
use std::process::Command;
use std::sync::Arc;

pub use self::acknowledged::AcknowledgedQueue;
pub use self::delivery::{Delivery, Receipt};
pub use self::iter::{Iter, TryIter};
use crate::address::QueueAddress;
use crate::codec::{Bytes, Codec, DefaultCodec};
use crate::error::{BackendError, CreateError, OpenError, RemoveError};
use crate::identity::Identity;
use crate::name::QueueName;
use crate::options::QueueOptions;
use crate::stat::Stat;
use crate::trace;
use crate::transport::{Channel, Transport};

/// A bounded queue of messages of type `T` between processes.
///
/// First in, first out, over all processes; each message goes to exactly one getter. A handle can be used by
/// many threads at once and cloned; all handles of a queue, in any process, are equal. Dropping one needs no
/// ceremony: what was put stays put.
///
/// `C` is the [codec](Codec) that messages are written with; the queue records its name.
///
/// A get takes the message for good, also from a queue that was made for acknowledged delivery; use an
/// [`AcknowledgedQueue`] where it must not be lost with its taker.
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Queue, QueueOptions};
///
/// let transport = MemoryTransport::new();
/// let jobs = Queue::<String>::create(&transport, "jobs", &QueueOptions::new())?;
/// let same = Queue::<String>::open(&transport, "jobs")?;
///
/// jobs.put("sweep".to_owned())?;
/// assert_eq!(same.get()?, "sweep");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Queue<T, C = DefaultCodec> {
    channel: Arc<dyn Channel>,
    /// `shm:jobs`, ready for errors, which are made without formatting.
    label: Arc<str>,
    codec: C,
    /// The messages are of another codec, whose bytes are read as they are.
    read_only: bool,
    /// The handle makes and takes values of `T`, and holds none.
    messages: PhantomData<fn(T) -> T>,
}

impl<T, C: Codec<T>> Queue<T, C> {
    /// Makes the queue `name` on `transport`; it must not exist.
    ///
    /// # Errors
    /// When there is a queue of that name, the name or the options are not legal, the transport cannot do what
    /// they ask for, or the backend fails. Nothing is left of the attempt.
    pub fn create(
        transport: &dyn Transport,
        name: &str,
        options: &QueueOptions,
    ) -> Result<Self, CreateError> {
        let channel = transport.create(&QueueName::new(name)?, &options.clone().codec(C::NAME))?;
        trace::created(channel.identity());
        Ok(Self::over(channel, false))
    }

    /// Removes the queue `name` of `transport`, of any codec: everyone who waits on it wakes with `Closed`, what is
    /// in it is discarded, and nothing of it is left behind.
    ///
    /// # Errors
    /// When there is no such queue, the user may not remove it, or the backend fails.
    pub fn remove(transport: &dyn Transport, name: &str) -> Result<(), RemoveError> {
        let name = QueueName::new(name).map_err(|_| RemoveError::missing(name))?;
        trace::removed(transport, &name)
    }

    /// Opens the queue `name` on `transport`, which must exist and be of this codec. The codec is all that is
    /// recorded: that both sides agree on the type `T` is up to them.
    ///
    /// # Errors
    /// When there is no such queue, it is not what this program can use, the user may not open it, or the
    /// backend fails.
    pub fn open(transport: &dyn Transport, name: &str) -> Result<Self, OpenError> {
        Self::from_channel(transport.open(&QueueName::new(name)?)?)
    }

    /// Makes a queue without a name, which ends with its last handle. It reaches other processes by inheritance
    /// only: see [`share_with`](Self::share_with).
    ///
    /// # Errors
    /// As [`create`](Self::create), but for the name.
    pub fn anonymous(transport: &dyn Transport, options: &QueueOptions) -> Result<Self, CreateError> {
        let channel = transport.create_anonymous(&options.clone().codec(C::NAME))?;
        trace::created(channel.identity());
        Ok(Self::over(channel, false))
    }

    /// The queue that the parent of this process [shared](Self::share_with) with it first.
    ///
    /// # Errors
    /// When the parent shared none, and as [`open`](Self::open).
    pub fn inherited(transport: &dyn Transport) -> Result<Self, OpenError> {
        Self::inherited_number(transport, 0)
    }

    /// The queue that the parent of this process [shared](Self::share_with) with it; `number` counts from 0, in
    /// the order of sharing.
    ///
    /// # Errors
    /// When the parent shared none of this number, and as [`open`](Self::open).
    pub fn inherited_number(transport: &dyn Transport, number: usize) -> Result<Self, OpenError> {
        Self::from_channel(transport.inherited(number)?)
    }

    /// Opens the very queue that `address` stands for; a later one of its name is an error.
    ///
    /// # Errors
    /// As [`QueueAddress::open`], and when the queue is of another codec.
    pub fn open_address(address: &QueueAddress) -> Result<Self, OpenError> {
        Self::from_channel(address.open()?)
    }

    /// A typed handle over `channel`.
    ///
    /// # Errors
    /// [`OpenError::Mismatch`] when the queue is of another codec.
    pub fn from_channel(channel: Arc<dyn Channel>) -> Result<Self, OpenError> {
        let identity = channel.identity();
        if identity.codec != C::NAME {
            return Err(OpenError::mismatch(identity, "codec", &identity.codec, C::NAME));
        }
        trace::opened(identity);
        Ok(Self::over(channel, false))
    }
}

impl<T> Queue<T, Bytes>
where
    Bytes: Codec<T>,
{
    /// Opens the queue `name` on `transport`, of whatever codec, to read its messages as raw bytes.
    ///
    /// On a queue of another codec the handle gets and does not put: putting is an error that hands the value
    /// back.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the codec.
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Bytes, Queue, QueueOptions};
    ///
    /// let transport = MemoryTransport::new();
    /// Queue::<u8>::create(&transport, "jobs", &QueueOptions::new())?.put(7)?;
    ///
    /// let raw = Queue::<Vec<u8>, Bytes>::open_raw(&transport, "jobs")?;
    /// assert_eq!(raw.get()?, [7]);
    /// assert!(raw.put(vec![8]).unwrap_err().is_encode());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_raw(transport: &dyn Transport, name: &str) -> Result<Self, OpenError> {
        let channel = transport.open(&QueueName::new(name)?)?;
        let read_only = channel.identity().codec != <Bytes as Codec<T>>::NAME;
        trace::opened(channel.identity());
        Ok(Self::over(channel, read_only))
    }
}

impl<T, C: Default> Queue<T, C> {
    fn over(channel: Arc<dyn Channel>, read_only: bool) -> Self {
        let label = channel.identity().to_string().into();
        Self { channel, label, codec: C::default(), read_only, messages: PhantomData }
    }
}

impl<T, C> Queue<T, C> {
    /// How many messages are in the queue, at an instant inside the call. Never waits for another participant.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    pub fn len(&self) -> Result<usize, BackendError> {
        self.channel.len()
    }

    /// Whether there is no message in the queue, at an instant inside the call. Never waits for another
    /// participant.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    pub fn is_empty(&self) -> Result<bool, BackendError> {
        self.channel.is_empty()
    }

    /// Whether the queue holds as many messages as its capacity, at an instant inside the call. Never waits for
    /// another participant.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    pub fn is_full(&self) -> Result<bool, BackendError> {
        self.channel.is_full()
    }

    /// How many messages the queue takes. It never changes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.identity().capacity
    }

    /// Whether the queue is closed, at an instant inside the call. Never waits for another participant.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    pub fn is_closed(&self) -> Result<bool, BackendError> {
        self.channel.is_closed()
    }

    /// Closes the queue for everyone, at one instant: puts that take effect later are refused, even those that
    /// had begun; gets drain what is there. Everyone who waits wakes. Closing twice is no error. Never waits for
    /// another participant.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    pub fn close(&self) -> Result<(), BackendError> {
        self.channel.close()?;
        trace::closed(self.identity());
        Ok(())
    }

    /// Everything that is known of the queue, for people to read.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    pub fn stat(&self) -> Result<Stat, BackendError> {
        self.channel.stat()
    }

    /// Registers this process as a producer, which its first put does by itself.
    ///
    /// A queue made with [`auto_close`](QueueOptions::auto_close) closes when its last registered producer has
    /// left, so a producer that takes its time before its first put should register first. Others do not care.
    ///
    /// # Errors
    /// When the queue is gone, damaged, or has no room for one more participant.
    pub fn register_producer(&self) -> Result<(), BackendError> {
        self.channel.register_producer()
    }

    /// Ends this process's registration as a producer, as dropping its last handle does.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    pub fn unregister_producer(&self) -> Result<(), BackendError> {
        self.channel.unregister_producer()
    }

    /// Lets the process that `command` starts inherit this queue, named or not. The child finds it with
    /// [`inherited`](Self::inherited), and on a queue made with [`auto_close`](QueueOptions::auto_close) is a
    /// registered producer from the start.
    ///
    /// # Errors
    /// When the queue cannot be inherited.
    pub fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        self.channel.share_with(command)
    }

    /// The queue of bytes under this handle.
    #[must_use]
    pub const fn channel(&self) -> &Arc<dyn Channel> {
        &self.channel
    }

    /// What was fixed when the queue was made.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.channel.identity()
    }

    /// Where another process finds this queue; `None` for an anonymous one. This is what a handle serialises to.
    #[must_use]
    pub fn address(&self) -> Option<QueueAddress> {
        self.identity().address()
    }
}

impl<T, C: Clone> Clone for Queue<T, C> {
    fn clone(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            label: self.label.clone(),
            codec: self.codec.clone(),
            read_only: self.read_only,
            messages: PhantomData,
        }
    }
}

/// Says which queue it is, never what is in it.
impl<T, C> fmt::Debug for Queue<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { codec, capacity, .. } = self.identity();
        f.debug_struct("Queue")
            .field("queue", &self.label)
            .field("codec", codec)
            .field("capacity", capacity)
            .finish_non_exhaustive()
    }
}
