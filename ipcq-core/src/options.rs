//! What a queue is made with.

use crate::error::CreateError;
use crate::transport::Capabilities;

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
            let what = format!("a capacity of {capacity} messages (the largest is {})", can.max_capacity);
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
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self::new()
    }
}
