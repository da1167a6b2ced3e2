//! Raw bytes: a message is its own bytes.

use std::mem;

use super::{Codec, DecodeFailure, EncodeError};

/// The codec of raw bytes: `Vec<u8>`, `Box<[u8]>`, `Arc<[u8]>` and whatever else is made from and seen as bytes.
///
/// Nothing is copied on the way in, and what was received becomes the message as it is.
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Bytes, Queue, QueueOptions};
///
/// let lines = Queue::<Vec<u8>, Bytes>::create(&MemoryTransport::new(), "lines", &QueueOptions::new())?;
/// lines.put(b"one".to_vec())?;
/// assert_eq!(lines.get()?, b"one");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes;

/// Memory beyond a message's length that is handed out with it rather than copying the message.
const SPARE: usize = 64;

impl<T: AsRef<[u8]> + From<Vec<u8>>> Codec<T> for Bytes {
    const NAME: &'static str = "bytes";

    fn encode<'a>(&self, value: &'a T, _: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError> {
        Ok(value.as_ref())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeFailure> {
        Ok(T::from(bytes.to_vec()))
    }

    fn decode_buffer(&self, bytes: &mut Vec<u8>) -> Result<T, DecodeFailure> {
        // A short message must not walk away with the memory of a long one that came before it.
        if bytes.capacity() - bytes.len() > bytes.len().max(SPARE) {
            return self.decode(bytes);
        }
        Ok(T::from(mem::take(bytes)))
    }
}
