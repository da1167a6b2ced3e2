//! Moving a message to another queue, so that it ends up in exactly one of the two whoever dies.
//!
//! The mover marks its entry, puts the message into the other queue, and then ends the entry. The other queue keeps,
//! under its own lock, a note of which message it is being given; the note is taken away before the lock is free again.
//! So a note that is still there when somebody else has the lock is that of a mover that died, and with the other
//! queue's count it says whether the message arrived. Entries of dead movers are nobody's until that has been asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Store;
use super::entry::{Kind, State};
use super::layout::Entry;
use super::settle::NotYours;
use crate::DeliveryTag;
use crate::os::refusal::Damage;

/// Whether a message can be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movable {
    /// It is being moved: its bytes are in the buffer.
    Begun,
    /// The buffer must hold this many bytes first.
    TooSmall(usize),
}

impl Store<'_> {
    /// Begins to move the message of `tag`, which this process holds: its bytes replace what is in `message`, and no
    /// lease ends it any more.
    ///
    /// # Errors
    /// When this process does not hold it.
    pub fn begin_move(&self, tag: &DeliveryTag, message: &mut Vec<u8>) -> Result<Movable, NotYours> {
        let (_, entry) = self.find_held(tag)?;
        let len = entry.len.load(Ordering::Relaxed) as usize;
        message.clear();
        if message.capacity() < len && self.can_have(len) {
            return Ok(Movable::TooSmall(len));
        }
        if self.recall(entry, message) == Err(Damage) {
            return Err(NotYours::Expired);
        }
        entry.until.store(0, Ordering::Relaxed);
        entry.set(State { kind: Kind::Moving, ..entry.state() });
        Ok(Movable::Begun)
    }

    /// Ends the move of `tag`: the message has left for good.
    ///
    /// # Errors
    /// When this process did not begin one.
    pub fn end_move(&self, tag: &DeliveryTag) -> Result<(), NotYours> {
        let (index, entry) = self.find_held(tag)?;
        self.leave_for_good(index, entry);
        Ok(())
    }

    /// Takes back that the message of `tag` is being moved: it was not, and is held as if it had just been handed out.
    ///
    /// # Errors
    /// When this process did not begin one.
    pub fn cancel_move(&self, tag: &DeliveryTag, lease: Option<Duration>) -> Result<(), NotYours> {
        let (_, entry) = self.find_held(tag)?;
        self.begin_lease(entry, lease);
        entry.set(State { kind: Kind::Held, ..entry.state() });
        Ok(())
    }

    /// Takes note that message `number` in the entry `place` has arrived, whose mover died. Needs no lock but that of
    /// the queue where it arrived.
    pub fn mark_moved(&self, place: u32, number: u64) {
        let entry = self.entry(place);
        let state = entry.state();
        if state.kind == Kind::Moving && entry.number() == number {
            let moved = State { kind: Kind::Moved, ..state };
            // If it is another state by now, somebody has found out by himself.
            let _ =
                entry.state.compare_exchange(state.pack(), moved.pack(), Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// Whether there may be entries of dead movers. Needs no lock.
    #[must_use]
    pub fn has_orphaned_moves(&self) -> bool {
        self.books().moves.load(Ordering::Relaxed) > 0
    }

    /// Settles the entries of dead movers; `has_arrived` says of a place and a number whether that message arrived, if
    /// that can be told yet. Returns whether all are settled.
    pub fn settle_moves(&self, has_arrived: impl Fn(u32, u64) -> Option<bool>) -> bool {
        let mut left = 0;
        for index in 0..self.entries() {
            let entry = self.entry(index);
            let state = entry.state();
            if state.is_held() && state.is_nobodys() {
                match has_arrived(index, entry.number()) {
                    Some(has_arrived) => self.settle_move(index, entry, has_arrived),
                    None => left += 1,
                }
            }
        }
        self.books().moves.store(left, Ordering::Relaxed);
        left == 0
    }

    fn settle_move(&self, index: u32, entry: &Entry, has_arrived: bool) {
        let state = entry.state();
        let back = State { kind: Kind::Ready, holder: 0, redeliveries: state.redeliveries.saturating_add(1) };
        let is_back = !has_arrived
            && state.kind == Kind::Moving
            && entry
                .state
                .compare_exchange(state.pack(), back.pack(), Ordering::SeqCst, Ordering::Relaxed)
                .is_ok();
        if is_back {
            self.heap_push(index);
            self.count(0, 1);
        } else {
            self.leave_for_good(index, entry);
        }
    }

    /// The mover of `entry` has died: it is nobody's until it is [settled](Self::settle_moves).
    pub(super) fn orphan_move(&self, entry: &Entry) {
        let state = entry.state();
        let orphan = State { holder: State::NOBODY, ..state };
        // It may become a moved one meanwhile, and is found again then.
        let changed =
            entry.state.compare_exchange(state.pack(), orphan.pack(), Ordering::SeqCst, Ordering::Relaxed);
        if changed.is_ok() {
            self.uncount(state);
            self.books().moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes back that a message was counted as handed out again, which was moved instead.
    pub fn uncount_redelivery(&self) {
        self.books().redelivered.fetch_sub(1, Ordering::Relaxed);
    }
}
