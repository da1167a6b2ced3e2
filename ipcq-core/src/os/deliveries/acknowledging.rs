//! What a backend supplies to hand out what is to be acknowledged, and how what is handed out is looked after.

use std::path::Path;
use std::sync::Arc;

use super::Store;
use super::dead_letters::{DeadLetters, MoveNote, settle_note};
use crate::QueueName;
use crate::os::ends::Ends;
use crate::os::inherit::Inheritable;
use crate::os::lending::Lending;
use crate::os::lock::RobustGuard;
use crate::os::participants::Side;
use crate::os::refusal::{GetRefusal, PutRefusal, Stuck};
use crate::os::shared_queue::SharedQueue;
use crate::os::waiting::TwoSided;
use crate::trace::Death;

/// A queue that hands out what is to be acknowledged, if it [has a place](SharedQueue::deliveries) for it. What is
/// required are the steps that a backend takes under its locks; the calls are the same for all.
pub trait Acknowledging: SharedQueue + Lending + Inheritable {
    /// A message that was copied, and is to be taken.
    type Next;

    /// The queue that is called `name` in `directory` now, if it can be had.
    fn find(directory: &Path, name: &QueueName) -> Option<Arc<Self>>;

    /// Where messages go that came back too often.
    fn dead_letters(&self) -> Option<&DeadLetters<Self>>;

    /// The note of those who move messages here.
    fn note(&self) -> &MoveNote;

    /// Copies the next message of the backend into `message`, which is empty. The caller has the getters' lock.
    ///
    /// # Errors
    /// Why it could not.
    fn copy_next(&self, message: &mut Vec<u8>) -> Result<Self::Next, GetRefusal>;

    /// Takes the message that was copied, by one store.
    fn take(&self, next: Self::Next);

    /// Puts `message`; calls `write_note` with how many were put before, before the tail can pass it. The caller has the
    /// putters' lock.
    ///
    /// # Errors
    /// Why it could not; nothing was put.
    fn put_noted(&self, message: &[u8], write_note: impl FnOnce(u64)) -> Result<(), PutRefusal>;

    /// Whether the tail says all that is to be known of puts whose callers died.
    fn puts_are_settled(&self) -> bool {
        true
    }

    /// Repairs what the last holder of the getters' lock left, which the caller has.
    ///
    /// # Errors
    /// When it cannot be repaired now.
    fn repair_gets(&self, guard: &RobustGuard<'_>) -> Result<(), Stuck> {
        if guard.is_recovered() {
            self.rebuild();
        }
        Ok(())
    }

    /// What was handed out, in its file.
    fn store(&self) -> Option<Store<'_>> {
        self.deliveries().map(|deliveries| deliveries.with(&self.body().storage))
    }

    /// Makes anew what follows from the entries, for who has the getters' lock of one that died.
    #[cold]
    fn rebuild(&self) {
        if let Some(store) = self.store() {
            store.rebuild(self.taken());
        }
    }

    /// The number of the next message that the backend will hand out.
    fn taken(&self) -> u64 {
        self.words().totals().1
    }

    /// Puts back what dead holders had and what was kept for too long, and repairs what a dead owner of the lock left;
    /// returns whether there was something. Never waits.
    fn look_after_deliveries(&self) -> bool {
        let Some((guard, store)) = self.try_lock_deliveries() else { return false };
        let is_recovered = guard.is_recovered();
        let (found, death) = (store.look_after_holders(true), Death::seen_by(&guard));
        guard.unlock_and_wake(TwoSided::event(self, Side::Get));
        death.tell(TwoSided::identity(self), Side::Get);
        if store.has_orphaned_moves()
            && let Some(dead_letters) = self.dead_letters()
        {
            dead_letters.settle_moves(self);
        }
        is_recovered || found
    }

    /// The getters' lock if nobody has it, with what its last holder left repaired.
    fn try_lock_deliveries(&self) -> Option<(RobustGuard<'_>, Store<'_>)> {
        let store = self.store()?;
        let guard = self.lock_of(Side::Get).try_lock().ok()?;
        self.repair_gets(&guard).ok()?;
        Some((guard, store))
    }

    /// Gives back memory that deliveries no longer need, a step of it; returns whether there may be more.
    fn trim_deliveries(&self) -> bool {
        if !self.deliveries_have_much() {
            return false;
        }
        let Some((guard, store)) = self.try_lock_deliveries() else { return false };
        let (more, death) = (store.trim(), Death::seen_by(&guard));
        drop(guard);
        death.tell(TwoSided::identity(self), Side::Get);
        more
    }

    /// Whether there is such memory.
    fn deliveries_have_much(&self) -> bool {
        self.store().is_some_and(|store| store.has_much())
    }

    /// Takes away the note of a mover that died before its message arrived. To be called by who has got the putters'
    /// lock of one that died, before anything is put.
    #[cold]
    fn settle_note(&self) {
        settle_note(self);
    }
}
