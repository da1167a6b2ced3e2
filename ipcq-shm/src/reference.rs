//! Records that refer to a message which lies elsewhere: see [`loans`](crate::loans).
//!
//! Such a record has the header of a record of that length, but for one constant in its check word, so that those who read
//! records in the ring do not take it for one of theirs, and pay nothing for it. Eight bytes follow: the entry of the
//! piece, and its generation.

use ipcq_core::os::refusal::{Damage, Stuck};

use crate::position::{CHUNK, Position};
use crate::ring::{Cursor, Ring};
use crate::run::{length_in, record_header, span};

const REFERENCE: u64 = 0x5bd1_e995 << 32;
const BYTES: usize = 8;

/// What such a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The bytes of the message.
    pub(crate) len: usize,
    pub(crate) entry: u32,
    pub(crate) generation: u32,
}

impl Ring<'_> {
    /// Writes `reference` behind `tail`, where nobody sees it yet, and returns the tail that would publish it.
    pub(crate) fn stage_reference(&self, tail: Position, reference: Reference) -> Result<Position, Stuck> {
        let end = tail.offset() + span(BYTES);
        if end >= CHUNK {
            self.chunks().extend(tail, 1)?;
        }
        let mut at = Cursor::new(tail);
        let header = record_header(tail.count(), reference.len) ^ REFERENCE;
        self.write(&mut at, &header.to_le_bytes())?;
        self.write(&mut at, &reference.entry.to_le_bytes())?;
        self.write(&mut at, &reference.generation.to_le_bytes())?;
        Ok(self.after(at, tail))
    }

    /// The reference at `head`, and the head that gives it up.
    pub(crate) fn reference(&self, head: Position) -> Result<(Reference, Position), Damage> {
        let mut run = self.run(head)?;
        let header = run.header();
        let len = length_in(header);
        if header != record_header(head.count(), len) ^ REFERENCE || len > self.max_message {
            return Err(Damage);
        }
        let mut bytes = Vec::with_capacity(BYTES);
        self.copy(&mut run, BYTES, &mut bytes)?;
        let word = bytes.try_into().map(u64::from_le_bytes).map_err(|_| Damage)?;
        #[expect(clippy::cast_possible_truncation, reason = "the halves are meant")]
        let (entry, generation) = (word as u32, (word >> 32) as u32);
        Ok((Reference { len, entry, generation }, run.position()))
    }
}
