//! Acknowledged queues: what a get hands out is kept beside the queue until it is acknowledged.
//!
//! All of it is done under the getters' lock; its commit is, for a message of the backend, the store of its head, and for
//! one that came back, the store of its entry's state.

use std::io;

use super::acknowledging::Acknowledging;
use super::dead_letters::DeadLetters;
use super::unsettled::{self, Counts};
use super::{NotYours, Store};
use crate::error::{BackendErrorKind, DeliveryFault, GetFault, JoinFault};
use crate::os::ends::Ends;
use crate::os::failure::Failure;
use crate::os::lock::{NotLocked, RobustGuard, SLICE};
use crate::os::participants::Side;
use crate::os::refusal::{Damage, GetRefusal, Stuck};
use crate::os::waiting::{Patience, TwoSided};
use crate::trace::Death;
use crate::transport::not_acknowledged;
use crate::{BackendError, DeliveryTag, Wait};

/// Whether a message that is taken is to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Delivery,
    ForGood,
}

/// Why no message was handed out.
pub(super) enum Withheld {
    Refused(GetRefusal),
    NoRoom(io::Error),
}

impl From<GetRefusal> for Withheld {
    fn from(refusal: GetRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Damage> for Withheld {
    fn from(Damage: Damage) -> Self {
        Self::Refused(GetRefusal::Damage)
    }
}

impl From<Stuck> for Withheld {
    fn from(stuck: Stuck) -> Self {
        match stuck {
            Stuck::Damage => Damage.into(),
            Stuck::NoRoom(source) => Self::NoRoom(source),
        }
    }
}

/// The calls of a queue whose messages are acknowledged.
pub(super) trait Calls: Acknowledging {
    /// Hands out the message with the lowest number; those that came back too often go to the dead letters instead, if
    /// that queue takes them.
    fn get_delivery(&self, message: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
        loop {
            let tag = self.get_as(Manner::Delivery, message, wait)?.ok_or_else(|| self.damaged())?;
            match self.dead_letters().filter(|dead_letters| dead_letters.are_due(tag.redeliveries)) {
                Some(dead_letters) if self.has_gone_to(dead_letters, &tag)? => {}
                _ => return Ok(tag),
            }
        }
    }

    /// Moves what was handed out to the dead letters; returns whether it is gone from here.
    #[cold]
    fn has_gone_to(&self, dead_letters: &DeadLetters<Self>, tag: &DeliveryTag) -> Result<bool, GetFault> {
        let has_gone = match dead_letters.take(self, tag, &mut Vec::new()) {
            Ok(has_moved) => has_moved,
            Err(DeliveryFault::Backend(error)) => return Err(error.into()),
            // Its lease ran out at once.
            Err(_) => return Ok(true),
        };
        if has_gone && let Some(store) = self.store() {
            store.uncount_redelivery();
        }
        Ok(has_gone)
    }

    /// Takes it, for good.
    fn get_for_good(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.get_as(Manner::ForGood, message, wait).map(|_| ())
    }

    fn get_as(
        &self,
        manner: Manner,
        message: &mut Vec<u8>,
        wait: Wait,
    ) -> Result<Option<DeliveryTag>, GetFault> {
        let patience = Patience::default();
        let mut undecided = false;
        loop {
            message.clear();
            let (guard, store) = self.lock_deliveries(wait, &patience)?;
            let death = Death::seen_by(&guard);
            store.look_after_holders(false);
            if store.has_orphaned_moves()
                && !undecided
                && let Some(dead_letters) = self.dead_letters()
            {
                drop(guard);
                death.tell(self.identity(), Side::Get);
                undecided = !dead_letters.settle_moves(self);
                continue;
            }
            match self.hand_out(store, manner, message) {
                Ok(tag) => {
                    guard.unlock_and_wake(TwoSided::event(self, Side::Put));
                    death.tell(self.identity(), Side::Get);
                    self.pass_on(Side::Get);
                    if manner == Manner::ForGood {
                        self.one_has_left();
                    }
                    return Ok(tag);
                }
                Err(withheld) => {
                    drop(guard);
                    death.tell(self.identity(), Side::Get);
                    self.make_up_for(withheld, message, wait)?;
                }
            }
        }
    }

    /// Waits for what kept a message from being handed out to change, or says what it is.
    #[cold]
    fn make_up_for(&self, withheld: Withheld, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        match withheld {
            Withheld::Refused(GetRefusal::Empty) => self.wait_for_message(wait),
            Withheld::Refused(GetRefusal::TooSmall(len)) => {
                message.clear();
                message.try_reserve_exact(len).map_err(|error| self.no_memory(len, error).into())
            }
            Withheld::Refused(refusal) => Err(self.explain_get(&refusal)),
            Withheld::NoRoom(source) => Err(self.no_place(source).into()),
        }
    }

    fn hand_out(
        &self,
        store: Store<'_>,
        manner: Manner,
        message: &mut Vec<u8>,
    ) -> Result<Option<DeliveryTag>, Withheld> {
        if self.words().is_removed() {
            return Err(GetRefusal::Closed.into());
        }
        let Some(len) = store.ready_len()? else { return self.hand_out_next(store, manner, message) };
        if len > self.identity().max_message {
            return Err(Damage.into());
        }
        if len > message.capacity() {
            return Err(GetRefusal::TooSmall(len).into());
        }
        match manner {
            Manner::Delivery => Ok(Some(store.hand_out_ready(message, self.identity().lease)?)),
            Manner::ForGood => {
                store.take_ready(message)?;
                Ok(None)
            }
        }
    }

    /// Hands out the next message of the backend.
    fn hand_out_next(
        &self,
        store: Store<'_>,
        manner: Manner,
        message: &mut Vec<u8>,
    ) -> Result<Option<DeliveryTag>, Withheld> {
        let next = match self.copy_next(message) {
            // Something in flight may come back.
            Err(GetRefusal::Closed) if !self.has_ended(Side::Get) => return Err(GetRefusal::Empty.into()),
            next => next?,
        };
        let tag = match manner {
            Manner::Delivery => Some(store.keep_next(self.taken(), message, self.identity().lease)?),
            Manner::ForGood => None,
        };
        self.take(next);
        if tag.is_none() {
            store.took_one();
        }
        Ok(tag)
    }

    /// Removes the message of `tag` for good.
    fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        let (guard, store) = self.lock_to_settle()?;
        let (outcome, death) = (store.acknowledge(tag), Death::seen_by(&guard));
        let side = if outcome.is_ok() { Side::Put } else { Side::Get };
        guard.unlock_and_wake(TwoSided::event(self, side));
        death.tell(self.identity(), Side::Get);
        self.one_has_left();
        if store.has_much() {
            self.memory_was_freed();
        }
        outcome.map_err(explain)
    }

    /// Puts the message of `tag` back to its place, or among the dead letters when it came back too often.
    fn give_back(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        let due =
            |dead_letters: &&DeadLetters<Self>| dead_letters.are_due(tag.redeliveries.saturating_add(1));
        if let Some(dead_letters) = self.dead_letters().filter(due)
            && dead_letters.take(self, tag, &mut Vec::new())?
        {
            return Ok(());
        }
        let (guard, store) = self.lock_to_settle()?;
        let (outcome, death) = (store.give_back(tag), Death::seen_by(&guard));
        guard.unlock_and_wake(TwoSided::event(self, Side::Get));
        death.tell(self.identity(), Side::Get);
        outcome.map_err(explain)
    }

    fn lock_to_settle(&self) -> Result<(RobustGuard<'_>, Store<'_>), DeliveryFault> {
        self.unless_removed(())?;
        self.lock_deliveries(Wait::Forever, &Patience::default()).map_err(|fault| match fault {
            GetFault::Backend(error) => error.into(),
            _ => self.damaged().into(),
        })
    }

    /// The getters' lock, with what its last holder left repaired.
    fn lock_deliveries(
        &self,
        wait: Wait,
        patience: &Patience,
    ) -> Result<(RobustGuard<'_>, Store<'_>), GetFault> {
        let Some(store) = self.store() else { return Err(not_acknowledged(self.identity()).into()) };
        let locked = self.lock_of(Side::Get).lock_until(|| patience.deadline(wait));
        let guard = locked.map_err(|NotLocked| self.no_getting(wait))?;
        self.repair_gets(&guard).map_err(|stuck| self.explain_stuck(stuck))?;
        Ok((guard, store))
    }

    /// Wakes those whom it concerns when nothing is left in the queue after a message has left for good.
    fn one_has_left(&self) {
        let Some(deliveries) = self.deliveries() else { return };
        if unsettled::remaining(self, deliveries) > 0 {
            return;
        }
        if deliveries.settled().has_sleepers() {
            deliveries.settled().wake_all();
        }
        if self.words().is_closed() {
            self.words().wake_everyone();
        }
    }

    /// How many messages have been handed out and neither left nor come back. First repairs what a dead one left in the
    /// middle of a step; never waits.
    fn in_flight(&self) -> Result<usize, BackendError> {
        let counts = self.counts()?;
        self.unless_removed(counts.ledger.in_flight(counts.head) as usize)
    }

    /// How many messages left for good since the queue was made.
    fn left_in_all(&self) -> Result<u64, BackendError> {
        let counts = self.counts()?;
        Ok(self.taken().saturating_sub(u64::from(counts.ledger.unsettled(counts.head))))
    }

    fn counts(&self) -> Result<Counts, BackendError> {
        let Some(deliveries) = self.deliveries() else { return Err(not_acknowledged(self.identity())) };
        if self.lock_of(Side::Get).is_orphaned() {
            self.look_after_deliveries();
        }
        Counts::of(self, deliveries)
    }

    /// Waits until every message put before has left for good.
    fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        let Some(deliveries) = self.deliveries() else {
            return Err(not_acknowledged(self.identity()).into());
        };
        let end = self.words().totals().0;
        let mut from = 0;
        loop {
            self.unless_removed(())?;
            if !self.is_unfinished(end, &mut from) {
                return Ok(());
            }
            if wait == Wait::No {
                return Err(JoinFault::Unfinished);
            }
            let line = deliveries.settled().announce();
            if !self.is_unfinished(end, &mut from) {
                return Ok(());
            }
            let slice = wait.remaining().map_or(SLICE, |left| left.min(SLICE));
            if slice.is_zero() {
                return Err(JoinFault::Timeout);
            }
            deliveries.settled().sleep(line, slice);
            self.look_after_deliveries();
        }
    }

    /// Whether a message below `end` is still here. Its entry is watched; `from` moves to it, for those before are done.
    fn is_unfinished(&self, end: u64, from: &mut u32) -> bool {
        if self.taken() < end {
            return true;
        }
        let Some(store) = self.store() else { return false };
        while let Some(index) = store.first_below(end, *from) {
            *from = index;
            store.watch(index);
            // Its end either saw that it is watched, or is seen here.
            if store.first_below(end, index) == Some(index) {
                return true;
            }
        }
        false
    }

    #[cold]
    fn no_place(&self, source: io::Error) -> BackendError {
        let what = "the memory to keep a message until it is acknowledged could not be had";
        Failure::new(what, source).with_kind(BackendErrorKind::NoRoom).into_backend(self.identity())
    }
}

impl<Q: Acknowledging> Calls for Q {}

pub(super) const fn explain(why: NotYours) -> DeliveryFault {
    match why {
        NotYours::Expired => DeliveryFault::Expired,
        NotYours::Another => DeliveryFault::NotHeld,
    }
}
