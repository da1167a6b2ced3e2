//! Locking a side of the queue, and waiting on it; the waiting itself is [`TwoSided`]'s.

use ipcq_core::os::event::Event;
use ipcq_core::os::lock::{NotLocked, RobustGuard, RobustLock};
pub(crate) use ipcq_core::os::participants::Side;
use ipcq_core::os::participants::{Producers, Waiting};
use ipcq_core::os::waiting::{Late, Turns, TwoSided};
use ipcq_core::{GetFault, PutFault, Wait};
use std::sync::atomic::Ordering;

use crate::conduit::Conduit;
use crate::flow::{GetRefusal, PutRefusal};
use crate::pool::Stuck;

impl TwoSided for Conduit {
    #[inline]
    fn event(&self, side: Side) -> &Event {
        match side {
            Side::Put => &self.header().not_full.0,
            Side::Get => &self.header().not_empty.0,
        }
    }

    #[inline]
    fn lock_of(&self, side: Side) -> &RobustLock {
        match side {
            Side::Put => &self.header().put.0.lock,
            Side::Get => &self.header().get.0.lock,
        }
    }

    fn turns(&self) -> &Turns {
        &self.turns
    }

    fn can_go_on(&self, side: Side) -> bool {
        match side {
            Side::Put => !self.is_full(),
            Side::Get => !self.is_empty(),
        }
    }

    fn capacity(&self) -> usize {
        self.identity().capacity
    }

    fn backlog(&self, side: Side) -> usize {
        let len = usize::try_from(self.tail().since(self.head())).unwrap_or(0);
        match side {
            Side::Put => self.capacity().saturating_sub(len),
            Side::Get => len,
        }
    }

    fn is_closed(&self) -> bool {
        self.tail().is_closed()
    }

    fn close_if_abandoned(&self) -> bool {
        if !self.identity().auto_close {
            return false;
        }
        let tail = self.tail();
        if tail.is_closed() || !matches!(self.table().producers(), Ok(Producers::AllLeft)) {
            return false;
        }
        // A producer that came and put after the look shows in the tail.
        self.close_at(tail)
    }

    fn count_waiter(&self, side: Side) -> Option<Waiting<'_>> {
        self.presence.count_waiter(side, self.table())
    }

    fn do_chores(&self, go_on: &dyn Fn() -> bool) {
        self.upkeep(go_on);
    }
}

impl Conduit {
    /// Takes the putters' lock, and repairs what its last holder left behind if it died.
    #[inline]
    pub(crate) fn lock_put(&self, wait: Wait) -> Result<RobustGuard<'_>, PutFault> {
        let side = &self.header().put.0;
        match side.lock.lock(wait) {
            Ok(guard) if guard.is_recovered() || side.dirty.load(Ordering::Relaxed) != 0 => {
                self.recover(Side::Put).map_err(|stuck| self.explain_put(PutRefusal::Stuck(stuck)))?;
                Ok(guard)
            }
            Ok(guard) => Ok(guard),
            Err(NotLocked) if wait != Wait::No => Err(PutFault::Timeout),
            Err(NotLocked) if self.tail().is_closed() => Err(PutFault::Closed),
            Err(NotLocked) if self.is_full() => Err(PutFault::Full),
            Err(NotLocked) => Err(PutFault::Busy),
        }
    }

    /// Takes the getters' lock, and repairs what its last holder left behind if it died.
    #[inline]
    pub(crate) fn lock_get(&self, wait: Wait) -> Result<RobustGuard<'_>, GetFault> {
        let side = &self.header().get.0;
        match side.lock.lock(wait) {
            Ok(guard) if guard.is_recovered() || side.dirty.load(Ordering::Relaxed) != 0 => {
                self.recover(Side::Get).map_err(|stuck| self.explain_stuck(stuck))?;
                Ok(guard)
            }
            Ok(guard) => Ok(guard),
            Err(NotLocked) if wait != Wait::No => Err(GetFault::Timeout),
            Err(NotLocked) if !self.is_empty() => Err(GetFault::Busy),
            Err(NotLocked) if self.tail().is_closed() => Err(GetFault::Closed),
            Err(NotLocked) => Err(GetFault::Empty),
        }
    }

    /// Repairs what a dead holder of the lock of `side` left, which the caller holds, and wakes who can go on now.
    #[cold]
    fn recover(&self, side: Side) -> Result<(), Stuck> {
        match side {
            Side::Put => self.flow().recover_tail()?,
            Side::Get => self.flow().recover_head()?,
        }
        self.event(side.other()).wake_all();
        Ok(())
    }

    /// Repairs what dead participants left on either side, so that the counts are right; never waits for others, and
    /// leaves to the next one what cannot be done. Returns whether there was something.
    #[inline]
    pub(crate) fn settle_orphans(&self) -> bool {
        let mut settled = false;
        for side in [Side::Get, Side::Put] {
            settled |= self.is_orphaned(side) && self.settle_orphan(side);
        }
        settled
    }

    fn is_orphaned(&self, side: Side) -> bool {
        let dirty = match side {
            Side::Put => &self.header().put.0.dirty,
            Side::Get => &self.header().get.0.dirty,
        };
        self.lock_of(side).is_orphaned() || dirty.load(Ordering::Relaxed) != 0
    }

    #[cold]
    fn settle_orphan(&self, side: Side) -> bool {
        // Should it fail, whoever needs the lock tries again, and says what the matter is.
        self.lock_of(side).try_lock().is_ok_and(|_guard| self.recover(side).is_ok())
    }

    /// Waits until a putter can go on.
    #[cold]
    pub(crate) fn wait_for_room(&self, wait: Wait) -> Result<(), PutFault> {
        let settled = self.settle_orphans();
        if settled || wait == Wait::No {
            return if settled { Ok(()) } else { Err(PutFault::Full) };
        }
        self.wait_on(Side::Put, wait).map_err(|Late| PutFault::Timeout)
    }

    /// Waits until a getter can go on.
    #[cold]
    pub(crate) fn wait_for_message(&self, wait: Wait) -> Result<(), GetFault> {
        if self.settle_orphans() {
            return Ok(());
        }
        if wait == Wait::No {
            // One step; a thread does the rest, for the caller does not want to wait.
            self.upkeep(|| false);
            self.memory_was_freed();
            return if self.close_if_abandoned() { Ok(()) } else { Err(GetFault::Empty) };
        }
        self.wait_on(Side::Get, wait).map_err(|Late| GetFault::Timeout)
    }

    #[cold]
    pub(crate) fn explain_get(&self, refusal: GetRefusal) -> GetFault {
        match refusal {
            GetRefusal::Empty => GetFault::Empty,
            GetRefusal::Closed => GetFault::Closed,
            GetRefusal::TooSmall(_) | GetRefusal::Damage => self.damaged().into(),
        }
    }
}
