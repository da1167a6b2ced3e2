//! How many messages left for good, and how many came back: two counts in one word, so that they change at one instant.
//!
//! ```text
//! 63 .......... 34   33 ..... 13   12 .... 0
//! left mod 2^30      ready         version
//! ```
//!
//! What is in flight needs no count of its own: it is what the backend's head has passed, less what left and what is
//! ready. So handing out a message is the one store of the head, and all else is one store here.

const LEFT_SHIFT: u32 = 34;
const READY_SHIFT: u32 = 13;
const READY_MASK: u64 = (1 << (LEFT_SHIFT - READY_SHIFT)) - 1;
const VERSION_MASK: u64 = (1 << READY_SHIFT) - 1;
/// Counts of messages are modulo 2^30.
const COUNT_MASK: u64 = Ledger::COUNT as u64;

/// The packed counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger(pub(super) u64);

impl Ledger {
    /// The bits of a count of messages.
    pub const COUNT: u32 = (1 << 30) - 1;

    pub(super) const fn new(left: u64, ready: u32, version: u64) -> Self {
        Self(((left & COUNT_MASK) << LEFT_SHIFT) | ((ready as u64) << READY_SHIFT) | (version & VERSION_MASK))
    }

    /// How many messages left for good, modulo 2^30.
    #[must_use]
    pub const fn left(self) -> u32 {
        (self.0 >> LEFT_SHIFT) as u32
    }

    /// How many messages came back and are ready.
    #[must_use]
    pub const fn ready(self) -> u32 {
        ((self.0 >> READY_SHIFT) & READY_MASK) as u32
    }

    /// How many are in flight when the backend has handed out `taken` for the first time, modulo 2^30.
    #[must_use]
    pub fn in_flight(self, taken: u32) -> u32 {
        self.unsettled(taken).saturating_sub(self.ready())
    }

    /// How many are in flight or ready then.
    #[must_use]
    pub fn unsettled(self, taken: u32) -> u32 {
        taken.wrapping_sub(self.left()) & Self::COUNT
    }

    /// The next state, with as many more that left, and `ready` in place of the ready ones. The version tells it from
    /// an earlier state with the same counts.
    pub(super) fn next(self, left: u32, ready: u32) -> Self {
        Self::new(u64::from(self.left()) + u64::from(left), ready, self.0.wrapping_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_wrap_and_do_not_spill() {
        let ledger = Ledger::new((1 << 30) - 1, 7, VERSION_MASK);
        assert_eq!((ledger.left(), ledger.ready()), ((1 << 30) - 1, 7));
        let next = ledger.next(1, 6);
        assert_eq!((next.left(), next.ready()), (0, 6));
        assert_eq!((next.unsettled(10), next.in_flight(10)), (10, 4));
        assert_ne!(next, Ledger::new(0, 6, VERSION_MASK));
    }
}
