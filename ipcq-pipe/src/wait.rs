//! Locking a side of the queue, and waiting on it; the waiting itself is [`TwoSided`]'s.

use ipcq_core::Identity;
use ipcq_core::os::event::Event;
use ipcq_core::os::lock::RobustLock;
pub(crate) use ipcq_core::os::participants::Side;
use ipcq_core::os::participants::{Producers, Waiting};
use ipcq_core::os::refusal::Stuck;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::{Turns, TwoSided};
use std::sync::atomic::Ordering;

use crate::conduit::Conduit;

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

    fn identity(&self) -> &Identity {
        self.identity()
    }

    fn backlog(&self, side: Side) -> usize {
        let len = usize::try_from(self.tail().since(self.head())).unwrap_or(0);
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

impl Conduit {
    /// Repairs what a dead holder of the lock of `side` left, which the caller holds, and wakes who can go on now.
    #[cold]
    pub(crate) fn recover(&self, side: Side) -> Result<(), Stuck> {
        match side {
            Side::Put => self.flow().recover_tail()?,
            Side::Get => self.flow().recover_head()?,
        }
        self.event(side.other()).wake_all();
        Ok(())
    }

    pub(crate) fn is_orphaned(&self, side: Side) -> bool {
        let dirty = match side {
            Side::Put => &self.header().put.0.dirty,
            Side::Get => &self.header().get.0.dirty,
        };
        self.lock_of(side).is_orphaned() || dirty.load(Ordering::Relaxed) != 0
    }

    #[cold]
    pub(crate) fn settle_orphan(&self, side: Side) -> bool {
        // Should it fail, whoever needs the lock tries again, and says what the matter is.
        let settled = self.lock_of(side).try_lock().is_ok_and(|_guard| self.recover(side).is_ok());
        if settled {
            self.memory_was_freed();
        }
        settled
    }
}
