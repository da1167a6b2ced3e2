//! What a queue is made with.

use std::time::Duration;

use crate::capabilities::Capabilities;
use crate::error::CreateError;
use crate::name::QueueName;

/// How many messages a queue takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// Exactly this many.
    Exactly(usize),
    /// The most that the transport can hold.
    Max,
}

impl From<usize> for Capacity {
    fn from(messages: usize) -> Self {
        Self::Exactly(messages)
    }
}

/// What a queue is made with; the defaults suit most queues.
///
/// Nothing is reserved for capacity: memory in use follows content.
///
/// ```
/// use ipcq_core::QueueOptions;
///
/// let options = QueueOptions::new().capacity(16).max_message(64 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    capacity: Capacity,
    max_message: usize,
    mode: u32,
    auto_close: bool,
    acknowledged: bool,
    max_redeliveries: Option<u32>,
    lease: Option<Duration>,
    codec: String,
}

impl QueueOptions {
    /// The capacity of a queue for which none was asked: 1000 messages.
    pub const DEFAULT_CAPACITY: usize = 1000;
    /// The message limit of a queue for which none was asked: 1 GiB.
    pub const DEFAULT_MAX_MESSAGE: usize = 1 << 30;
    /// The longest name of a codec, in bytes.
    pub const MAX_CODEC_LEN: usize = 32;

    /// A capacity of 1000 messages, messages of up to 1 GiB, private to the user.
    #[must_use]
    pub fn new() -> Self {
        Self {
            capacity: Capacity::Exactly(Self::DEFAULT_CAPACITY),
            max_message: Self::DEFAULT_MAX_MESSAGE,
            mode: 0o600,
            auto_close: false,
            acknowledged: false,
            max_redeliveries: None,
            lease: None,
            codec: "bytes".to_owned(),
        }
    }

    /// How many messages the queue takes: a number, or [`Capacity::Max`].
    #[must_use]
    pub fn capacity(mut self, capacity: impl Into<Capacity>) -> Self {
        self.capacity = capacity.into();
        self
    }

