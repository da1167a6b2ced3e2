//! Who this process is in a queue: a participant while a call sleeps, a producer while a handle says so.

use std::sync::atomic::{AtomicU64, Ordering};

use super::failure::Failure;
use super::fork_lock::{ForkGuard, ForkLock};
use super::participants::{Participants, Side, Table, Waiting};
use super::process;

/// This process among a queue's participants. Every call is given the same [`Table`].
#[derive(Debug, Default)]
pub struct Presence {
    participants: Participants,
    /// The epoch of the process, and how many of its handles are registered as producers.
    handles: ForkLock<(u64, usize)>,
}

impl Presence {
    /// The handles that are registered; none right after a fork.
    fn handles(&self) -> ForkGuard<'_, (u64, usize)> {
        let mut handles = self.handles.lock();
        if handles.0 != process::epoch() {
            *handles = (process::epoch(), 0);
        }
        handles
    }

    /// Gives up every role: what the last handle of a process does.
    pub fn leave(&self, table: Table<'_>) {
        self.participants.leave(table);
    }

    /// Counts one more handle of this process as a producer, and registers the process with the first. `of_handle`
    /// says which process the handle is counted in: who reads there that it is finds the process registered.
    ///
    /// # Errors
    /// When the queue has no room for one more participant.
    pub fn add_producer(&self, of_handle: &AtomicU64, table: Table<'_>) -> Result<(), Failure> {
        let mut handles = self.handles();
        if of_handle.load(Ordering::Relaxed) == process::epoch() {
            return Ok(());
        }
        self.participants.set_producer(table).map_err(Failure::from)?;
        handles.1 += 1;
        of_handle.store(process::epoch(), Ordering::Relaxed);
        Ok(())
    }

    /// Counts one handle less; returns whether it was the last one that was a producer.
    pub fn drop_producer(&self, of_handle: &AtomicU64, table: Table<'_>) -> bool {
        let mut handles = self.handles();
        if of_handle.swap(0, Ordering::Relaxed) != process::epoch() {
            return false;
        }
        handles.1 = handles.1.saturating_sub(1);
        let last = handles.1 == 0;
        if last {
            self.participants.clear_producer(table);
        }
        last
    }

    /// Whether this process was registered as a producer before it began to run, and no handle stands for that
    /// yet.
    pub fn is_registered_by_parent(&self, table: Table<'_>) -> bool {
        let joined = self.participants.join(table).is_ok();
        // Both at one instant: the last handle that is a producer may be going.
        let handles = self.handles();
        joined && handles.1 == 0 && self.participants.is_producer()
    }

    /// Counts a call that is about to sleep, for people to see. Where all slots are taken it goes uncounted.
    pub fn count_waiter<'a>(&self, side: Side, table: Table<'a>) -> Option<Waiting<'a>> {
        match side {
            Side::Put => self.participants.waiting_put(table).ok(),
            Side::Get => self.participants.waiting_get(table).ok(),
        }
    }
}
