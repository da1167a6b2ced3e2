//! Codecs: how typed messages become bytes, and bytes become messages again.

#[cfg(feature = "bincode")]
mod bincode;
mod bytes;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "postcard")]
mod postcard;

use std::collections::TryReserveError;
use std::error::Error;
use std::fmt;

#[cfg(feature = "bincode")]
pub use self::bincode::Bincode;
pub use self::bytes::Bytes;
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "postcard")]
pub use self::postcard::Postcard;

/// The codec of a [`Queue`](crate::Queue) for which none is named.
#[cfg(feature = "bincode")]
pub type DefaultCodec = Bincode;

/// The codec of a [`Queue`](crate::Queue) for which none is named: raw bytes, as feature `bincode` is off.
#[cfg(not(feature = "bincode"))]
pub type DefaultCodec = Bytes;

/// Writes messages of type `T` as bytes and reads them back.
///
/// A queue records the [`NAME`](Self::NAME) of its codec when it is made, and opening it with another is an
/// error. The two directions must agree: what `encode` wrote, `decode` reads. Bytes may come from anyone who can
/// open the queue, so `decode` must treat them as hostile: any bytes give a message or a failure, never a panic,
/// and no length that they claim is believed beyond the bytes that are there.
///
/// Codecs run before a put begins and after a get has ended, never inside one: they may be slow, fail, and use
/// queues themselves.
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Codec, DecodeFailure, EncodeError, Queue, QueueOptions};
///
/// /// Numbers as decimal text, which any shell script can read.
/// #[derive(Clone, Debug, Default)]
/// struct Decimal;
///
/// impl Codec<u64> for Decimal {
///     const NAME: &'static str = "decimal";
///
///     fn encode<'a>(&self, value: &'a u64, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError> {
///         scratch.clear();
///         scratch.extend_from_slice(value.to_string().as_bytes());
///         Ok(scratch)
///     }
///
///     fn decode(&self, bytes: &[u8]) -> Result<u64, DecodeFailure> {
///         let text = std::str::from_utf8(bytes).map_err(DecodeFailure::new)?;
///         text.parse().map_err(DecodeFailure::new)
///     }
/// }
///
/// let numbers = Queue::<u64, Decimal>::create(&MemoryTransport::new(), "numbers", &QueueOptions::new())?;
/// numbers.put(42)?;
/// assert_eq!(numbers.get()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Codec<T>: Clone + Default + Send + Sync + 'static {
    /// What queues record: 1 to 32 printable ASCII characters.
    const NAME: &'static str;

    /// The bytes of `value`, either its own or written into `scratch`.
    ///
    /// What `scratch` holds at first is of no meaning; its memory is used again for the next message.
    ///
    /// # Errors
    /// When `value` cannot be written, or there is no memory for its bytes.
    fn encode<'a>(&self, value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError>;

    /// The message that `bytes` stand for. All of `bytes` must be used.
    ///
    /// # Errors
    /// When `bytes` are no message of this type.
    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeFailure>;

    /// As [`decode`](Self::decode), from a buffer that may be taken instead of copied. The default copies.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); `bytes` are then as they were.
    #[inline]
    fn decode_buffer(&self, bytes: &mut Vec<u8>) -> Result<T, DecodeFailure> {
        self.decode(bytes)
    }
}

/// Why a value did not become bytes.
///
/// Its text says what happened and why; `source` is what is behind the cause, where there is anything.
// No cause means that there is no memory, of which there may be too little to keep one. One word, so that what encoding
// returns is two, and comes in registers.
pub struct EncodeError(Option<Box<EncodeCause>>);

const _: () = assert!(size_of::<Result<&[u8], EncodeError>>() == 2 * size_of::<usize>());

enum EncodeCause {
    ReadOnly,
    Other(Box<dyn Error + Send + Sync>),
}

impl EncodeError {
    /// A failure with this cause, an error or a sentence.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Some(Box::new(EncodeCause::Other(cause.into()))))
    }

    /// There is no memory for the bytes of the value.
    #[must_use]
    pub const fn no_room() -> Self {
        Self(None)
    }

    /// Whether there was no memory for the bytes of the value.
    #[must_use]
    pub const fn is_no_room(&self) -> bool {
        self.0.is_none()
    }

    /// The queue's messages are of another codec, and the handle was opened to read their bytes.
    pub(crate) fn read_only() -> Self {
        Self(Some(Box::new(EncodeCause::ReadOnly)))
    }
}

impl From<TryReserveError> for EncodeError {
    fn from(_: TryReserveError) -> Self {
        Self::no_room()
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            None => f.write_str("there is no memory for the bytes of the message"),
            Some(EncodeCause::ReadOnly) => {
                f.write_str("the handle was opened to read raw bytes of another codec")
            }
            Some(EncodeCause::Other(cause)) => write!(f, "it could not be written as bytes ({cause})"),
        }
    }
}

impl fmt::Debug for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodeError")
            .field("what", &self.to_string())
            .field("source", &self.source())
            .finish()
    }
}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Some(EncodeCause::Other(cause)) = self.0.as_deref() { cause.source() } else { None }
    }
}

/// Why bytes did not become a message: what a codec reports. Callers of a queue get it inside a
/// [`DecodeError`](crate::DecodeError), beside the bytes.
pub struct DecodeFailure(Box<dyn Error + Send + Sync>);

impl DecodeFailure {
    /// A failure with this cause, an error or a sentence.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for DecodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DecodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DecodeFailure").field(&self.0).finish()
    }
}

/// Transparent: its text and its `source` are those of the cause.
impl Error for DecodeFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
