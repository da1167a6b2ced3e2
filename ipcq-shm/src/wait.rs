//! Locking the putters' side of a queue after a death; the waiting itself is
//! [`TwoSided`](ipcq_core::os::waiting::TwoSided)'s.

use ipcq_core::os::deliveries::Acknowledging;
use ipcq_core::os::lock::{NotLocked, RobustGuard};
pub(crate) use ipcq_core::os::participants::Side;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::{Patience, TwoSided};
use ipcq_core::trace::Death;
use ipcq_core::{PutFault, Wait};

use crate::segment::Segment;

impl Segment {
    /// Repairs what the last holder left behind; where that is much, the rest is done in between the operations of
    /// others, and this one.
    #[cold]
    pub(crate) fn lock_put_after_death<'a>(
        &'a self,
        guard: RobustGuard<'a>,
        wait: Wait,
        patience: &Patience,
    ) -> Result<RobustGuard<'a>, PutFault> {
        self.settle_note();
        let chunks = self.ring().chunks();
        chunks.sweep();
        if !chunks.tidy() {
            return Ok(guard);
        }
        let death = Death::seen_by(&guard);
        drop(guard);
        death.tell(self.identity(), Side::Put);
        self.memory_was_freed();
        let again = self.header().put.0.lock.lock_until(|| patience.deadline(wait));
        let guard = again.map_err(|NotLocked| self.no_putting(wait))?;
        if guard.is_recovered() {
            self.settle_note();
            chunks.sweep();
        }
        Ok(guard)
    }
}
