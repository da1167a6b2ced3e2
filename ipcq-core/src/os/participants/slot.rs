//! What a queue's memory holds of one participant.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::Side;

/// A process has the slot (or had, and was killed).
const TAKEN: u32 = 1 << 31;
/// It is a producer.
const PRODUCER: u32 = 1 << 30;
/// How often the slot was registered as a producer, by any process, modulo 2^30, never 0 after the first. Part of
/// the same word, so that a registration and its trace appear at one instant.
const REGISTRATIONS: u32 = PRODUCER - 1;

/// One participant of a queue, in the memory that the participants share: 16 bytes, zero when unused.
///
/// Its fields mean something only while a process holds the slot's lock, and are believed of nobody: a peer may
/// write anything here at any time. The worst that this does is a wrong number in a listing, or a queue that closes
/// too early or too late, which such a peer can have more simply.
///
/// | word | stored by, ordering | loaded by, ordering | what the pair makes visible |
/// |------|---------------------|---------------------|------------------------------|
/// | `state` | the holder, `AcqRel` | anyone, `Acquire` | who sees the producer bit finds the lock held, unless the holder has ended since |
/// | others | the holder, `Relaxed` | anyone, `Relaxed` | nothing: for people to read |
#[derive(Debug, Default)]
#[repr(C)]
pub struct Slot {
    state: AtomicU32,
    owner: AtomicU32,
    waiting_put: AtomicU32,
    waiting_get: AtomicU32,
}

const _: () = assert!(size_of::<Slot>() == 16 && align_of::<Slot>() == 4);

impl Slot {
    /// An unused slot, as zeroed memory holds.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(0),
            owner: AtomicU32::new(0),
            waiting_put: AtomicU32::new(0),
            waiting_get: AtomicU32::new(0),
        }
    }

    /// The number of the process that took the slot last, in its own process namespace: for people to read.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner.load(Ordering::Relaxed)
    }

    pub(super) fn is_taken(&self) -> bool {
        self.state.load(Ordering::Acquire) & TAKEN != 0
    }

    /// Whether the producer bit is set, and the number of registrations so far.
    pub(super) fn producer(&self) -> (bool, u32) {
        let state = self.state.load(Ordering::Acquire);
        (state & PRODUCER != 0, state & REGISTRATIONS)
    }

    /// How many calls wait to put, and to get.
    pub(super) fn waiting(&self) -> (u32, u32) {
        (self.waiting_put.load(Ordering::Relaxed), self.waiting_get.load(Ordering::Relaxed))
    }

    pub(super) const fn counter(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Put => &self.waiting_put,
            Side::Get => &self.waiting_get,
        }
    }

    /// Makes the slot that of process `owner`, which holds its lock; whatever a dead owner left is cleared, the
    /// producer bit first.
    pub(super) fn claim(&self, owner: u32) {
        self.state.fetch_and(REGISTRATIONS, Ordering::AcqRel);
        self.clear_waiting();
        self.owner.store(owner, Ordering::Relaxed);
        self.state.fetch_or(TAKEN, Ordering::AcqRel);
    }

    /// Forgets the owner, which still holds the lock.
    pub(super) fn release(&self) {
        self.state.fetch_and(REGISTRATIONS, Ordering::AcqRel);
        self.clear_waiting();
        self.owner.store(0, Ordering::Relaxed);
    }

    pub(super) fn clear_waiting(&self) {
        self.waiting_put.store(0, Ordering::Relaxed);
        self.waiting_get.store(0, Ordering::Relaxed);
    }

    pub(super) fn set_producer(&self) {
        let registered = |state: u32| {
            let next = (state & REGISTRATIONS) + 1;
            let next = if next > REGISTRATIONS { 1 } else { next };
            Some(TAKEN | PRODUCER | next)
        };
        // The closure always gives a value, so there is no failure to look at.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, registered);
    }

    pub(super) fn clear_producer(&self) {
        self.state.fetch_and(!PRODUCER, Ordering::AcqRel);
    }
}

/// One call of this process that waits; counted in the process's slot until this is dropped.
#[derive(Debug)]
#[must_use = "the call is counted only as long as this lives"]
pub struct Waiting<'a> {
    count: &'a AtomicU32,
}

impl<'a> Waiting<'a> {
    pub(super) fn on(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Not below zero, whatever a peer wrote meanwhile.
        let _ = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_are_counted_and_never_return_to_zero() {
        let slot = Slot::new();
        assert_eq!(slot.producer(), (false, 0));
        slot.set_producer();
        slot.clear_producer();
        assert_eq!(slot.producer(), (false, 1));
        slot.state.store(REGISTRATIONS, Ordering::Relaxed);
        slot.set_producer();
        assert_eq!(slot.producer(), (true, 1));
    }

    #[test]
    fn a_claimed_slot_has_nothing_of_its_last_owner_but_the_registrations() {
        let slot = Slot::new();
        slot.claim(7);
        slot.set_producer();
        slot.waiting_put.store(3, Ordering::Relaxed);
        slot.claim(8);
        assert!(slot.is_taken());
        assert_eq!((slot.owner(), slot.producer(), slot.waiting()), (8, (false, 1), (0, 0)));
        slot.release();
        assert!(!slot.is_taken());
    }

    #[test]
    fn a_count_does_not_fall_below_zero() {
        let slot = Slot::new();
        let waiting = Waiting::on(&slot.waiting_get);
        slot.waiting_get.store(0, Ordering::Relaxed);
        drop(waiting);
        assert_eq!(slot.waiting(), (0, 0));
    }
}
