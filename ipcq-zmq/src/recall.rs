//! What becomes of messages that were sent to a getter and not acknowledged.
//!
//! They go back to the head of the queue when their getter dies, or is stopped while others wait for a message. But not
//! when messages behind them have left by then: they would come out of order. What a dead getter keeps so is lost with
//! it, as the contract allows for what it had taken. What a stopped one keeps is its own, and it has it when it goes on.

use crate::broker::{Broker, ProcessId, Slot};
use crate::deliveries::Letter;
use crate::session::{InFlight, Session};

/// How long a getter has to acknowledge before it is looked at, in nanoseconds. One that acknowledges sooner knows that
/// what it got is its own; one that is later has to ask.
pub(crate) const GRACE: u64 = 25_000_000;

impl Broker {
    /// Puts `taken` back at the head, or in its own place where it has one, as far as there is `room`. It is counted as
    /// `times` that it came back.
    pub(crate) fn give_back(&mut self, taken: InFlight, times: u32, room: usize) {
        match taken.origin {
            None => self.gets -= self.store.give_back(taken.messages, room) as u64,
            Some((number, redeliveries)) if room > 0 => {
                self.gets -= 1;
                let letter = Letter { message: taken.messages, redeliveries };
                self.undeliver(number, letter, times);
            }
            Some(_) => {}
        }
    }

    /// How many messages more the queue takes.
    pub(crate) fn room(&self) -> usize {
        self.settings.capacity.saturating_sub(self.ready() + self.deliveries.in_flight())
    }

    /// Whether `taken` can go back to its place: no message has left behind it, or it has a place of its own.
    pub(crate) const fn is_last(&self, taken: &InFlight) -> bool {
        taken.origin.is_some() || taken.left == self.gets
    }

    /// Sees to it that [`overdue`](Self::overdue) looks, where somebody waits while messages are on their way.
    pub(crate) fn watch_getters(&mut self) {
        if self.recall_at.is_none() && !self.getters.is_empty() && self.moving + self.deliveries.unread > 0 {
            self.recall_at = Some(self.now.saturating_add(GRACE));
        }
    }

    /// The sessions that have had their time to acknowledge messages which others wait for, and could have.
    pub(crate) fn overdue(&mut self) -> Vec<(Slot, ProcessId)> {
        if self.recall_at.take_if(|at| *at <= self.now).is_none() || self.getters.is_empty() {
            return Vec::new();
        }
        let due_of = |session: &Session| match (&session.taken, &session.sent) {
            (Some(taken), _) if self.returns(taken) => Some(taken.recall_from),
            (_, Some(sent)) => Some(sent.recall_from),
            _ => None,
        };
        let mut overdue = Vec::new();
        let mut next = None;
        for (slot, session) in &self.sessions {
            let Some(due) = due_of(session) else { continue };
            let is_due = due <= self.now;
            let look_at = if is_due { self.now.saturating_add(GRACE) } else { due };
            next = Some(next.map_or(look_at, |next: u64| next.min(look_at)));
            overdue.extend(is_due.then_some((*slot, session.process)));
        }
        self.recall_at = next;
        overdue
    }

    /// Whether what a session was sent is its own once it has read it.
    pub(crate) fn takes_by_reading(&self, slot: Slot) -> bool {
        self.sessions.get(&slot).is_some_and(Session::takes_by_reading)
    }

    /// A session has read all that it was sent.
    pub(crate) fn has_read(&mut self, slot: Slot) {
        let session = self.sessions.get(&slot).filter(|session| session.takes_by_reading());
        if let Some(id) = session.and_then(|session| session.taken.as_ref()).map(|taken| taken.id) {
            self.note_arrival(slot, id);
        }
    }

    /// Whether all of `taken` can go back: a part would be lost, and its getter lives.
    fn returns(&self, taken: &InFlight) -> bool {
        self.is_last(taken) && taken.messages.count() <= self.room()
    }

    /// Calls back what a session was sent and has not acknowledged; returns whether there was something. Its connection
    /// has ended, and all that came over it has been read. Those who wait are to be served when everything that can
    /// has come back.
    pub(crate) fn recall(&mut self, slot: Slot) -> bool {
        // Another one that was called back may have taken the room.
        let taken = self.sessions.get(&slot).and_then(|session| session.taken.as_ref());
        if taken.is_some_and(|taken| !self.returns(taken)) {
            return false;
        }
        let Some(session) = self.sessions.get_mut(&slot) else { return false };
        let Some(taken) = session.taken.take() else {
            let recalled = self.recall_delivery(slot);
            if recalled {
                self.forget_last(slot);
            }
            return recalled;
        };
        self.moving -= taken.messages.bytes();
        self.give_back(taken, 0, self.room());
        self.forget_last(slot);
        true
    }

    /// What a session was answered is to be asked for anew, and others may be called back by now.
    fn forget_last(&mut self, slot: Slot) {
        if let Some(session) = self.sessions.get_mut(&slot) {
            session.last = None;
        }
        self.recall_at = Some(self.now);
    }
}
