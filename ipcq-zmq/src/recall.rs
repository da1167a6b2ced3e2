//! What becomes of messages that were sent to a getter and not acknowledged.
//!
//! They go back to the head of the queue when their getter dies, or is stopped while others wait for a message. But not
//! when messages behind them have left by then: they would come out of order. What a dead getter keeps so is lost with
//! it, as the contract allows for what it had taken. What a stopped one keeps is its own, and it has it when it goes on.

use crate::broker::{Broker, ProcessId, Slot};
use crate::session::InFlight;

/// How long a getter has to acknowledge before it is looked at, in nanoseconds. One that acknowledges sooner knows that
/// what it got is its own; one that is later has to ask.
pub(crate) const GRACE: u64 = 25_000_000;

impl Broker {
    /// Puts `taken` back at the head, as far as there is room.
    pub(crate) fn give_back(&mut self, taken: InFlight) {
        let returned = self.store.give_back(taken.messages, self.room());
        self.gets -= returned as u64;
    }

    /// How many messages more the queue takes.
    pub(crate) const fn room(&self) -> usize {
        self.settings.capacity.saturating_sub(self.store.len())
    }

    /// Whether no message has left behind `taken`, so that it can go back to its place.
    pub(crate) const fn is_last(&self, taken: &InFlight) -> bool {
        taken.left == self.gets
    }

    /// Sees to it that [`overdue`](Self::overdue) looks, where somebody waits while messages are on their way.
    pub(crate) fn watch_getters(&mut self) {
        if self.recall_at.is_none() && !self.getters.is_empty() && self.moving > 0 {
            self.recall_at = Some(self.now.saturating_add(GRACE));
        }
    }

    /// The session that has had its time to acknowledge messages which others wait for, and could have.
    pub(crate) fn overdue(&mut self) -> Option<(Slot, ProcessId)> {
        self.recall_at.take_if(|at| *at <= self.now)?;
        if self.getters.is_empty() {
            return None;
        }
        // All of it has to go back: a part would be lost, and its getter lives.
        let returns = |taken: &InFlight| self.is_last(taken) && taken.messages.count() <= self.room();
        let found = self.sessions.iter().find(|(_, session)| session.taken.as_ref().is_some_and(returns));
        let (slot, session) = found.map(|(slot, session)| (*slot, session))?;
        let (process, due) = (session.process, session.taken.as_ref().map_or(0, |taken| taken.recall_from));
        let is_due = due <= self.now;
        self.recall_at = Some(if is_due { self.now.saturating_add(GRACE) } else { due });
        is_due.then_some((slot, process))
    }

    /// Calls back what a session was sent and has not acknowledged; returns whether there was something. Its connection
    /// has ended, and all that came over it has been read. Those who wait are to be served when everything that can
    /// has come back.
    pub(crate) fn recall(&mut self, slot: Slot) -> bool {
        let Some(session) = self.sessions.get_mut(&slot) else { return false };
        let Some(taken) = session.taken.take() else { return false };
        // It is to be asked for anew.
        session.last = None;
        self.moving -= taken.bytes();
        self.give_back(taken);
        self.recall_at = Some(self.now);
        true
    }
}
