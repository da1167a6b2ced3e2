//! What is known of one piece of memory that can be lent.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::position::Position;

/// What a piece is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is none.
    Unused,
    /// Nothing: it can be lent.
    Free,
    /// A process builds a message in it.
    Lent,
    /// A message of the queue lies in it.
    Queued,
    /// A process that got the message has it.
    Held,
}

/// All that changes in the life of a piece, in one word, so that each change is one store.
///
/// ```text
/// 63 .. 61   60 ..... 41   40 .... 30          29 ........ 0
/// kind       generation    slot of who has it  message number
/// ```
///
/// The generation changes whenever it is lent: who changes a state that is its own by compare-and-swap cannot mistake a
/// later one for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u64);

const KIND_SHIFT: u32 = 61;
const GENERATION_SHIFT: u32 = 41;
const HOLDER_SHIFT: u32 = 30;
const GENERATION_MASK: u64 = (1 << (KIND_SHIFT - GENERATION_SHIFT)) - 1;
const HOLDER_MASK: u64 = (1 << (GENERATION_SHIFT - HOLDER_SHIFT)) - 1;

impl State {
    const fn new(kind: Kind, generation: u32, holder: usize, number: u32) -> Self {
        let generation = (generation as u64 & GENERATION_MASK) << GENERATION_SHIFT;
        let holder = (holder as u64 & HOLDER_MASK) << HOLDER_SHIFT;
        Self((kind as u64) << KIND_SHIFT | generation | holder | (number & Position::COUNT) as u64)
    }

    /// What is no kind passes for none.
    pub(crate) const fn kind(self) -> Kind {
        match self.0 >> KIND_SHIFT {
            1 => Kind::Free,
            2 => Kind::Lent,
            3 => Kind::Queued,
            4 => Kind::Held,
            _ => Kind::Unused,
        }
    }

    pub(crate) const fn generation(self) -> u32 {
        ((self.0 >> GENERATION_SHIFT) & GENERATION_MASK) as u32
    }

    /// The slot of who has it, where somebody does.
    pub(crate) const fn holder(self) -> usize {
        ((self.0 >> HOLDER_SHIFT) & HOLDER_MASK) as usize
    }

    /// The number of the message in it, modulo 2^30, where there is one.
    #[expect(clippy::cast_possible_truncation, reason = "30 bits")]
    pub(crate) const fn number(self) -> u32 {
        self.0 as u32 & Position::COUNT
    }

    pub(crate) const fn unused(self) -> Self {
        Self::new(Kind::Unused, self.generation(), 0, 0)
    }

    pub(crate) const fn free(self) -> Self {
        Self::new(Kind::Free, self.generation(), 0, 0)
    }

    pub(crate) const fn lent_to(self, holder: usize) -> Self {
        Self::new(Kind::Lent, self.generation().wrapping_add(1), holder, 0)
    }

    pub(crate) const fn queued_as(self, number: u32) -> Self {
        Self::new(Kind::Queued, self.generation(), self.holder(), number)
    }

    pub(crate) const fn held_by(self, holder: usize) -> Self {
        Self::new(Kind::Held, self.generation(), holder, self.number())
    }
}

/// A piece of memory.
///
/// | word | stored by, ordering | loaded by, ordering | what the pair makes visible |
/// |------|---------------------|---------------------|-----------------------------|
/// | state | who has it, by store; anyone from a state that is over, by `AcqRel` CAS | anyone, `Acquire` | L1: where it is; and who lends it again, that the last one is done with its bytes |
/// | freed at | who frees it, `Relaxed`, before it is free | anyone, `Relaxed` | nothing: a hint |
/// | others | who has the putters' lock, `Relaxed`, while it is unused | anyone, `Relaxed` | nothing |
#[repr(C, align(32))]
#[derive(Debug)]
pub(crate) struct Entry {
    state: AtomicU64,
    /// Its first chunk, and how many it has.
    first: AtomicU32,
    chunks: AtomicU32,
    /// When it became free last, in milliseconds modulo 2^32.
    freed_at: AtomicU32,
}

/// Free memory that was not used for so long, in milliseconds, is given back.
const IDLE: u32 = 200;

impl Entry {
    pub(crate) fn state(&self) -> State {
        State(self.state.load(Ordering::Acquire)) // L1
    }

    pub(crate) fn set(&self, state: State) {
        self.state.store(state.0, Ordering::Release); // L1
    }

    /// Changes the state if it is `from`; returns whether it was.
    pub(crate) fn change(&self, from: State, to: State) -> bool {
        self.state.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() // L1
    }

    /// Notes that it is free from `now` on.
    pub(crate) fn note_freed(&self, now: u32) {
        self.freed_at.store(now, Ordering::Relaxed);
    }

    /// Whether it is free, and was not in use for a while at `now`.
    pub(crate) fn is_idle(&self, now: u32) -> bool {
        self.state().kind() == Kind::Free && now.wrapping_sub(self.freed_at.load(Ordering::Relaxed)) >= IDLE
    }

    /// Its first chunk, and how many it has: anything, where a hostile peer wrote there.
    pub(crate) fn extent(&self) -> (u32, u32) {
        (self.first.load(Ordering::Relaxed), self.chunks.load(Ordering::Relaxed))
    }

    pub(crate) fn set_extent(&self, first: u32, chunks: u32) {
        self.first.store(first, Ordering::Relaxed);
        self.chunks.store(chunks, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_parts_apart() {
        let state = State::new(Kind::Free, 0xf_ffff, 0, 0);
        let lent = state.lent_to(1023);
        assert_eq!((lent.kind(), lent.generation(), lent.holder(), lent.number()), (Kind::Lent, 0, 1023, 0));
        let queued = lent.lent_to(1023).queued_as(u32::MAX);
        assert_eq!((queued.kind(), queued.generation()), (Kind::Queued, 1));
        assert_eq!((queued.holder(), queued.number()), (1023, Position::COUNT));
        let held = queued.held_by(2);
        assert_eq!((held.kind(), held.holder(), held.number()), (Kind::Held, 2, Position::COUNT));
        assert_eq!((held.free().kind(), held.free().generation()), (Kind::Free, 1));
        assert_eq!(State(u64::MAX).kind(), Kind::Unused);
    }
}
