//! Locking a side of the queue, and waiting on it; the waiting itself is [`TwoSided`]'s.

use ipcq_core::os::event::Event;
use ipcq_core::os::lock::{NotLocked, RobustGuard, RobustLock};
pub(crate) use ipcq_core::os::participants::Side;
use ipcq_core::os::participants::{Producers, Waiting};
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::{Patience, Turns, TwoSided};
use ipcq_core::{Identity, PutFault, Wait};

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

    fn identity(&self) -> &Identity {
        self.identity()
    }

    fn backlog(&self, side: Side) -> usize {
        let len = self.tail().since(self.head());
        match side {
            Side::Put => self.identity().capacity.saturating_sub(len),
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

    /// Repairs what the last holder left behind; where that is much, the rest is done in between the operations of
    /// others, and this one.
    #[cold]
    pub(crate) fn lock_put_after_death<'a>(
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
}
