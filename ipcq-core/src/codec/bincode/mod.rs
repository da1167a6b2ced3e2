//! The default codec: bincode 2 through serde, safe against hostile bytes.
//!
//! The format is that of bincode's standard configuration. The serde layer over it is our own, because
//! bincode's allocates what a length claims before it looks at what is there: nine bytes abort the process.
//! Ours reads strings and bytes as slices of the message, which exist before they are copied.

mod decode;
mod encode;
mod left;
mod number;
mod sink;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, de, ser};

use super::{Codec, DecodeFailure, EncodeError};

/// The default codec: any type that implements serde's `Serialize` and `Deserialize`, in the format of bincode
/// 2's standard configuration.
///
/// Whatever bytes arrive, decoding gives a message or an error: no length that they claim is believed beyond the
/// bytes left, and bytes after the message are an error. Two limits hold in both directions, so that what was put
/// can be got:
///
/// - values nest at most [`MAX_DEPTH`](Self::MAX_DEPTH) deep, counting each struct, tuple, sequence, map, enum
///   with content and `Some` as one level, so that no message overflows the stack;
/// - elements of sequences and maps that take no bytes at all, as those of `Vec<()>`, number at most
///   [`MAX_EMPTY`](Self::MAX_EMPTY) in one message. When it is decoded, those that nevertheless take memory
///   (structs of which serde skips every field) count once for each byte of it.
///
/// Types that must know the format to describe themselves (`serde_json::Value`, untagged and flattened enums)
/// cannot be read back, as with bincode itself; decoding them is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bincode;

impl Bincode {
    /// How deep values may nest.
    pub const MAX_DEPTH: usize = 128;
    /// How many elements that take no bytes may be in one message.
    pub const MAX_EMPTY: usize = 1 << 20;
}

const NO_ROOM: &str = "there is no memory for the bytes of the message";
const ENDS_EARLY: &str = "the message ends before all that it claims to hold";
const TOO_WIDE: &str = "a number is too wide for its type";
const NO_TRUTH: &str = "a truth value is neither 0 nor 1";
const TOO_DEEP: &str = "the message nests more than 128 levels deep";
const TOO_MANY_EMPTY: &str = "the message has more than 1048576 elements that take no bytes";

impl<T: Serialize + DeserializeOwned> Codec<T> for Bincode {
    const NAME: &'static str = "bincode";

    #[inline]
    fn encode<'a>(&self, value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError> {
        let len = encode::write(value, scratch)?;
        Ok(scratch.get(..len).unwrap_or_default())
    }

    #[inline]
    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeFailure> {
        decode::whole(bytes).map_err(DecodeFailure::new)
    }
}

/// What both directions count: levels of nesting, and elements that take no bytes.
#[derive(Clone, Copy)]
struct Bounds {
    depth: usize,
    empty: usize,
}

impl Bounds {
    const fn new() -> Self {
        Self { depth: Bincode::MAX_DEPTH, empty: Bincode::MAX_EMPTY }
    }

    /// Goes one level down; `leave` comes back up.
    #[inline]
    fn enter(&mut self) -> Result<(), Broken> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| Broken::rule(TOO_DEEP))?;
        Ok(())
    }

    #[inline]
    const fn leave(&mut self) {
        self.depth += 1;
    }

    /// Counts an element that took no bytes in the message, for `weight`.
    fn count_empty(&mut self, weight: usize) -> Result<(), Broken> {
        self.empty = self.empty.checked_sub(weight.max(1)).ok_or_else(|| Broken::rule(TOO_MANY_EMPTY))?;
        Ok(())
    }
}

/// What is wrong with a message or a value, in a sentence. It is one word, so that results with it are returned in
/// registers.
#[derive(Debug)]
struct Broken(Box<Cow<'static, str>>);

impl Broken {
    #[cold]
    fn rule(rule: &'static str) -> Self {
        Self(Box::new(Cow::Borrowed(rule)))
    }

    #[cold]
    fn text(text: String) -> Self {
        Self(Box::new(Cow::Owned(text)))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

impl de::Error for Broken {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::text(message.to_string())
    }
}

impl ser::Error for Broken {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::text(message.to_string())
    }
}

/// bincode prints its errors as Rust values; these are for people.
impl From<::bincode::error::DecodeError> for Broken {
    fn from(error: ::bincode::error::DecodeError) -> Self {
        use ::bincode::error::DecodeError as E;
        Self::rule(match error {
            E::UnexpectedEnd { .. } => ENDS_EARLY,
            E::InvalidIntegerType { .. } => TOO_WIDE,
            E::InvalidCharEncoding(_) => "a character is not valid UTF-8",
            _ => "a value is not in the format of bincode",
        })
    }
}

impl From<::bincode::error::EncodeError> for Broken {
    fn from(_: ::bincode::error::EncodeError) -> Self {
        Self::rule("a value could not be written in the format of bincode")
    }
}
