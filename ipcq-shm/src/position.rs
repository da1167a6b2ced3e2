//! Where the queue begins and ends: a message count and a place in the chunks, packed into one word, so that one
//! atomic operation publishes both.
//!
//! ```text
//! tail   63      62       61 ......... 32   31 ...... 13   12 ....... 0
//!        closed  removed  count mod 2^30    chunk number   8-byte unit
//! head   0       0        count mod 2^30    chunk number   8-byte unit
//! ```
//!
//! 2^19 chunks of 2^13 units of 8 bytes: a queue holds 32 GiB at most. Counts are compared modulo 2^30, and
//! its capacity is 2^29 - 1 messages at most, so that a head is told from one that has overtaken an older tail.

pub(crate) use ipcq_core::os::ends::{CLOSED, REMOVED};

/// The bytes of a chunk.
pub(crate) const CHUNK: usize = 1 << 16;
/// What records are aligned to, and positions count in. (Units of 16 bytes make messages of 64 take 80 instead of 72, and
/// lines of the cache are what batches wait for: 4x4 in batches of 64, 8-byte units move 1.07 times as many messages a
/// second, the middle half of 25 pairs from 0.94 to 1.24, and in another 31 pairs 1.14.)
pub(crate) const UNIT: usize = 8;
/// The most chunks of a queue.
pub(crate) const MAX_CHUNKS: u32 = 1 << 19;
/// The largest capacity.
pub(crate) const MAX_CAPACITY: usize = (1 << (COUNT_BITS - 1)) - 1;

const COUNT_BITS: u32 = 30;
const COUNT_SHIFT: u32 = 32;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const CHUNK_SHIFT: u32 = 13;
const UNIT_MASK: u64 = (1 << CHUNK_SHIFT) - 1;

const FLAGS: u64 = CLOSED | REMOVED;

/// A packed position; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    pub(crate) const fn new(count: u32, chunk: u32, offset: usize) -> Self {
        let units = (offset / UNIT) as u64;
        Self(((count as u64 & COUNT_MASK) << COUNT_SHIFT) | ((chunk as u64) << CHUNK_SHIFT) | units)
    }

    /// The bits of [`count`](Self::count).
    pub(crate) const COUNT: u32 = (1 << COUNT_BITS) - 1;

    pub(crate) const fn is_closed(self) -> bool {
        self.0 & FLAGS != 0
    }

    /// The number of the next message, modulo 2^30.
    pub(crate) const fn count(self) -> u32 {
        ((self.0 >> COUNT_SHIFT) & COUNT_MASK) as u32
    }

    /// The chunk, below [`MAX_CHUNKS`] whatever the word holds.
    #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are meant")]
    pub(crate) const fn chunk(self) -> u32 {
        (self.0 as u32) >> CHUNK_SHIFT
    }

    /// The offset in the chunk in bytes, below [`CHUNK`] whatever the word holds.
    pub(crate) const fn offset(self) -> usize {
        (self.0 & UNIT_MASK) as usize * UNIT
    }

    /// How many messages lie between `head` and this tail.
    pub(crate) fn since(self, head: Self) -> usize {
        (u64::from(self.count()).wrapping_sub(u64::from(head.count())) & COUNT_MASK) as usize
    }

    /// The full count whose last 30 bits this position has, given one (`near`) that is less than 2^29 away.
    pub(crate) const fn total(self, near: u64) -> u64 {
        let ahead = (self.count() as u64).wrapping_sub(near) & COUNT_MASK;
        if ahead < 1 << (COUNT_BITS - 1) {
            near.wrapping_add(ahead)
        } else {
            near.wrapping_add(ahead).wrapping_sub(COUNT_MASK + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        let at = Position::new(0x3fff_ffff, MAX_CHUNKS - 1, CHUNK - UNIT);
        assert_eq!((at.count(), at.chunk(), at.offset()), (0x3fff_ffff, MAX_CHUNKS - 1, CHUNK - UNIT));
        assert!(!at.is_closed());
        assert!(Position(at.0 | CLOSED).is_closed() && Position(at.0 | REMOVED).is_closed());
    }

    #[test]
    fn counts_wrap() {
        let (head, tail) = (Position::new(0x3fff_ffff, 0, 0), Position::new(0x4000_0001, 0, 16));
        assert_eq!(tail.since(head), 2);
    }

    #[test]
    fn totals_go_on_where_the_count_wraps() {
        let wrap = 1_u64 << 30;
        assert_eq!(Position::new(5, 0, 0).total(0), 5);
        assert_eq!(Position::new(5, 0, 0).total(wrap - 3), wrap + 5);
        assert_eq!(Position::new(0x3fff_ffff, 0, 0).total(3 * wrap + 1), 3 * wrap - 1);
    }
}
