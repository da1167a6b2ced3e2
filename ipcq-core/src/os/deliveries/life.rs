//! Who holds what, and what comes back without being given: of holders that died, of leases that ran out, and of a death
//! in the middle of a step.

use std::sync::atomic::Ordering;

use super::Store;
use super::entry::{Kind, State};
use super::layout::HOLDERS;
use super::ledger::Ledger;
use crate::os::clock::now;
use crate::os::participants::JoinError;
use crate::os::process;
use crate::os::refusal::Stuck;

/// Looking whether holders live takes this part of the time at most.
const SHARE: u64 = 10;
/// And is done this often at least while there are gets, in nanoseconds: nobody sees a death sooner than that.
const LONGEST: u64 = 20_000;

impl Store<'_> {
    /// The slot of this process, which it takes with its first delivery. What is there then a dead process had.
    pub(super) fn own_slot(&self) -> Result<usize, Stuck> {
        let deliveries = self.deliveries;
        let slot = deliveries.holder.join(self.table()).map_err(no_slot)?;
        if deliveries.settled_in.load(Ordering::Relaxed) != process::epoch() {
            self.put_back_of(slot);
            let beyond = u32::try_from(slot + 1).unwrap_or(u32::MAX);
            self.books().holders.fetch_max(beyond, Ordering::Relaxed);
            deliveries.settled_in.store(process::epoch(), Ordering::Relaxed);
        }
        Ok(slot)
    }

    /// Puts back what dead holders had, and what was kept for too long, if it is time to look, or it shall be done
    /// at once; returns whether there was something.
    pub fn look_after_holders(&self, at_once: bool) -> bool {
        let (books, begun) = (self.books(), now());
        let leases = books.lease_at.load(Ordering::Relaxed) <= begun && self.end_leases(begun);
        let look_at = books.look_at.load(Ordering::Relaxed);
        // Somebody may have written there what is long in coming.
        let is_soon = begun < look_at && look_at <= begun.saturating_add(LONGEST);
        if !at_once && is_soon {
            return leases;
        }
        let own = self.deliveries.settled_in.load(Ordering::Relaxed) == process::epoch();
        let own = own.then(|| self.own_slot().ok()).flatten();
        let (mut asked, mut found) = (false, false);
        let holders = (books.holders.load(Ordering::Relaxed) as usize).min(HOLDERS);
        for slot in (0..holders).filter(|slot| own != Some(*slot)) {
            if self.map().count(slot).load(Ordering::Relaxed) == 0 {
                continue;
            }
            asked = true;
            // Where the kernel does not say, they are taken for alive.
            if matches!(self.table().is_live(slot), Ok(false)) {
                found |= self.put_back_of(slot);
            }
        }
        let end = if asked { now() } else { begun };
        let pause = (end.saturating_sub(begun) * SHARE).min(LONGEST);
        books.look_at.store(end.saturating_add(pause), Ordering::Relaxed);
        leases || found
    }

    /// Puts back all that the holder with `slot` has.
    fn put_back_of(&self, slot: usize) -> bool {
        self.put_back_where(|state, _| state.slot() == slot)
    }

    /// Puts back what was kept for too long.
    fn end_leases(&self, now: u64) -> bool {
        let mut next = u64::MAX;
        let over = self.put_back_where(|_, until| {
            if until > now {
                next = next.min(until);
            }
            until != 0 && until <= now
        });
        self.books().lease_at.store(next, Ordering::Relaxed);
        over
    }

    /// Puts back what is held and meets a condition on its state and the end of its lease.
    fn put_back_where(&self, mut condition: impl FnMut(State, u64) -> bool) -> bool {
        let mut found = false;
        for index in 0..self.entries() {
            let entry = self.entry(index);
            let state = entry.state();
            let is_held = state.is_held() && !state.is_nobodys();
            if is_held && condition(state, entry.until.load(Ordering::Relaxed)) {
                self.come_back(index, entry);
                found = true;
            }
        }
        found
    }

    /// A message comes back that its holder did not give back.
    fn come_back(&self, index: u32, entry: &super::layout::Entry) {
        match entry.state().kind {
            Kind::Moved => self.leave_for_good(index, entry),
            Kind::Moving => self.orphan_move(entry),
            _ => self.put_back(index, entry),
        }
    }

    /// Makes anew what follows from the entries, after the owner of the lock died with it. `taken` is the number of the
    /// next message that the backend will hand out.
    #[cold]
    pub fn rebuild(&self, taken: u64) {
        let books = self.books();
        books.heap.store(0, Ordering::Relaxed);
        books.used.store(0, Ordering::Relaxed);
        books.moves.store(0, Ordering::Relaxed);
        books.lease_at.store(0, Ordering::Relaxed);
        let holders = (books.holders.load(Ordering::Relaxed) as usize).min(HOLDERS);
        (0..holders).for_each(|slot| self.map().count(slot).store(0, Ordering::Relaxed));
        let (mut ready, mut all) = (0_u32, 0_u64);
        for index in 0..self.entries() {
            let entry = self.entry(index);
            let state = entry.state();
            if state.kind == Kind::Free {
                continue;
            }
            // What the head has not passed was never taken.
            if entry.number() >= taken {
                entry.set(State::FREE);
                continue;
            }
            all += 1;
            self.add_used(entry);
            if state.is_held() && state.is_nobodys() {
                books.moves.fetch_add(1, Ordering::Relaxed);
            } else if state.is_held() {
                self.map().count(state.slot()).fetch_add(1, Ordering::Relaxed);
                let beyond = u32::try_from(state.slot() + 1).unwrap_or(u32::MAX);
                books.holders.fetch_max(beyond, Ordering::Relaxed);
            } else {
                ready += 1;
                self.heap_push(index);
            }
        }
        self.list_all_free();
        let version = self.ledger().0.wrapping_add(1);
        books.ledger.store(Ledger::new(taken.wrapping_sub(all), ready, version).0, Ordering::SeqCst);
        self.release_entries(self.entries(), super::layout::MAX_ENTRIES);
        self.sweep_pool();
        books.look_at.store(0, Ordering::Relaxed);
        self.deliveries.settled().wake_all();
    }
}

#[cold]
fn no_slot(error: JoinError) -> Stuck {
    Stuck::NoRoom(match error {
        JoinError::System(source) => source,
        JoinError::NoSlot { .. } => nix::errno::Errno::EUSERS.into(),
    })
}
