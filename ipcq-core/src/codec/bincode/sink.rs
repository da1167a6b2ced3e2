//! Where the bytes of a message go that is written.
//!
//! Writing a field is expanded where the field is written, so that all that is known here stays in registers for a whole
//! struct; see [`left`](super::left). That is why the rare way is a function that knows nothing of a [`Sink`]. The buffer
//! itself stays where it is: a put waits until all that was stored before it is in the cache, so what need not be stored
//! is not. (A struct of six fields, one process to another: 67 ns a message rather than 71.)

use super::number::{EIGHT, FOUR, LONGEST, ONE_BYTE, TWO, Whole};
use super::{Broken, NO_ROOM};

/// How many bytes are made ready at a time beyond what is to be written.
const STEP: usize = 256;

/// Where the bytes go. Memory that cannot be had is an error, not the end of the process.
pub(super) struct Sink<'a> {
    /// Those that were written, and some that are ready to be: so a short write has to look at one length only.
    bytes: &'a mut Vec<u8>,
    /// How many were written.
    at: usize,
    no_room: bool,
}

impl<'a> Sink<'a> {
    pub(super) const fn new(bytes: &'a mut Vec<u8>) -> Self {
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
    #[inline(always)]
    fn fill<const N: usize>(&mut self, fill: impl Fn(&mut [u8; N]) -> usize) -> Result<(), Broken> {
        if let Some(room) = self.bytes.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            self.at += fill(room);
            return Ok(());
        }
        let mut bytes = [0; N];
        let used = fill(&mut bytes);
        self.append(bytes.get(..used).unwrap_or_default())
    }

    /// Writes bytes where not so many are ready.
    #[inline(always)]
    fn append(&mut self, more: &[u8]) -> Result<(), Broken> {
        if !append(self.bytes, self.at, more) {
            self.no_room = true;
            return Err(Broken::rule(NO_ROOM));
        }
        self.at += more.len();
        Ok(())
    }

    /// Writes bytes as they are.
    #[inline(always)]
    pub(super) fn array<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), Broken> {
        self.fill(move |room| {
            *room = bytes;
            N
        })
    }

    /// The same for any number of them.
    #[inline]
    pub(super) fn slice(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let Some(ready) = self.bytes.get_mut(self.at..).and_then(|ready| ready.get_mut(..bytes.len())) else {
            return self.append(bytes);
        };
        ready.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    /// Writes a number.
    #[inline(always)]
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

/// Puts `more` behind the first `at` of `bytes`, and makes some ready behind that; returns whether there was memory for it.
#[cold]
#[inline(never)]
fn append(bytes: &mut Vec<u8>, at: usize, more: &[u8]) -> bool {
    bytes.truncate(at);
    if bytes.try_reserve(more.len().saturating_add(STEP)).is_err() {
        return false;
    }
    bytes.extend_from_slice(more);
    bytes.resize(bytes.len() + STEP, 0);
    true
}
