//! Locking a side of the queue, and waiting on it; the waiting itself is [`TwoSided`]'s.

use ipcq_core::os::event::Event;
use ipcq_core::os::lock::{NotLocked, RobustGuard, RobustLock};
pub(crate) use ipcq_core::os::participants::Side;
use ipcq_core::os::participants::{Producers, Waiting};
use ipcq_core::os::waiting::{Late, Patience, Turns, TwoSided};
use ipcq_core::{GetFault, PutFault, Wait};

use crate::segment::Segment;

impl TwoSided for Segment {
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
        let len = self.tail().since(self.head());
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

impl Segment {
    /// What callers on `side` sleep on.
    #[inline]
    pub(crate) fn event(&self, side: Side) -> &Event {
        TwoSided::event(self, side)
    }

    /// Wakes one more caller on `side` if it can go on as well.
    #[inline]
    pub(crate) fn pass_on(&self, side: Side) {
        TwoSided::pass_on(self, side);
    }

    /// Wakes one caller on `side` that is asleep.
    #[inline]
    pub(crate) fn wake_if_asleep(&self, side: Side) {
        TwoSided::wake_if_asleep(self, side);
    }

    /// Takes the putters' lock, and repairs what its last holder left behind if it died.
    #[inline]
    pub(crate) fn lock_put(&self, wait: Wait) -> Result<RobustGuard<'_>, PutFault> {
        let patience = Patience::default();
        match self.header().put.0.lock.lock_until(|| patience.deadline(wait)) {
            Ok(guard) if guard.is_recovered() => self.lock_put_after_death(guard, wait, &patience),
            Ok(guard) => Ok(guard),
            Err(NotLocked) => Err(self.no_putting(wait)),
        }
    }

    /// Repairs what the last holder left behind; where that is much, the rest is done in between the operations of
    /// others, and this one.
    #[cold]
    fn lock_put_after_death<'a>(
        &'a self,
        guard: RobustGuard<'a>,
        wait: Wait,
        patience: &Patience,
    ) -> Result<RobustGuard<'a>, PutFault> {
        let chunks = self.ring().chunks();
        chunks.sweep();
        if !chunks.tidy() {
            return Ok(guard);
        }
        drop(guard);
        self.memory_was_freed();
        let again = self.header().put.0.lock.lock_until(|| patience.deadline(wait));
        let guard = again.map_err(|NotLocked| self.no_putting(wait))?;
        if guard.is_recovered() {
            chunks.sweep();
        }
        Ok(guard)
    }

    /// Why the putters' lock was not had.
    #[cold]
    fn no_putting(&self, wait: Wait) -> PutFault {
        match wait {
            Wait::Forever | Wait::Until(_) => PutFault::Timeout,
            Wait::No if self.tail().is_closed() => PutFault::Closed,
            Wait::No if self.is_full() => PutFault::Full,
            Wait::No => PutFault::Busy,
        }
    }

    /// Takes the getters' lock, whose holders leave nothing to repair when they die.
    #[inline]
    pub(crate) fn lock_get(&self, wait: Wait, patience: &Patience) -> Result<RobustGuard<'_>, GetFault> {
        match self.header().get.0.lock.lock_until(|| patience.deadline(wait)) {
            Ok(guard) => Ok(guard),
            Err(NotLocked) if wait != Wait::No => Err(GetFault::Timeout),
            Err(NotLocked) if !self.is_empty() => Err(GetFault::Busy),
            Err(NotLocked) if self.tail().is_closed() => Err(GetFault::Closed),
            Err(NotLocked) => Err(GetFault::Empty),
        }
    }

    /// Takes the getters' lock for a call that has messages, and would like more.
    pub(crate) fn lock_get_more(&self, wait: Wait, patience: &Patience) -> Result<RobustGuard<'_>, GetFault> {
        let more = self.header().get.0.lock.lock_until(|| patience.deadline_for_more(wait));
        more.map_err(|NotLocked| GetFault::Busy)
    }

    /// Waits until a putter can go on.
    #[cold]
    pub(crate) fn wait_for_room(&self, wait: Wait) -> Result<(), PutFault> {
        if wait == Wait::No {
            return Err(PutFault::Full);
        }
        self.wait_on(Side::Put, wait).map_err(|Late| PutFault::Timeout)
    }

    /// Waits until a getter can go on.
    #[cold]
    pub(crate) fn wait_for_message(&self, wait: Wait) -> Result<(), GetFault> {
        if wait == Wait::No {
            // One step; a thread does the rest, for the caller does not want to wait.
            self.upkeep(|| false);
            self.memory_was_freed();
            return if self.close_if_abandoned() { Ok(()) } else { Err(GetFault::Empty) };
        }
        self.wait_on(Side::Get, wait).map_err(|Late| GetFault::Timeout)
    }
}
