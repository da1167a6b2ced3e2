//! Storing what another processor reads next: kept in this processor's cache, or streamed past it.
//!
//! A record is written once, by one processor, into lines that the one which read the record before it has in its
//! cache, and it is read by another. A kept store has to get its line from there first, and the reader gets it from here later; how long
//! that takes depends on how far apart the processors are. A streamed store (non-temporal, in the words of the
//! processor's manuals) goes to memory by way of a buffer that collects whole lines, without getting them: that takes
//! the same time everywhere, and readers, who go through memory in order, have their processor fetch it ahead.
//!
//! It pays where many lines are written before somebody waits for the first: a single short message it only makes
//! late. (64 B, medians of seven to nine interleaved pairs of runs on processors far from each other, streamed
//! against kept: batches of 2 0.54x, 4 0.76x, 8 1.03x, 16 1.78x, 64 2.1 to 2.9x with 1x1 and 1.7 to 6x with 4x4.)

use std::ptr;

/// Up to this length, in bytes, a message is copied by a loop of our own.
const SHORT: usize = 256;

/// What is stored together is streamed from this many bytes on.
pub(crate) const STREAMED_FROM: usize = 1024;

/// A way to store.
pub(crate) trait Store {
    /// Stores `word`.
    ///
    /// # Safety
    /// - `to` can be written for 8 bytes and is a multiple of 8.
    /// - No reference to these bytes exists.
    /// - Nobody reads them before [`finish`](Self::finish) was called.
    unsafe fn word(to: *mut u64, word: u64);

    /// Copies `len` bytes. Those behind them up to a multiple of 8 may be overwritten.
    ///
    /// # Safety
    /// - `from` can be read for `len` bytes, and `to` can be written for as many, rounded up to a multiple of 8; they do
    ///   not overlap.
    /// - `to` is a multiple of 8.
    /// - No reference to the bytes at `to` exists.
    /// - Nobody reads them before [`finish`](Self::finish) was called.
    unsafe fn bytes(from: *const u8, to: *mut u8, len: usize);

    /// Makes what was stored ready to be published.
    fn finish();
}

/// Stores that get their line.
#[derive(Debug)]
pub(crate) struct Kept;

impl Store for Kept {
    #[inline]
    unsafe fn word(to: *mut u64, word: u64) {
        // SAFETY: as the caller promises.
        unsafe { to.write(word) };
    }

    #[inline]
    unsafe fn bytes(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: as the caller promises.
        unsafe { copy(from, to, len) };
    }

    #[inline]
    fn finish() {}
}

/// Stores that do without their line, where the processor has such.
#[derive(Debug)]
pub(crate) struct Streamed;

#[cfg(target_arch = "x86_64")]
impl Store for Streamed {
    #[inline]
    unsafe fn word(to: *mut u64, word: u64) {
        // SAFETY: as the caller promises; every x86-64 has the instruction, and `finish` the fence that it wants.
        unsafe { std::arch::x86_64::_mm_stream_si64(to.cast(), word.cast_signed()) };
    }

    #[inline]
    unsafe fn bytes(from: *const u8, to: *mut u8, len: usize) {
        let mut done = 0;
        while done + 8 <= len {
            let from = from.wrapping_add(done).cast::<u64>();
            // SAFETY: 8 bytes from `done` on are within `len`.
            let word = unsafe { from.read_unaligned() };
            // SAFETY: as above, and `to` and `done` are multiples of 8.
            unsafe { Self::word(to.wrapping_add(done).cast(), word) };
            done += 8;
        }
        if done < len {
            let mut word = [0; 8];
            // SAFETY: `len - done` bytes are left to read, and they are fewer than 8.
            unsafe { ptr::copy_nonoverlapping(from.wrapping_add(done), word.as_mut_ptr(), len - done) };
            // SAFETY: `to` can be written up to the next multiple of 8 behind `len`.
            unsafe { Self::word(to.wrapping_add(done).cast(), u64::from_ne_bytes(word)) };
        }
    }

    #[inline]
    fn finish() {
        // SAFETY: every x86-64 has the instruction.
        unsafe { std::arch::x86_64::_mm_sfence() };
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Store for Streamed {
    #[inline]
    unsafe fn word(to: *mut u64, word: u64) {
        // SAFETY: as the caller promises.
        unsafe { Kept::word(to, word) };
    }

    #[inline]
    unsafe fn bytes(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: as the caller promises.
        unsafe { Kept::bytes(from, to, len) };
    }

    #[inline]
    fn finish() {}
}

/// Copies `len` bytes, short ones by a loop of stores that do not overlap but for the last.
///
/// # Safety
/// - `from` can be read and `to` be written for `len` bytes, which do not overlap.
/// - No reference to the bytes at `to` exists.
#[inline]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    if !(16..=SHORT).contains(&len) {
        // SAFETY: as the caller promises.
        return unsafe { ptr::copy_nonoverlapping(from, to, len) };
    }
    let mut done = 0;
    while done + 16 <= len {
        // SAFETY: 16 bytes from `done` on are within `len`.
        unsafe { copy_16(from.wrapping_add(done), to.wrapping_add(done)) };
        done += 16;
    }
    if done < len {
        // SAFETY: `len` is at least 16.
        unsafe { copy_16(from.wrapping_add(len - 16), to.wrapping_add(len - 16)) };
    }
}

/// Copies 16 bytes.
///
/// # Safety
/// As for [`copy`], with 16 for `len`.
#[inline]
unsafe fn copy_16(from: *const u8, to: *mut u8) {
    // SAFETY: as the caller promises.
    let bytes = unsafe { from.cast::<[u64; 2]>().read_unaligned() };
    // SAFETY: as the caller promises.
    unsafe { to.cast::<[u64; 2]>().write_unaligned(bytes) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streamed_bytes_are_those_that_were_given_and_padding_ends_with_the_word() {
        let from: Vec<u8> = (1..=64).collect();
        for len in 0..=64 {
            let mut to = [u64::MAX; 9];
            // SAFETY: 64 bytes and the word behind them are there.
            unsafe { Streamed::bytes(from.as_ptr(), to.as_mut_ptr().cast(), len) };
            Streamed::finish();
            let got: Vec<u8> = to.iter().flat_map(|word| word.to_ne_bytes()).collect();
            assert_eq!(got[..len], from[..len]);
            assert!(got[len.next_multiple_of(8)..].iter().all(|byte| *byte == u8::MAX));
        }
    }
}
