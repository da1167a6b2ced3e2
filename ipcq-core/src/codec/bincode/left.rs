//! What is left of a message that is read.

use bincode::de::read::Reader;
use bincode::error::DecodeError;

use super::number::{FOUR, ONE_BYTE, TWO, Whole};
use super::{Broken, ENDS_EARLY, TOO_WIDE};

/// A message, of which some was read.
pub(super) struct Left<'de> {
    bytes: &'de [u8],
    /// How many were read: one word to keep, where a slice of the rest would be two.
    at: usize,
}

impl<'de> Left<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are left.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    fn rest(&self) -> &'de [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Option<&'de [u8]> {
        let taken = self.rest().get(..n)?;
        self.at += n;
        Some(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let taken = self.rest().first_chunk().ok_or_else(|| Broken::rule(ENDS_EARLY))?;
        self.at += N;
        Ok(*taken)
    }
}

impl Reader for Left<'_> {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> Result<(), DecodeError> {
        let taken = self.take(into.len()).ok_or(DecodeError::UnexpectedEnd { additional: into.len() })?;
        into.copy_from_slice(taken);
        Ok(())
    }

    #[inline]
    fn peek_read(&mut self, n: usize) -> Option<&[u8]> {
        self.rest().get(..n)
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        self.at = self.at.saturating_add(n).min(self.bytes.len());
    }
}

impl Left<'_> {
    /// Reads a number.
    #[inline]
    pub(super) fn number<N: Whole>(&mut self) -> Result<N, Broken> {
        let [tag] = self.array()?;
        if u64::from(tag) <= ONE_BYTE {
            return Ok(N::from_wire(tag.into()));
        }
        self.long_number(tag, N::WIDEST).map(N::from_wire)
    }

    #[inline]
    fn long_number(&mut self, tag: u8, widest: u8) -> Result<u64, Broken> {
        if tag > widest {
            return Err(Broken::rule(TOO_WIDE));
        }
        match tag {
            TWO => self.array().map(|bytes| u16::from_le_bytes(bytes).into()),
            FOUR => self.array().map(|bytes| u32::from_le_bytes(bytes).into()),
            _ => self.array().map(u64::from_le_bytes),
        }
    }
}
