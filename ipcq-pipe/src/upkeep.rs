//! Giving memory back, and repairing what the dead left: never on the way of a message. A queue keeps [`KEEP`] free
//! blocks; who gives back what is beyond them is said in [`reaper`](ipcq_core::os::reaper).

use std::sync::atomic::Ordering;
use std::thread;

use ipcq_core::os::ends::Ends;
use ipcq_core::os::reaper::{GIVE_WAY, Reaper, Reclaim};
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::two_lock::TwoLock;

use crate::conduit::Conduit;
use crate::pool::{KEEP, Live};

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
        self.flow().pool().has_much(self.flow().head())
    }

    fn trim(&self, keep: u32) -> Option<bool> {
        let guard = self.header().put.0.lock.try_lock().ok()?;
        let flow = self.flow();
        if guard.is_recovered() {
            flow.recover_tail().ok()?;
        }
        // The head first: what is taken meanwhile counts as in use, and is free the next time.
        let head = flow.head();
        Some(flow.pool().trim(keep, Live { head, tail: flow.tail().count() }))
    }

    /// How many blocks were ever given out.
    fn traffic(&self) -> u64 {
        self.header().put.0.given.load(Ordering::Relaxed)
    }
}
