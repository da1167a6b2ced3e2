//! What is in the messages that are measured, and how each that arrives is checked.

use std::convert::Infallible;

use ipcq_core::Batch;

/// What does not change from message to message, so that filling a message costs little.
const FILLER: u8 = 0xA5;
/// Up to this length all of a message is checked; of a longer one the ends and a window that moves.
const CHECKED_WHOLE: usize = 256;
const WINDOW: usize = 64;
/// The number of a message is in its first 8 bytes, and the check of it in its last 8.
const WORD: usize = 8;
/// How many bits of a message's number count the messages of one producer.
const SEQUENCE_BITS: u32 = 48;

/// Makes the messages of one producer, each with a number of its own.
#[derive(Debug)]
pub struct Maker {
    message: Vec<u8>,
    next: u64,
    sum: u64,
}

impl Maker {
    /// Those of producer number `producer`, of `size` bytes each.
    #[must_use]
    pub fn new(producer: u32, size: usize) -> Self {
        Self { message: vec![FILLER; size], next: u64::from(producer) << SEQUENCE_BITS, sum: 0 }
    }

    /// The next message.
    #[inline]
    pub fn make(&mut self) -> &[u8] {
        let number = self.count();
        self.sum = self.sum.wrapping_add(stamp(&mut self.message, number));
        &self.message
    }

    /// Appends the next message to `batch`.
    #[inline]
    pub fn append(&mut self, batch: &mut Batch) {
        let number = self.count();
        let appended = batch.push_with(|buffer| {
            let start = buffer.len();
            buffer.extend_from_slice(&self.message);
            // Written where the message is: copying what was just written in other portions makes the processor wait.
            self.sum = self.sum.wrapping_add(stamp(&mut buffer[start..], number));
            Ok::<_, Infallible>(())
        });
        let Ok(()) = appended;
    }

    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// What the numbers of all messages so far come to.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

/// Checks the messages that one consumer gets.
#[derive(Debug)]
pub struct Checker {
    size: usize,
    /// The least number that the next message of each producer can have.
    next: Vec<u64>,
    sum: u64,
}

impl Checker {
    /// For messages of `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size, next: Vec::new(), sum: 0 }
    }

    /// Whether `message` is one that a [`Maker`] made and that may come now.
    #[inline]
    pub fn check(&mut self, message: &[u8]) -> bool {
        if message.len() != self.size {
            return false;
        }
        let number = number_in(message);
        let mixed = mix(number);
        self.sum = self.sum.wrapping_add(mixed);
        // A shorter message has no room for all of its number.
        self.size < WORD || (self.is_in_order(number) && Self::is_whole(mixed, message))
    }

    fn is_in_order(&mut self, number: u64) -> bool {
        let Ok(producer) = usize::try_from(number >> SEQUENCE_BITS) else { return false };
        if producer >= self.next.len() {
            self.next.resize(producer + 1, 0);
        }
        let in_order = number >= self.next[producer];
        self.next[producer] = number + 1;
        in_order
    }

    #[inline]
    fn is_whole(mixed: u64, message: &[u8]) -> bool {
        let Some((body, tail)) = message[WORD..].split_last_chunk::<WORD>() else {
            return is_filler(&message[WORD..]);
        };
        let checked = if body.len() <= CHECKED_WHOLE { body } else { window(body, mixed) };
        *tail == mixed.to_le_bytes() && is_filler(checked)
    }

    /// What the numbers of all messages so far come to.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

/// Whether `bytes` are what makers fill messages with; looks at all of them, which is quicker than to stop early.
#[inline]
fn is_filler(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let differing = words
        .iter()
        .fold(0, |all, word| all | u64::from_ne_bytes(*word) ^ u64::from_ne_bytes([FILLER; WORD]));
    rest.iter().fold(differing, |all, byte| all | u64::from(byte ^ FILLER)) == 0
}

/// A part of a long message, elsewhere in each.
fn window(body: &[u8], mixed: u64) -> &[u8] {
    let places = u64::try_from(body.len() - WINDOW).unwrap_or(1);
    let from = usize::try_from(mixed % places).unwrap_or(0);
    &body[from..from + WINDOW]
}

/// Writes number and check into `message`, and returns what that adds to the sum.
#[inline]
fn stamp(message: &mut [u8], number: u64) -> u64 {
    let mixed = mix(number);
    let Some(head) = message.first_chunk_mut::<WORD>() else {
        let size = message.len();
        message.copy_from_slice(&number.to_le_bytes()[..size]);
        return mix(number_in(message));
    };
    *head = number.to_le_bytes();
    if message.len() >= 2 * WORD
        && let Some(tail) = message.last_chunk_mut::<WORD>()
    {
        *tail = mixed.to_le_bytes();
    }
    mixed
}

fn number_in(message: &[u8]) -> u64 {
    if let Some(number) = message.first_chunk::<WORD>() {
        return u64::from_le_bytes(*number);
    }
    let mut number = [0; WORD];
    number[..message.len()].copy_from_slice(message);
    u64::from_le_bytes(number)
}

/// Spreads a number over all bits, so that sums of different numbers differ.
const fn mix(number: u64) -> u64 {
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    spread ^ (spread >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_passes_at_every_size() {
        for size in [0, 1, 7, 8, 9, 15, 16, 64, 255, 272, 273, 1000, 65536] {
            let (mut maker, mut checker) = (Maker::new(3, size), Checker::new(size));
            for _ in 0..100 {
                assert!(checker.check(maker.make()), "{size}");
            }
            assert_eq!(maker.sum(), checker.sum(), "{size}");
        }
    }

    #[test]
    fn what_is_torn_repeated_or_too_short_does_not() {
        let (mut maker, mut checker) = (Maker::new(0, 64), Checker::new(64));
        let first = maker.make().to_vec();
        assert!(checker.check(&first));
        assert!(!checker.check(&first), "the same message twice");
        assert!(!checker.check(&first[..63]), "a message without its last byte");
        for place in 0..64 {
            let mut torn = maker.make().to_vec();
            torn[place] ^= 1;
            let alone = Checker::new(64).check(&torn);
            assert!(!alone, "a changed byte at {place}");
        }
    }

    #[test]
    fn a_lost_message_changes_the_sum() {
        for size in [1, 64] {
            let (mut maker, mut checker) = (Maker::new(0, size), Checker::new(size));
            maker.make();
            for _ in 0..10 {
                checker.check(maker.make());
            }
            maker.make();
            assert_ne!(maker.sum(), checker.sum());
        }
    }
}
