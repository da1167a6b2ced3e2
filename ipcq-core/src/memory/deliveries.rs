//! Acknowledged delivery: what is handed out lies beside the messages until it is acknowledged, or goes back among them.
//!
//! The process is the only holder there can be, and ends with the queue: so only a lease takes a delivery away.

use std::sync::Arc;
use std::time::Instant;

use super::lock;
use super::state::{Message, Shared, State};
use crate::deadline::Wait;
use crate::delivery::DeliveryTag;
use crate::error::{BackendError, BackendErrorKind, DeliveryFault, GetFault, JoinFault};

/// A message in flight.
pub(super) struct Held {
    redeliveries: u32,
    bytes: Vec<u8>,
    /// When its lease runs out.
    until: Option<Instant>,
}

impl Shared {
    pub(super) fn get_delivery(&self, into: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
        self.check_acknowledged()?;
        let mut state = self.ready(wait)?;
        while self.bury_front(&mut state) {
            drop(state);
            state = self.ready(wait)?;
        }
        let Some(front) = state.messages.front() else { return Err(GetFault::Closed) };
        into.clear();
        into.try_reserve(front.bytes.len()).map_err(|error| self.no_room(error))?;
        let Some(message) = state.messages.pop_front() else { return Err(GetFault::Closed) };
        into.extend_from_slice(&message.bytes);
        self.count_redelivery(&mut state, &message);
        let Message { number, redeliveries, bytes } = message;
        let until = self.identity().lease.and_then(|lease| Instant::now().checked_add(lease));
        state.held.insert(number, Held { redeliveries, bytes, until });
        Ok(DeliveryTag::new(number, redeliveries))
    }

    pub(super) fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        let mut state = self.existing()?;
        let held = self.take_held(&mut state, tag)?;
        self.settle(&mut state, held.bytes.len());
        Ok(())
    }

    pub(super) fn give_back(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        let mut state = self.existing()?;
        let held = self.take_held(&mut state, tag)?;
        self.put_back(&mut state, tag.number, held);
        Ok(())
    }

    pub(super) fn in_flight(&self) -> Result<usize, BackendError> {
        let mut state = self.existing()?;
        self.end_leases(&mut state);
        Ok(state.held.len())
    }

    pub(super) fn is_full(&self) -> Result<bool, BackendError> {
        Ok(self.existing()?.occupied() >= self.identity().capacity)
    }

    pub(super) fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        self.check_acknowledged()?;
        let state = self.existing()?;
        let end = state.puts;
        let is_before = |number: Option<&u64>| number.is_some_and(|number| *number < end);
        let is_done = |state: &State| {
            !is_before(state.held.keys().next())
                && !is_before(state.messages.front().map(|message| &message.number))
        };
        let done = self.sleep_until(&self.settled, state, wait, |state| &mut state.joiners, is_done);
        if done.is_some() {
            drop(done);
            return Ok(self.existing().map(drop)?);
        }
        Err(if wait == Wait::No { JoinFault::Unfinished } else { JoinFault::Timeout })
    }

    /// Puts back what was kept for too long; returns when the next lease runs out.
    pub(super) fn end_leases(&self, state: &mut State) -> Option<Instant> {
        self.identity().lease?;
        let now = Instant::now();
        let is_over = |held: &Held| held.until.is_some_and(|until| until <= now);
        let over = state.held.iter().filter(|(_, held)| is_over(held)).map(|(number, _)| *number);
        for number in over.collect::<Vec<_>>() {
            if let Some(held) = state.held.remove(&number) {
                self.put_back(state, number, held);
            }
        }
        state.held.values().filter_map(|held| held.until).min()
    }

    /// Counts that `message`, which had come back, is handed out again.
    pub(super) fn count_redelivery(&self, state: &mut State, message: &Message) {
        state.redelivered += u64::from(message.redeliveries > 0);
    }

    /// A message of `len` bytes has left for good.
    pub(super) fn settle(&self, state: &mut State, len: usize) {
        state.forget(len);
        self.room.notify_one();
        if state.joiners.now > 0 {
            self.settled.notify_all();
        }
        if state.closed && state.occupied() == 0 {
            self.arrival.notify_all();
        }
    }

    /// Takes what `tag` stands for out of flight.
    fn take_held(&self, state: &mut State, tag: &DeliveryTag) -> Result<Held, DeliveryFault> {
        self.end_leases(state);
        let held = state.held.remove(&tag.number);
        match held {
            Some(held) if held.redeliveries == tag.redeliveries => Ok(held),
            Some(held) => {
                state.held.insert(tag.number, held);
                Err(DeliveryFault::Expired)
            }
            None => Err(DeliveryFault::Expired),
        }
    }

    /// Puts a message back to its place, or where it has come back too often, among the dead letters.
    fn put_back(&self, state: &mut State, number: u64, held: Held) {
        let redeliveries = held.redeliveries.saturating_add(1);
        let mut bytes = held.bytes;
        match self.bury(state, redeliveries, bytes) {
            None => return,
            Some(back) => bytes = back,
        }
        let place = state.messages.partition_point(|message| message.number < number);
        state.messages.insert(place, Message { number, redeliveries, bytes });
        self.arrival.notify_one();
    }

    /// Moves the first message to the dead letters if it came back too often, and they take it by now.
    fn bury_front(&self, state: &mut State) -> bool {
        let Some(Message { number, redeliveries, bytes }) = state.messages.pop_front() else { return false };
        let back = self.bury(state, redeliveries, bytes);
        let is_buried = back.is_none();
        if let Some(bytes) = back {
            state.messages.push_front(Message { number, redeliveries, bytes });
        }
        is_buried
    }

    /// Moves a message that came back too often to the dead letters; hands it back if it did not, or they do not take it.
    fn bury(&self, state: &mut State, redeliveries: u32, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let is_due = self.identity().max_redeliveries.is_some_and(|most| redeliveries > most);
        let Some(dead) = self.dead_letters().filter(|_| is_due) else { return Some(bytes) };
        let len = bytes.len();
        let back = dead.offer(bytes).err();
        if back.is_none() {
            self.settle(state, len);
        }
        back
    }

    /// The queue that has the dead-letter queue's name now.
    fn dead_letters(&self) -> Option<Arc<Self>> {
        let (space, name) = self.dead_letters.as_ref()?;
        lock(&space.upgrade()?.queues).get(name).cloned()
    }

    fn check_acknowledged(&self) -> Result<(), BackendError> {
        if self.identity().acknowledged {
            return Ok(());
        }
        let what = "it was not made for acknowledged delivery";
        Err(BackendError::new(BackendErrorKind::Unsupported, self.identity(), what)
            .with_advice("make it with `acknowledged`"))
    }
}
