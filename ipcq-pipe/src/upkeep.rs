//! Giving memory back, and repairing what the dead left: never on the way of a message. A queue keeps [`KEEP`] free
//! blocks; who gives back what is beyond them is said in [`reaper`](ipcq_core::os::reaper).

use std::sync::atomic::Ordering;
use std::thread;

use ipcq_core::os::deliveries::Acknowledging;
use ipcq_core::os::ends::Ends;
use ipcq_core::os::reaper::{GIVE_WAY, Reaper, Reclaim};
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::trace::Death;

use crate::conduit::Conduit;
use crate::pool::{KEEP, Live, WARM};
use crate::wait::Side;

impl Conduit {
    /// Repairs what the dead left, and gives back what memory is free beyond [`KEEP`], for as long as the caller
    /// wants to `go_on`. Never waits for another participant.
    pub(crate) fn tidy_up(&self, go_on: &dyn Fn() -> bool) {
        self.header().is_removed();
        self.settle_orphans();
        while self.has_much() && self.trim(KEEP) == Some(true) && go_on() {
            thread::sleep(GIVE_WAY);
        }
    }

    /// One step of that. Leaves up to [`WARM`] blocks to the next message: who asks time and again comes by before it is
    /// there, and would take from it each time what it needs.
    pub(crate) fn tidy_up_in_passing(&self) {
        self.header().is_removed();
        self.settle_orphans();
        if self.flow().pool().has_more_than(WARM) {
            self.trim(WARM);
        }
    }

    /// To be called when a message was taken that did not fit into its record, or a dead putter's memory was found.
    #[cold]
    pub(crate) fn start_reaper_if_useful(&self) {
        self.reaper().start_if_useful(self);
    }
}

impl Reclaim for Conduit {
    const KEEP: u32 = KEEP;

    fn reaper(&self) -> &Reaper<Self> {
        &self.body().reaper
    }

    fn has_much(&self) -> bool {
        self.flow().pool().has_much(self.flow().head()) || self.deliveries_have_much()
    }

    fn trim(&self, keep: u32) -> Option<bool> {
        let guard = self.header().put.0.lock.try_lock().ok()?;
        let flow = self.flow();
        if guard.is_recovered() {
            self.recover(Side::Put).ok()?;
        }
        // The head first: what is taken meanwhile counts as in use, and is free the next time.
        let head = flow.head();
        let more = flow.pool().trim(keep, Live { head, tail: flow.tail().count() });
        let death = Death::seen_by(&guard);
        drop(guard);
        death.tell(&self.body().identity, Side::Put);
        Some(self.trim_deliveries() || more)
    }

    /// How many blocks were ever given out.
    fn traffic(&self) -> u64 {
        self.header().put.0.given.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::mem::forget;
    use std::sync::Arc;
    use std::thread;

    use ipcq_core::{Capacity, Identity, QueueOptions, Wait};

    use super::*;
    use crate::kernel::Pipe;
    use crate::record::Extents;
    use crate::size;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const LONG: usize = 3 << 20;
    /// More than what is kept, and less than a long message.
    const LITTLE: u64 = 128 << 10;

    /// A queue with one short message, behind much memory that was given back.
    fn conduit() -> Result<Arc<Conduit>, Box<dyn std::error::Error>> {
        let pipe = Pipe::unnamed()?;
        let settled = size::settle(&pipe, 8, Capacity::Exactly(8))?;
        let identity = Identity::new(crate::NAME, None, 1, 8, &QueueOptions::new());
        let file = tempfile::tempfile_in("/dev/shm")?.into();
        let conduit = Conduit::create(file, pipe, settled, identity)?;
        // No thread shall give back anything here.
        conduit.reaper().suppress();
        let empty = conduit.bytes()?;
        for len in [LONG, 5000] {
            conduit.put(&[&vec![7; len]], Wait::No)?;
        }
        conduit.get(&mut Vec::new(), Wait::No)?;
        conduit.upkeep(&|| true);
        let bytes = conduit.bytes()?;
        assert!(bytes < empty + LITTLE, "{bytes} bytes after {empty}");
        Ok(conduit)
    }

    /// As a putter leaves it that is killed before its message has the memory that it reserved.
    #[test]
    fn memory_that_a_dead_putter_reserved_between_messages_is_given_back() -> Tested {
        let conduit = conduit()?;
        let before = conduit.bytes()?;
        let reserve = || {
            forget(conduit.header().put.0.lock.try_lock());
            let (flow, mut extents) = (conduit.flow(), Extents::default());
            let live = Live { head: flow.head(), tail: flow.tail().count() };
            let blocks = u32::try_from(LONG / 2 / 1024).expect("some blocks");
            assert_eq!(flow.pool().find(blocks, live, 7, &mut extents), blocks);
            flow.pool().warm(&extents).expect("there is room");
        };
        thread::scope(|scope| scope.spawn(reserve).join()).expect("a thread that ends by itself");
        assert!(conduit.bytes()? > before + (LONG / 4) as u64);
        conduit.upkeep(&|| true);
        let after = conduit.bytes()?;
        assert!(after < before + LITTLE, "{after} bytes, {before} before");
        Ok(())
    }

    /// What one message at a time needs stays warm; what is more than an empty queue may use is given back at once.
    #[test]
    fn who_asks_time_and_again_leaves_little_memory_alone() -> Tested {
        let conduit = conduit()?;
        conduit.get(&mut Vec::new(), Wait::No)?;
        let empty = conduit.bytes()?;
        let mut taken = Vec::new();
        for len in [64 << 10, 900 << 10] {
            conduit.put(&[&vec![7; len]], Wait::No)?;
            conduit.get(&mut taken, Wait::No)?;
            conduit.get(&mut taken, Wait::No).expect_err("it is empty");
            assert!(conduit.bytes()? >= empty + len as u64 - LITTLE, "{len}");
        }
        conduit.put(&[&vec![7; LONG]], Wait::No)?;
        conduit.get(&mut taken, Wait::No)?;
        conduit.get(&mut taken, Wait::No).expect_err("it is empty");
        assert!(conduit.bytes()? <= empty + (1 << 20));
        Ok(())
    }

    #[test]
    fn memory_that_was_given_back_is_had_again() -> Tested {
        let conduit = conduit()?;
        let message: Vec<u8> = (0..LONG / 2).map(|at| at.to_le_bytes()[0]).collect();
        for _ in 0..3 {
            conduit.put(&[&message], Wait::No)?;
        }
        let mut taken = Vec::new();
        conduit.get(&mut taken, Wait::No)?;
        for _ in 0..3 {
            conduit.get(&mut taken, Wait::No)?;
            assert!(taken == message);
        }
        Ok(())
    }
}
