//! Locking a side of the queue, and repairing what its last holder left; the waiting itself is
//! [`TwoSided`](ipcq_core::os::waiting::TwoSided)'s.

use std::sync::atomic::Ordering;

use ipcq_core::os::deliveries::Acknowledging;
pub(crate) use ipcq_core::os::participants::Side;
use ipcq_core::os::refusal::Stuck;
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::TwoSided;
use ipcq_core::trace::Death;

use crate::conduit::Conduit;

impl Conduit {
    /// Repairs what a dead holder of the lock of `side` left, which the caller holds, and wakes who can go on now.
    #[cold]
    pub(crate) fn recover(&self, side: Side) -> Result<(), Stuck> {
        match side {
            Side::Put => {
                self.flow().recover_tail()?;
                self.settle_note();
            }
            Side::Get if self.deliveries().is_some() => self.recover_deliveries()?,
            Side::Get => self.flow().recover_head()?,
        }
        self.event(side.other()).wake_all();
        Ok(())
    }

    /// Repairs what a dead getter of an acknowledged queue left: the head is what it stored.
    #[cold]
    fn recover_deliveries(&self) -> Result<(), Stuck> {
        let dirty = &self.header().get.0.dirty;
        dirty.store(1, Ordering::Relaxed);
        self.flow().recover_hand()?;
        self.rebuild();
        dirty.store(0, Ordering::Relaxed);
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
        let Ok(guard) = self.lock_of(side).try_lock() else { return false };
        let (settled, death) = (self.recover(side).is_ok(), Death::seen_by(&guard));
        drop(guard);
        death.tell(&self.body().identity, side);
        if settled {
            self.memory_was_freed();
        }
        settled
    }
}
