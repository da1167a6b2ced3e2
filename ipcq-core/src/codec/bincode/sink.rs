//! Where the bytes of a message go that is written.

use bincode::enc::write::Writer;
use bincode::error::EncodeError;

use super::number::{EIGHT, FOUR, LONGEST, ONE_BYTE, TWO, Whole};
use super::{Broken, NO_ROOM};

/// How many bytes are made ready at a time beyond what is to be written.
const STEP: usize = 256;

/// Where the bytes go. Memory that cannot be had is an error, not the end of the process.
pub(super) struct Sink<'v> {
    /// Those that were written, and some that are ready to be: so a short write has to look at one length only.
    bytes: &'v mut Vec<u8>,
    /// How many were written.
    at: usize,
    no_room: bool,
}

impl<'v> Sink<'v> {
    pub(super) const fn new(bytes: &'v mut Vec<u8>) -> Self {
        Self { bytes, at: 0, no_room: false }
    }

    /// How many bytes were written.
    #[inline]
    pub(super) const fn written(&self) -> usize {
        self.at
    }

    /// Whether the last write found no memory.
    pub(super) const fn has_no_room(&self) -> bool {
        self.no_room
    }

    /// Has `fill` write to the next `N` bytes and say how many of them it used.
    #[inline]
    fn fill<const N: usize>(&mut self, fill: impl FnOnce(&mut [u8; N]) -> usize) -> Result<(), Broken> {
        let ready = self.bytes.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut);
        let Some(room) = ready else { return self.fill_more(fill) };
        self.at += fill(room);
        Ok(())
    }

    /// As [`fill`](Self::fill), where not so many are ready.
    #[cold]
    #[inline(never)]
    fn fill_more<const N: usize>(&mut self, fill: impl FnOnce(&mut [u8; N]) -> usize) -> Result<(), Broken> {
        self.grow(N)?;
        let room = self.bytes.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut);
        self.at += fill(room.ok_or_else(|| Broken::rule(NO_ROOM))?);
        Ok(())
    }

    /// Makes bytes ready, `more` at least.
    fn grow(&mut self, more: usize) -> Result<(), Broken> {
        self.bytes.truncate(self.at);
        self.no_room = self.bytes.try_reserve(more).is_err();
        if self.no_room {
            return Err(Broken::rule(NO_ROOM));
        }
        let ready = (self.at + more + STEP).min(self.bytes.capacity());
        self.bytes.resize(ready, 0);
        Ok(())
    }

    /// Writes bytes where not so many are ready.
    #[cold]
    fn append(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.bytes.truncate(self.at);
        self.no_room = self.bytes.try_reserve(bytes.len()).is_err();
        if self.no_room {
            return Err(EncodeError::UnexpectedEnd);
        }
        self.bytes.extend_from_slice(bytes);
        self.at = self.bytes.len();
        Ok(())
    }
}

impl Writer for Sink<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match self.bytes.get_mut(self.at..).and_then(|ready| ready.get_mut(..bytes.len())) {
            Some(ready) => ready.copy_from_slice(bytes),
            None => return self.append(bytes),
        }
        self.at += bytes.len();
        Ok(())
    }
}

impl Sink<'_> {
    /// Writes bytes as they are.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), Broken> {
        self.fill(move |room| {
            *room = bytes;
            N
        })
    }

    /// Writes a number.
    #[inline]
    pub(super) fn number<W: Whole>(&mut self, value: W) -> Result<(), Broken> {
        let number = value.to_wire();
        self.fill::<LONGEST>(move |[first, others @ ..]| {
            if number <= ONE_BYTE {
                *first = number.to_le_bytes()[0];
                return 1;
            }
            // Bytes beyond those that it takes are overwritten by what comes next.
            *others = number.to_le_bytes();
            let (tag, len) = match number {
                ..=0xffff => (TWO, 3),
                0x1_0000..=0xffff_ffff => (FOUR, 5),
                _ => (EIGHT, 9),
            };
            *first = tag;
            len
        })
    }
}
