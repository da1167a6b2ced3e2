//! What stands in the pipe for one message: a record, of the same size for all messages of a queue.
//!
//! ```text
//! 0    length of the message (u32), and its number made unlike anything else (u32)
//! 8    the message, if it fits; else the places of its parts in the pool: (first block, blocks), up to 7 or 15
//! ```
//!
//! Record sizes are powers of two no larger than a page, so that a record never lies in two pages of the pipe, and
//! the kernel writes and reads each whole.

use ipcq_core::os::refusal::Damage;

/// What stands before the message.
pub(crate) const HEADER: usize = 8;
/// The larger of the two record sizes, for all queues that can have it. 64-byte messages fit. (With 256 bytes one
/// message at a time was no faster: 0.52 M/s beside 0.57, medians of 5 runs of 64-byte messages, 1x1, on a busy
/// machine; and a pipe holds half as many.)
pub(crate) const LARGE: usize = 128;
/// The smaller one, for the largest capacities.
pub(crate) const SMALL: usize = 64;

/// Some blocks of the pool, one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u32,
    pub(crate) blocks: u32,
}

/// How many extents fit into a record of `size` bytes.
pub(crate) const fn max_extents(size: usize) -> usize {
    (size - HEADER) / size_of::<Extent>()
}

/// The most extents of any record.
pub(crate) const MAX_EXTENTS: usize = max_extents(LARGE);

/// Where a message too long for its record lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extents {
    list: [Extent; MAX_EXTENTS],
    len: usize,
}

impl Extents {
    /// Adds one, to the last if it goes on there; whether there was room for it.
    pub(crate) fn push(&mut self, extent: Extent) -> bool {
        if let Some(last) = self.len.checked_sub(1).and_then(|last| self.list.get_mut(last))
            && last.first.checked_add(last.blocks) == Some(extent.first)
            && let Some(blocks) = last.blocks.checked_add(extent.blocks)
        {
            last.blocks = blocks;
            return true;
        }
        let place = self.list.get_mut(self.len);
        let fits = place.is_some();
        if let Some(place) = place {
            *place = extent;
            self.len += 1;
        }
        fits
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.list.iter().take(self.len).copied()
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Writes them behind the header of `record`.
    pub(crate) fn write(&self, record: &mut [u8]) {
        let places = record.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(size_of::<Extent>());
        for (place, extent) in places.zip(self.list) {
            let word = u64::from(extent.first) | (u64::from(extent.blocks) << 32);
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads what stands behind the header of `record`, up to the first that is empty.
    pub(crate) fn read(record: &[u8]) -> Self {
        let mut extents = Self::default();
        for bytes in record.get(HEADER..).unwrap_or_default().chunks_exact(size_of::<Extent>()) {
            let word = word_of(bytes);
            #[expect(clippy::cast_possible_truncation, reason = "the two halves are meant")]
            let extent = Extent { first: word as u32, blocks: (word >> 32) as u32 };
            if extent.blocks == 0 || !extents.push(extent) {
                break;
            }
        }
        extents
    }
}

/// The header of message `number`, which has `len` bytes: stray bytes do not match it.
#[inline]
pub(crate) fn header(number: u64, len: u32) -> [u8; HEADER] {
    (u64::from(low(number) ^ mask(len)) << 32 | u64::from(len)).to_le_bytes()
}

/// The length in the header of `record`, if it is that of message `number`.
#[inline]
pub(crate) fn length(record: &[u8], number: u64) -> Result<usize, Damage> {
    let (found, len) = number_and_length(record);
    if found == low(number) { Ok(len as usize) } else { Err(Damage) }
}

/// The last 32 bits of a record's number.
pub(crate) fn number(record: &[u8]) -> u32 {
    number_and_length(record).0
}

/// The last 32 bits of a message's number.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
pub(crate) const fn low(number: u64) -> u32 {
    number as u32
}

#[inline]
fn number_and_length(record: &[u8]) -> (u32, u32) {
    let word = word_of(record);
    let len = low(word);
    (low(word >> 32) ^ mask(len), len)
}

/// What keeps a record of zeroes, and lengths changed by a bit, from being right.
const fn mask(len: u32) -> u32 {
    len.rotate_left(16) ^ 0x6970_6370
}

#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_it_was_made_of() {
        for (number, len) in [(0, 0), (1, 64), (u64::MAX >> 2, u32::MAX), (1 << 32, 7)] {
            let record = header(number, len);
            assert_eq!(length(&record, number), Ok(len as usize));
            assert_eq!(length(&record, number + 1), Err(Damage));
        }
        assert_eq!(length(&[0; HEADER], 0), Err(Damage));
    }

    #[test]
    fn extents_come_back_as_they_went() {
        let mut extents = Extents::default();
        assert!(extents.push(Extent { first: 7, blocks: 3 }) && extents.push(Extent { first: 0, blocks: 1 }));
        let mut record = [0; SMALL];
        extents.write(&mut record);
        assert_eq!(Extents::read(&record), extents);
        assert_eq!(Extents::read(&[0xff; LARGE]).len(), MAX_EXTENTS);
    }
}
