//! Byte messages on their way through a transport: many of them in one flat buffer.

/// Many byte messages, one after the other in a single buffer.
///
/// A batch is what moves through [`Channel::put_many`](crate::Channel::put_many) and
/// [`Channel::get_many`](crate::Channel::get_many): a transport copies from it and into it without
/// allocating once per message. It keeps its memory when it is cleared.
///
/// ```
/// use ipcq_core::Batch;
///
/// let mut batch = Batch::new();
/// batch.push(b"one");
/// batch.push_parts(&[b"t", b"wo"]);
/// assert_eq!(batch.iter().collect::<Vec<_>>(), [b"one", b"two"]);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each message ends in `bytes`.
    ends: Vec<usize>,
}

impl Batch {
    /// An empty batch, which owns no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), ends: Vec::new() }
    }

    /// How many messages are in the batch.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no message in the batch.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes all the messages have together.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets every message and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Appends a message.
    pub fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// Appends one message given in several parts.
    pub fn push_parts(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
    }

    /// Appends one message that `write` puts at the end of the buffer it is given.
    ///
    /// What `write` must not do is shorten the buffer. When it fails, the batch is as before.
    ///
    /// # Errors
    /// What `write` returned.
    #[inline]
    pub fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let before = self.bytes.len();
        let written = write(&mut self.bytes);
        if written.is_err() {
            self.bytes.truncate(before);
        } else {
            self.ends.push(self.bytes.len().max(before));
        }
        written
    }

    /// Makes room for `messages` more messages of `bytes` bytes together, so that pushing them cannot fail.
    ///
    /// # Errors
    /// When there is not that much memory.
    pub fn try_reserve(
        &mut self,
        messages: usize,
        bytes: usize,
    ) -> Result<(), std::collections::TryReserveError> {
        self.ends.try_reserve(messages)?;
        self.bytes.try_reserve(bytes)
    }

    /// How many more messages and bytes fit without asking for memory.
    #[inline]
    #[must_use]
    pub const fn spare(&self) -> (usize, usize) {
        (self.ends.capacity() - self.ends.len(), self.bytes.capacity() - self.bytes.len())
    }

    /// The message at `index`, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start..end)
    }

    /// How many bytes the messages from number `from` to before number `to` have together.
    #[inline]
    #[must_use]
    pub fn byte_len_between(&self, from: usize, to: usize) -> usize {
        let end =
            |count: usize| count.checked_sub(1).map_or(0, |last| self.ends.get(last).copied().unwrap_or(0));
        end(to).saturating_sub(end(from))
    }

    /// The messages in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        self.iter_from(0)
    }

    /// The messages in their order, from number `from` on.
    #[inline]
    pub fn iter_from(&self, from: usize) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        let from = from.min(self.ends.len());
        let mut start = from.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.ends[from..].iter().map(move |&end| {
            let message = &self.bytes[start..end];
            start = end;
            message
        })
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("messages", &self.len()).field("bytes", &self.byte_len()).finish()
    }
}

/// How much one [`Channel::get_many`](crate::Channel::get_many) may take.
///
/// ```
/// use ipcq_core::Limit;
///
/// let limit = Limit::messages(64).with_bytes(64 * 1024);
/// assert_eq!(limit.max_messages(), 64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    messages: usize,
    bytes: usize,
}

impl Limit {
    /// At most `messages` messages, of any size.
    #[must_use]
    pub const fn messages(messages: usize) -> Self {
        Self { messages, bytes: usize::MAX }
    }

    /// At most `bytes` bytes together as well; the first message is taken whatever its size.
    #[must_use]
    pub const fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// The most messages that may be taken.
    #[must_use]
    pub const fn max_messages(&self) -> usize {
        self.messages
    }

    /// The most bytes that may be taken, beyond the first message.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.bytes
    }
}
