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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use ipcq_core::os::lending::Lending;
    use ipcq_core::os::two_lock::TwoLock;
    use ipcq_core::{BackendErrorKind, GetFault, Identity, QueueOptions, Wait};

    use super::*;
    use crate::layout::CHUNKS_AT;
    use crate::segment::Segment;

    #[test]
    fn a_length_beyond_what_was_lent_is_damage() -> Result<(), Box<dyn std::error::Error>> {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile()?.into(), identity)?;
        let mut loan = segment.loan(CHUNK)?;
        assert!(loan.is_in_place());
        segment.put_loan(&mut loan, Wait::No)?;
        let file = File::from(segment.storage().as_fd().try_clone_to_owned()?);
        let forged = record_header(0, CHUNK + 1) ^ REFERENCE;
        file.write_all_at(&forged.to_le_bytes(), CHUNKS_AT as u64)?;
        let got = [segment.get(&mut Vec::new(), Wait::No), segment.get_loan(Wait::No).map(drop)];
        for outcome in got {
            assert!(
                matches!(&outcome, Err(GetFault::Backend(error)) if error.kind() == BackendErrorKind::Damaged),
                "{outcome:?}"
            );
        }
        Ok(())
    }
}