    /// The longest message that the queue takes, in bytes.
    #[must_use]
    pub const fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Who may open a named queue, as file permission bits: `0o600` (only its maker's user), `0o660` or `0o666`.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Makes the queue close by itself when its last producer has left, after at least one was there.
    #[must_use]
    pub const fn auto_close(mut self, on: bool) -> Self {
        self.auto_close = on;
        self
    }

    /// Makes the queue hand out deliveries that are acknowledged; see [`Capabilities::acknowledged`].
    #[must_use]
    pub const fn acknowledged(mut self, on: bool) -> Self {
        self.acknowledged = on;
        self
    }

    /// Moves a message that has come back more often than it may be handed out again, `times`, to the dead-letter queue:
    /// a queue on the same transport whose name is that of this one with `.dead` behind it, made along with it unless
    /// it exists. Only for acknowledged queues with a name.
    ///
    /// When the dead-letter queue is full, closed or removed, the message is handed out once more instead.
    #[must_use]
    pub const fn max_redeliveries(mut self, times: u32) -> Self {
        self.max_redeliveries = Some(times);
        self
    }

    /// Takes a delivery from its holder when it has kept it for `time`: the message goes back, and acknowledging it is
    /// an error from then on. Only for acknowledged queues.
    #[must_use]
    pub const fn lease(mut self, time: Duration) -> Self {
        self.lease = Some(time);
        self
    }

    /// The codec that the queue records; [`Queue`](crate::Queue) sets it from its own.
    #[must_use]
    pub fn codec(mut self, name: &str) -> Self {
        name.clone_into(&mut self.codec);
        self
    }

    /// The capacity that was asked for.
    #[must_use]
    pub const fn wanted_capacity(&self) -> Capacity {
        self.capacity
    }

    /// The longest message, in bytes.
    #[must_use]
    pub const fn message_limit(&self) -> usize {
        self.max_message
    }

    /// The permission bits.
    #[must_use]
    pub const fn mode_bits(&self) -> u32 {
        self.mode
    }

    /// Whether the queue closes by itself.
    #[must_use]
    pub const fn closes_by_itself(&self) -> bool {
        self.auto_close
    }

    /// Whether messages are to be acknowledged.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// After how many redeliveries a message goes to the dead-letter queue.
    #[must_use]
    pub const fn redelivery_limit(&self) -> Option<u32> {
        self.max_redeliveries
    }

    /// How long a holder may keep a delivery.
    #[must_use]
    pub const fn lease_time(&self) -> Option<Duration> {
        self.lease
    }

    /// What the dead-letter queue of such a queue is made with.
    #[must_use]
    pub fn of_dead_letters(&self) -> Self {
        let plain = self.clone().acknowledged(false).auto_close(false);
        Self { max_redeliveries: None, lease: None, ..plain }
    }

    /// The codec's name.
    #[must_use]
    pub fn codec_name(&self) -> &str {
        &self.codec
    }

    /// Checks these options against what `transport` can do, and settles the capacity.
    ///
    /// # Errors
    /// [`CreateError::Unsupported`] for what the transport cannot do, [`CreateError::Invalid`] for what no
    /// transport can.
    pub fn settle(&self, transport: &'static str, can: &Capabilities) -> Result<usize, CreateError> {
        let capacity = match self.capacity {
            Capacity::Max => can.max_capacity,
            Capacity::Exactly(0) => return Err(CreateError::invalid("a queue takes at least 1 message")),
            Capacity::Exactly(messages) => messages,
        };
        if capacity > can.max_capacity {
            let why = can.capacity_setting.map_or_else(String::new, |setting| {
                format!(", which follows from the system's {setting}: raise that for more")
            });
            let what =
                format!("a capacity of {capacity} messages (the largest is {}{why})", can.max_capacity);
            return Err(CreateError::unsupported(transport, what));
        }
        if self.max_message > can.max_message {
            let what = format!("messages of {} bytes (the longest is {})", self.max_message, can.max_message);
            return Err(CreateError::unsupported(transport, what));
        }
        if self.auto_close && !can.auto_close {
            return Err(CreateError::unsupported(transport, "queues that close by themselves".to_owned()));
        }
        if self.acknowledged && !can.acknowledged {
            return Err(CreateError::unsupported(transport, "acknowledged delivery".to_owned()));
        }
        self.check_acknowledged()?;
        if !matches!(self.mode, 0o600 | 0o660 | 0o666) {
            return Err(CreateError::invalid("the mode of a queue is 600, 660 or 666"));
        }
        let codec_is_sound = !self.codec.is_empty()
            && self.codec.len() <= Self::MAX_CODEC_LEN
            && self.codec.bytes().all(|b| b.is_ascii_graphic());
        if !codec_is_sound {
            return Err(CreateError::invalid("the name of a codec is 1 to 32 printable ASCII characters"));
        }
        Ok(capacity)
    }

    /// As [`settle`](Self::settle), for a queue without a name.
    ///
    /// # Errors
    /// As there, and [`CreateError::Invalid`] for what needs a name.
    pub fn settle_anonymous(
        &self,
        transport: &'static str,
        can: &Capabilities,
    ) -> Result<usize, CreateError> {
        if self.max_redeliveries.is_some() {
            return Err(CreateError::invalid("a queue with a dead-letter queue has a name"));
        }
        self.settle(transport, can)
    }

    /// The name of the dead-letter queue of the queue `name`, if it is to have one.
    ///
    /// # Errors
    /// [`CreateError::Name`] when that is too long.
    pub fn dead_letter_name(&self, name: &QueueName) -> Result<Option<QueueName>, CreateError> {
        self.max_redeliveries.map(|_| name.of_dead_letters()).transpose().map_err(CreateError::from)
    }

    fn check_acknowledged(&self) -> Result<(), CreateError> {
        if !self.acknowledged && (self.max_redeliveries.is_some() || self.lease.is_some()) {
            return Err(CreateError::invalid(
                "only an acknowledged queue has leases, or limits redeliveries",
            ));
        }
        if self.lease == Some(Duration::ZERO) {
            return Err(CreateError::invalid("a lease takes some time"));
        }
        Ok(())
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self::new()
    }
}
