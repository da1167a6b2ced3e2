//! What is fixed when a queue is made.

use std::collections::TryReserveError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::QueueAddress;
use crate::error::{BackendError, BackendErrorKind, PutFault};
use crate::name::QueueName;
use crate::options::QueueOptions;

/// What was fixed when a queue was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The backend's name.
    pub transport: &'static str,
    /// The queue's name; `None` for an anonymous queue.
    pub name: Option<QueueName>,
    /// The directory of a named queue.
    pub directory: Option<PathBuf>,
    /// Tells this queue from earlier and later ones of the same name.
    pub incarnation: u128,
    /// The codec that the queue's messages are written with.
    pub codec: String,
    /// How many messages the queue takes.
    pub capacity: usize,
    /// The longest message it takes, in bytes.
    pub max_message: usize,
    /// Whether it closes by itself when its last producer has left.
    pub auto_close: bool,
    /// Whether its messages are to be acknowledged.
    pub acknowledged: bool,
    /// After how many redeliveries a message goes to the dead-letter queue.
    pub max_redeliveries: Option<u32>,
    /// How long a holder may keep a delivery.
    pub lease: Option<Duration>,
    /// The address that it is reached at, of a queue that may be on another machine.
    pub reached_at: Option<String>,
}

impl Identity {
    /// The identity of the queue as it is seen from another machine, at `address`.
    #[must_use]
    pub fn reached_at(self, address: impl Into<String>) -> Self {
        Self { reached_at: Some(address.into()), ..self }
    }

    /// The identity of a queue that `transport` makes from `options`, with the capacity that was settled on.
    #[must_use]
    pub fn new(
        transport: &'static str,
        place: Option<(QueueName, PathBuf)>,
        incarnation: u128,
        capacity: usize,
        options: &QueueOptions,
    ) -> Self {
        let (name, directory) = place.unzip();
        Self {
            transport,
            name,
            directory,
            incarnation,
            codec: options.codec_name().to_owned(),
            capacity,
            max_message: options.message_limit(),
            auto_close: options.closes_by_itself(),
            acknowledged: options.is_acknowledged(),
            max_redeliveries: options.redelivery_limit(),
            lease: options.lease_time(),
            reached_at: None,
        }
    }

    /// One message of `parts`, for a backend that keeps messages in memory of its own.
    ///
    /// # Errors
    /// [`PutFault::TooLong`] above the queue's limit, and [`BackendErrorKind::NoRoom`] where there is no memory for it.
    pub fn gather(&self, parts: &[&[u8]]) -> Result<Vec<u8>, PutFault> {
        let len = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let mut message = self.room_for(len)?;
        parts.iter().for_each(|part| message.extend_from_slice(part));
        Ok(message)
    }

    /// A message of `len` zeros, for [`Channel::loan`](crate::Channel::loan).
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn blank(&self, len: usize) -> Result<Vec<u8>, PutFault> {
        let mut message = self.room_for(len)?;
        message.resize(len, 0);
        Ok(message)
    }

    /// Memory for a message of `len` bytes.
    fn room_for(&self, len: usize) -> Result<Vec<u8>, PutFault> {
        if len > self.max_message {
            return Err(PutFault::TooLong { len, max: self.max_message });
        }
        let mut message = Vec::new();
        message.try_reserve_exact(len).map_err(|error| self.no_memory(error))?;
        Ok(message)
    }

    /// That this process has no memory for a message.
    pub(crate) fn no_memory(&self, error: TryReserveError) -> BackendError {
        let what = "the memory for a message could not be had";
        BackendError::new(BackendErrorKind::NoRoom, self, what)
            .with_advice("free some and try again")
            .with_source(error)
    }

    /// That the queue was removed.
    #[must_use]
    pub fn gone(&self) -> BackendError {
        BackendError::new(BackendErrorKind::Gone, self, "it was removed")
            .with_advice("make it again to go on")
    }

    /// Where another process finds this queue; `None` for an anonymous one.
    #[must_use]
    pub fn address(&self) -> Option<QueueAddress> {
        let (name, directory) = (self.name.clone()?, self.directory.clone()?);
        Some(QueueAddress::new(self.transport, directory, name, self.incarnation))
    }
}

/// `shm:jobs`, `shm:(anonymous)`, or the address that it is reached at: how messages to people name a queue.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = &self.reached_at {
            return f.write_str(address);
        }
        let name = self.name.as_ref().map_or("(anonymous)", QueueName::as_str);
        write!(f, "{}:{name}", self.transport)
    }
}
