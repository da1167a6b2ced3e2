//! What is left of a message that is read.
//!
//! Reading a field is a few instructions, if they are there where the field is read: what is left then stays in registers
//! for a whole struct. Compilers do not expect so much of calls inside calls, so those on this way are marked to be
//! expanded always, and they do not fail: a field that the message has no bytes for, or wrong ones, reads as some small
//! value, and the rule that was broken is kept until somebody asks. (A message of 33 bytes and six fields, in one process:
//! a typed get took 62 ns when each read could fail, and 45 since then, 13 of them in the channel; of 37 ns on a quieter
//! processor, 29 are left since what is left of a small struct is a copy.)

use super::number::{EIGHT, FOUR, LONGEST, ONE_BYTE, TWO, Whole};
use super::{ENDS_EARLY, NO_TRUTH, TOO_WIDE};

/// The rules that a message broke: one bit for each.
#[derive(Clone, Copy)]
pub(super) struct Rules(u8);

impl Rules {
    const NONE: Self = Self(0);
    const ENDS_EARLY: Self = Self(1);
    const TOO_WIDE: Self = Self(2);
    pub(super) const NO_TRUTH: Self = Self(4);

    #[inline]
    pub(super) const fn are_kept(self) -> bool {
        self.0 == Self::NONE.0
    }

    /// What to say of it. Behind any other fault a message seems to end early, too.
    #[cold]
    pub(super) const fn as_str(self) -> &'static str {
        if self.0 & Self::TOO_WIDE.0 != 0 {
            TOO_WIDE
        } else if self.0 & Self::NO_TRUTH.0 != 0 {
            NO_TRUTH
        } else {
            ENDS_EARLY
        }
    }
}

/// A message, of which some was read.
#[derive(Clone, Copy)]
pub(super) struct Left<'de> {
    rest: &'de [u8],
    broken: Rules,
}

impl<'de> Left<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, broken: Rules::NONE }
    }

    /// How many bytes are left.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.rest.len()
    }

    /// The rules that the message was found to break. What was read since is of no meaning.
    #[inline]
    pub(super) const fn broken(&self) -> Rules {
        self.broken
    }

    /// Keeps that the message breaks `rules`; there is nothing left of it then.
    #[inline(always)]
    pub(super) fn give_up(&mut self, rules: Rules) {
        self.broken.0 |= rules.0;
        self.rest = self.rest.split_at(0).0;
    }

    #[inline]
    pub(super) fn take(&mut self, n: usize) -> Option<&'de [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline(always)]
    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        if let Some((taken, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return *taken;
        }
        self.give_up(Rules::ENDS_EARLY);
        [0; N]
    }

    /// Reads what `read` makes of all that is left; it says how many bytes that took.
    #[inline]
    pub(super) fn part<V, E>(&mut self, read: impl FnOnce(&[u8]) -> Result<(V, usize), E>) -> Result<V, E> {
        let (value, len) = read(self.rest)?;
        self.rest = self.rest.get(len..).unwrap_or_default();
        Ok(value)
    }

    /// Reads a number. Whether the longest would be there is asked once for all lengths.
    #[inline(always)]
    pub(super) fn number<N: Whole>(&mut self) -> N {
        let (wire, len) = match self.rest.first_chunk::<LONGEST>() {
            Some([tag, word @ ..]) if *tag <= N::WIDEST => of_word(*tag, u64::from_le_bytes(*word)),
            _ => careful(self.rest, N::WIDEST),
        };
        match self.rest.get(len..) {
            Some(rest) => self.rest = rest,
            None => self.give_up(Rules(wire.to_le_bytes()[0])),
        }
        N::from_wire(wire)
    }
}

/// The number that begins with `tag`, before `word`, and how many bytes it takes.
#[inline(always)]
fn of_word(tag: u8, word: u64) -> (u64, usize) {
    match tag {
        TWO => (word & 0xffff, 3),
        FOUR => (word & 0xffff_ffff, 5),
        EIGHT => (word, LONGEST),
        _ => (tag.into(), 1),
    }
}

/// The same where the message may end first, or the number may be too wide: the rule that it breaks then, and more bytes
/// than there are.
#[inline(never)]
fn careful(rest: &[u8], widest: u8) -> (u64, usize) {
    let broken = |rules: Rules| (rules.0.into(), usize::MAX);
    let number = match *rest {
        [tag, ..] if u64::from(tag) <= ONE_BYTE => Some((tag.into(), 1)),
        [tag, ..] if tag > widest => return broken(Rules::TOO_WIDE),
        [TWO, ref rest @ ..] => rest.first_chunk().map(|bytes| (u16::from_le_bytes(*bytes).into(), 3)),
        [FOUR, ref rest @ ..] => rest.first_chunk().map(|bytes| (u32::from_le_bytes(*bytes).into(), 5)),
        [_, ref rest @ ..] => rest.first_chunk().map(|bytes| (u64::from_le_bytes(*bytes), LONGEST)),
        [] => None,
    };
    number.unwrap_or(broken(Rules::ENDS_EARLY))
}
