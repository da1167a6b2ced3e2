//! Giving memory back, and repairing what the dead left: never on the way of a message.
//!
//! What the pool has beyond [`KEEP`] free blocks is given back by whoever comes by with nothing better to do: a call
//! that sleeps, once a slice; whoever opens or closes a handle, or asks for statistics. A process that takes messages
//! and then does something else has a thread for it, which is started when a getter frees memory in a queue that has
//! much, and ends as soon as there is nothing to give back.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ipcq_core::os::process;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::TwoSided;

use crate::conduit::Conduit;
use crate::pool::{KEEP, Live};
use crate::wait::Side;

/// How long memory must have been of no use before it is given back.
const IDLE: Duration = Duration::from_millis(250);

/// A pause between two steps. Who waits for the lock needs this long to wake, and would never get it from a thread
/// that takes it again at once.
const GIVE_WAY: Duration = Duration::from_micros(100);

/// Whether this process has a thread that gives memory back.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    /// The epoch of the process whose thread runs; 0 for none.
    running: AtomicU64,
}

impl Conduit {
    /// Repairs what the dead left, and gives back what memory is free beyond [`KEEP`], for as long as the caller
    /// wants to `go_on`. Never waits for another participant.
    pub(crate) fn upkeep(&self, go_on: impl Fn() -> bool) {
        self.is_removed();
        self.settle_orphans();
        while self.has_much() && self.trim(KEEP) == Some(true) && go_on() {
            thread::sleep(GIVE_WAY);
        }
    }

    /// Gives back free memory beyond `keep` blocks: whether there may be more, or nothing if a putter is at work.
    fn trim(&self, keep: u32) -> Option<bool> {
        let guard = self.lock_of(Side::Put).try_lock().ok()?;
        let flow = self.flow();
        if guard.is_recovered() {
            flow.recover_tail().ok()?;
        }
        // The head first: what is taken meanwhile counts as in use, and is free the next time.
        let head = flow.head();
        Some(flow.pool().trim(keep, Live { head, tail: flow.tail().count() }))
    }

    fn has_much(&self) -> bool {
        self.flow().pool().has_much(self.flow().head())
    }

    /// To be called when a message was taken that did not fit into its record, or a dead putter's memory was found.
    #[cold]
    pub(crate) fn start_reaper_if_useful(&self) {
        if self.reaper.running.load(Ordering::Relaxed) != process::epoch() && self.has_much() {
            self.start_reaper();
        }
    }

    fn start_reaper(&self) {
        let epoch = process::epoch();
        if self.reaper.running.swap(epoch, Ordering::AcqRel) == epoch {
            return;
        }
        let conduit = self.weak();
        let started = thread::Builder::new().name("ipcq-memory".to_owned()).spawn(move || reap(&conduit));
        if started.is_err() {
            // Others come by as well.
            self.reaper.running.store(0, Ordering::Release);
        }
    }

    fn given(&self) -> u64 {
        self.header().put.0.given.load(Ordering::Relaxed)
    }
}

/// Gives memory back until there is nothing more to give. Blocks that were given out within [`IDLE`] are of use.
fn reap(conduit: &Weak<Conduit>) {
    let Some(mut before) = conduit.upgrade().map(|conduit| conduit.given()) else { return };
    loop {
        thread::sleep(IDLE);
        let Some(conduit) = conduit.upgrade() else { return };
        let now = conduit.given();
        let traffic = u32::try_from(now.wrapping_sub(before)).unwrap_or(u32::MAX);
        before = now;
        let keep = traffic.max(KEEP);
        let mut more = conduit.trim(keep);
        while more == Some(true) {
            thread::sleep(GIVE_WAY);
            more = conduit.trim(keep);
        }
        if keep == KEEP && more == Some(false) {
            conduit.reaper.running.store(0, Ordering::SeqCst);
            // Who freed some meanwhile found the thread running and relied on it.
            if !conduit.has_much() || conduit.reaper.running.swap(process::epoch(), Ordering::SeqCst) != 0 {
                return;
            }
        }
    }
}
