//! Records that lie wholly inside one chunk: nearly all of them, and the way on which every instruction counts.
//!
//! A record is 8 bytes (length, and a check word made of length and number) and the message, padded to 8.
//!
//! Lines of the ring come from the cache of another processor, so what a putter waits for is that its stores find
//! their line. Stores wait in a buffer of some 60 places, and the more of them a message takes, the fewer lines are
//! on their way at once. So the loop of a batch keeps everything in registers, and messages are copied by stores that
//! do not overlap; the C library's copy writes 64 bytes twice (64 B in batches of 64, 1x1: 1.5 times as many messages
//! a second without that).

use std::convert::Infallible;
use std::marker::PhantomData;
use std::ptr::NonNull;

use ipcq_core::Batch;

use crate::map::Map;
use crate::position::{CHUNK, Position, UNIT};
use crate::store::{Kept, Store, copy};

/// What stands before each message.
pub(crate) const RECORD_HEADER: usize = 8;

/// A place in a chunk, and the memory of that chunk.
pub(crate) struct Run<'a> {
    memory: NonNull<u8>,
    chunk: u32,
    /// Below [`CHUNK`], and a multiple of [`UNIT`].
    offset: usize,
    count: u32,
    mapped: PhantomData<&'a Map>,
}

impl Run<'_> {
    /// The place `at`, in the chunk that is at `memory`.
    #[inline]
    pub(crate) fn new(at: Position, memory: NonNull<u8>) -> Self {
        Self { memory, chunk: at.chunk(), offset: at.offset(), count: at.count(), mapped: PhantomData }
    }

    #[inline]
    pub(crate) fn position(&self) -> Position {
        Position::new(self.count, self.chunk, self.offset)
    }

    /// The number of the message here.
    #[inline]
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Whether a record of a message of `len` bytes, and the next position, lie inside this chunk.
    #[inline]
    pub(crate) const fn has_room(&self, len: usize) -> bool {
        len < CHUNK && self.offset + span(len) < CHUNK
    }

    /// Writes a record, for which there is room, and goes on behind it.
    #[inline]
    pub(crate) fn write(&mut self, parts: &[&[u8]], len: usize) {
        debug_assert!(self.has_room(len));
        self.write_header::<Kept>(len);
        let mut end = self.offset + RECORD_HEADER;
        for part in parts {
            // SAFETY: the parts are `len` bytes together, so this one ends inside the chunk.
            let to = unsafe { self.memory.add(end) };
            // SAFETY: as above, and the caller's bytes are not in the mapping.
            unsafe { copy(part.as_ptr(), to.as_ptr(), part.len()) };
            end += part.len();
        }
        self.skip(len);
    }

    /// Writes a record of one part, for which there is room, and goes on behind it.
    #[inline]
    fn write_one<S: Store>(&mut self, message: &[u8]) {
        debug_assert!(self.has_room(message.len()));
        self.write_header::<S>(message.len());
        // SAFETY: the message begins inside the chunk.
        let to = unsafe { self.memory.add(self.offset + RECORD_HEADER) };
        // SAFETY: the message ends inside the chunk, also when rounded up to 8, as the next position does; chunk, offset
        // and header are multiples of 8; the caller's bytes are not in the mapping, and no reference to the mapping's
        // bytes exists. `write_all` finishes.
        unsafe { S::bytes(message.as_ptr(), to.as_ptr(), message.len()) };
        self.skip(message.len());
    }

    /// Writes `messages` while there is room for them here, none is longer than `longest`, and they take less than
    /// `bytes` together before the last; returns how many it wrote.
    #[inline(never)]
    pub(crate) fn write_all<'b, S: Store>(
        &mut self,
        messages: impl Iterator<Item = &'b [u8]>,
        longest: usize,
        bytes: usize,
    ) -> usize {
        let mut at = Self { ..*self };
        let end = CHUNK.min(self.offset + bytes);
        let mut written = 0;
        for message in messages {
            let len = message.len();
            if at.offset >= end || len > longest || !at.has_room(len) {
                break;
            }
            at.write_one::<S>(message);
            written += 1;
        }
        S::finish();
        *self = at;
        written
    }

    #[inline]
    fn write_header<S: Store>(&self, len: usize) {
        // SAFETY: the offset is below `CHUNK`.
        let to = unsafe { self.memory.add(self.offset) }.cast::<u64>();
        // SAFETY: offset and chunk are multiples of 8, so the word lies inside the chunk, and is aligned; no
        // reference to the mapping's bytes exists anywhere; who asks for `S` finishes.
        unsafe { S::word(to.as_ptr(), record_header(self.count, len).to_le()) };
    }

    /// What stands before the message here.
    #[inline]
    pub(crate) fn header(&self) -> u64 {
        // SAFETY: the offset is below `CHUNK`.
        let from = unsafe { self.memory.add(self.offset) }.cast::<u64>();
        // SAFETY: offset and chunk are multiples of 8, so the word lies inside the chunk, and is aligned.
        u64::from_le(unsafe { from.read_volatile() })
    }

    /// Appends the message of `len` bytes, which lies inside the chunk, to `buffer`, which has room for it, and
    /// goes on behind it.
    #[inline]
    pub(crate) fn read(&mut self, len: usize, buffer: &mut Vec<u8>) {
        debug_assert!(self.has_room(len) && buffer.capacity() - buffer.len() >= len);
        let old_len = buffer.len();
        // SAFETY: the record lies inside the chunk.
        let from = unsafe { self.memory.add(self.offset + RECORD_HEADER) };
        // SAFETY: the length is at most the capacity.
        let to = unsafe { buffer.as_mut_ptr().add(old_len) };
        // SAFETY: `len` bytes lie inside the chunk, and inside the spare capacity, which nobody else can reach.
        // Peers may write the source meanwhile: the bytes are copied, never looked at here.
        unsafe { copy(from.as_ptr(), to, len) };
        // SAFETY: `len` bytes behind `old_len` were just written, within the capacity.
        unsafe { buffer.set_len(old_len + len) };
        self.skip(len);
    }

    /// Appends up to `most` messages to `batch` while each is sound, lies wholly here, is no longer than `longest`, and
    /// fits within `bytes` more and the memory that the batch has; returns how many. Why it stopped the caller must
    /// find out.
    #[inline(never)]
    pub(crate) fn read_all(&mut self, batch: &mut Batch, most: usize, bytes: usize, longest: usize) -> usize {
        let mut at = Self { ..*self };
        let (spare_messages, spare_bytes) = batch.spare();
        let (most, mut bytes) = (most.min(spare_messages), bytes.min(spare_bytes));
        let mut read = 0;
        while read < most {
            let header = at.header();
            let len = length_in(header);
            if header != record_header(at.count, len) || len > bytes.min(longest) || !at.has_room(len) {
                break;
            }
            let pushed = batch.push_with(|buffer| {
                at.read(len, buffer);
                Ok::<_, Infallible>(())
            });
            let Ok(()) = pushed;
            (read, bytes) = (read + 1, bytes - len);
        }
        *self = at;
        read
    }

    #[inline]
    const fn skip(&mut self, len: usize) {
        self.offset += span(len);
        self.count = self.count.wrapping_add(1);
    }
}

/// The bytes that a message of `len` bytes takes.
#[inline]
pub(crate) const fn span(len: usize) -> usize {
    (RECORD_HEADER + len).next_multiple_of(UNIT)
}

/// The length that a header claims.
#[inline]
pub(crate) const fn length_in(header: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the length")]
    let len = header as u32;
    len as usize
}

/// What stands before a message of `len` bytes that is number `count`: its length below, above it a check word,
/// which stray bytes and records of an earlier round do not match.
#[inline]
pub(crate) fn record_header(count: u32, len: usize) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "message limits are below 4 GiB")]
    let len = len as u32;
    let count = count & Position::COUNT;
    let check = count.wrapping_mul(0x9e37_79b9) ^ len.rotate_left(16) ^ 0x6970_6371;
    (u64::from(check) << 32) | u64::from(len)
}
