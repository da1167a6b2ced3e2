//! A message that does not decode, with its bytes.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::codec::DecodeFailure;

/// A message that was taken from a queue and did not decode.
///
/// It is an error for its receiver alone: the message is out of the queue, the queue goes on, and the bytes are
/// here.
pub struct DecodeError(Box<Inner>);

struct Inner {
    queue: Arc<str>,
    codec: &'static str,
    bytes: Vec<u8>,
    failure: DecodeFailure,
}

impl DecodeError {
    pub(crate) fn new(queue: Arc<str>, codec: &'static str, bytes: Vec<u8>, failure: DecodeFailure) -> Self {
        Self(Box::new(Inner { queue, codec, bytes, failure }))
    }

    /// The queue, as in `shm:jobs`.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// The codec that could not read the message.
    #[must_use]
    pub fn codec(&self) -> &'static str {
        self.0.codec
    }

    /// The message as it was received.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The message as it was received.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.bytes
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { queue, codec, bytes, .. } = &*self.0;
        write!(
            f,
            "a message from queue {queue} is not what codec {codec} writes for this type; \
             it was taken, and the error holds its bytes ({} of them)",
            bytes.len()
        )
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError")
            .field("queue", &self.0.queue)
            .field("codec", &self.0.codec)
            .field("len", &self.0.bytes.len())
            .field("failure", &self.0.failure)
            .finish_non_exhaustive()
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0.failure)
    }
}
