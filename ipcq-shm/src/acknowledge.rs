//! Acknowledged queues: what a get hands out is kept beside the ring until it is acknowledged.
//!
//! All of it is done under the getters' lock, by the steps that [`deliveries`](ipcq_core::os::deliveries) describes; its
//! commit is, for a message of the ring, the store of `head` (H1), and for one that came back, the store of its entry's
//! state.

use std::io;

use ipcq_core::os::deliveries::{NotYours, Store};
use ipcq_core::os::ends::Ends;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::lock::{RobustGuard, SLICE};
use ipcq_core::os::refusal::{Damage, GetRefusal, Stuck};
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::{Patience, TwoSided};
use ipcq_core::{BackendError, BackendErrorKind, DeliveryFault, DeliveryTag, GetFault, JoinFault, Wait};

use crate::dead_letters::DeadLetters;
use crate::segment::Segment;
use crate::wait::Side;

/// Whether a message that is taken is to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Delivery,
    ForGood,
}

/// Why no message was handed out.
enum Withheld {
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

impl Segment {
    /// Hands out the message with the lowest number; those that came back too often go to the dead letters instead, if
    /// that queue takes them.
    pub(crate) fn get_delivery(&self, message: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
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
    fn has_gone_to(&self, dead_letters: &DeadLetters, tag: &DeliveryTag) -> Result<bool, GetFault> {
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
    pub(crate) fn get_for_good(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.get_as(Manner::ForGood, message, wait).map(|_| ())
    }

    fn get_as(
        &self,
        manner: Manner,
        message: &mut Vec<u8>,
        wait: Wait,
    ) -> Result<Option<DeliveryTag>, GetFault> {
        let patience = Patience::default();
        loop {
            message.clear();
            let (guard, store) = self.lock_deliveries(wait, &patience)?;
            store.look_after_holders(false);
            if store.has_orphaned_moves()
                && let Some(dead_letters) = self.dead_letters()
            {
                drop(guard);
                dead_letters.settle_moves(self);
                continue;
            }
            match self.hand_out(store, manner, message) {
                Ok(tag) => {
                    guard.unlock_and_wake(TwoSided::event(self, Side::Put));
                    self.pass_on(Side::Get);
                    if manner == Manner::ForGood {
                        self.one_has_left();
                    }
                    return Ok(tag);
                }
                Err(withheld) => {
                    drop(guard);
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
        if self.header().is_removed() {
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

    /// Hands out the next message of the ring.
    fn hand_out_next(
        &self,
        store: Store<'_>,
        manner: Manner,
        message: &mut Vec<u8>,
    ) -> Result<Option<DeliveryTag>, Withheld> {
        let (ring, head) = (self.ring(), self.head());
        match ring.available(head) {
            // Something in flight may come back.
            Err(GetRefusal::Closed) if !self.has_ended(Side::Get) => return Err(GetRefusal::Empty.into()),
            available => available?,
        };
        let mut run = ring.run(head)?;
        let len = ring.length(&run)?;
        if len > message.capacity() {
            return Err(GetRefusal::TooSmall(len).into());
        }
        ring.copy(&mut run, len, message)?;
        let next = run.position();
        let tag = match manner {
            Manner::Delivery => Some(store.keep_next(self.taken(), message, self.identity().lease)?),
            Manner::ForGood => None,
        };
        ring.take(head, next);
        if tag.is_none() {
            store.took_one();
        }
        if head.chunk() != next.chunk() {
            self.memory_was_freed();
        }
        Ok(tag)
    }

    /// Removes the message of `tag` for good.
    pub(crate) fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        let (guard, store) = self.lock_to_settle()?;
        let outcome = store.acknowledge(tag);
        let side = if outcome.is_ok() { Side::Put } else { Side::Get };
        guard.unlock_and_wake(TwoSided::event(self, side));
        self.one_has_left();
        if store.has_much() {
            self.memory_was_freed();
        }
        outcome.map_err(explain)
    }

    /// Puts the message of `tag` back to its place, or among the dead letters when it came back too often.
    pub(crate) fn give_back(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        let due = |dead_letters: &&DeadLetters| dead_letters.are_due(tag.redeliveries.saturating_add(1));
        if let Some(dead_letters) = self.dead_letters().filter(due)
            && dead_letters.take(self, tag, &mut Vec::new())?
        {
            return Ok(());
        }
        let (guard, store) = self.lock_to_settle()?;
        let outcome = store.give_back(tag);
        guard.unlock_and_wake(TwoSided::event(self, Side::Get));
        outcome.map_err(explain)
    }

    pub(crate) fn lock_to_settle(&self) -> Result<(RobustGuard<'_>, Store<'_>), DeliveryFault> {
        self.unless_removed(())?;
        self.lock_deliveries(Wait::Forever, &Patience::default()).map_err(|fault| match fault {
            GetFault::Backend(error) => error.into(),
            _ => self.damaged().into(),
        })
    }

    /// The getters' lock, with what its last holder left repaired.
    pub(crate) fn lock_deliveries(
        &self,
        wait: Wait,
        patience: &Patience,
    ) -> Result<(RobustGuard<'_>, Store<'_>), GetFault> {
        let Some(store) = self.store() else { return Err(self.not_acknowledged().into()) };
        let guard = self.lock_get(wait, patience, false)?;
        if guard.is_recovered() {
            store.rebuild(self.taken());
        }
        Ok((guard, store))
    }

    pub(crate) fn store(&self) -> Option<Store<'_>> {
        self.deliveries().map(|deliveries| deliveries.with(self.storage()))
    }

    /// The number of the next message that the ring will hand out.
    fn taken(&self) -> u64 {
        self.header().totals().1
    }

    /// Wakes those whom it concerns when nothing is left in the queue after a message has left for good.
    pub(crate) fn one_has_left(&self) {
        let Some(deliveries) = self.deliveries() else { return };
        let tail = self.tail();
        if tail.since(self.left()) > 0 {
            return;
        }
        if deliveries.settled().has_sleepers() {
            deliveries.settled().wake_all();
        }
        if tail.is_closed() {
            self.header().wake_everyone();
        }
    }

    /// Puts back what dead holders had and what was kept for too long, and repairs what a dead owner of the lock left;
    /// returns whether there was something. Never waits.
    pub(crate) fn look_after_deliveries(&self) -> bool {
        let Some((guard, store)) = self.try_lock_deliveries() else { return false };
        let is_recovered = guard.is_recovered();
        let found = store.look_after_holders(true);
        guard.unlock_and_wake(TwoSided::event(self, Side::Get));
        if store.has_orphaned_moves()
            && let Some(dead_letters) = self.dead_letters()
        {
            dead_letters.settle_moves(self);
        }
        is_recovered || found
    }

    /// The getters' lock if nobody has it, with what its last holder left repaired.
    pub(crate) fn try_lock_deliveries(&self) -> Option<(RobustGuard<'_>, Store<'_>)> {
        let store = self.store()?;
        let guard = self.header().get.0.lock.try_lock().ok()?;
        if guard.is_recovered() {
            store.rebuild(self.taken());
        }
        Some((guard, store))
    }

    /// Gives back memory that deliveries no longer need, a step of it; returns whether there may be more.
    pub(crate) fn trim_deliveries(&self) -> bool {
        if !self.deliveries_have_much() {
            return false;
        }
        let Some((_guard, store)) = self.try_lock_deliveries() else { return false };
        store.trim()
    }

    /// Whether there is such memory.
    pub(crate) fn deliveries_have_much(&self) -> bool {
        self.store().is_some_and(|store| store.has_much())
    }

    /// Waits until every message put before has left for good.
    pub(crate) fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        let Some(deliveries) = self.deliveries() else { return Err(self.not_acknowledged().into()) };
        let end = self.header().totals().0;
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

    #[cold]
    pub(crate) fn not_acknowledged(&self) -> BackendError {
        let what = "it was not made for acknowledged delivery";
        BackendError::new(BackendErrorKind::Unsupported, self.identity(), what)
            .with_advice("make it with `acknowledged`")
    }
}

pub(crate) const fn explain(why: NotYours) -> DeliveryFault {
    match why {
        NotYours::Expired => DeliveryFault::Expired,
        NotYours::Another => DeliveryFault::NotHeld,
    }
}
