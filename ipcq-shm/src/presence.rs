//! Who this process is in a queue: a participant while a call sleeps, a producer while a handle says so.

use std::sync::atomic::{AtomicU64, Ordering};

use ipcq_core::BackendError;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::fork_lock::{ForkGuard, ForkLock};
use ipcq_core::os::participants::{Participants, Producers, Table, Waiting};
use ipcq_core::os::process;

use crate::segment::Segment;
use crate::wait::Side;

/// This process among a queue's participants.
#[derive(Debug, Default)]
pub(crate) struct Presence {
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

    pub(crate) fn leave(&self, table: Table<'_>) {
        self.participants.leave(table);
    }
}

impl Segment {
    /// Counts one more handle of this process as a producer, and registers the process with the first. `of_handle`
    /// says which process the handle is counted in: who reads there that it is finds the process registered.
    pub(crate) fn add_producer(&self, of_handle: &AtomicU64) -> Result<(), BackendError> {
        self.close_if_abandoned();
        let mut handles = self.presence.handles();
        if of_handle.load(Ordering::Relaxed) == process::epoch() {
            return Ok(());
        }
        let registered = self.presence.participants.set_producer(self.table());
        registered.map_err(|error| Failure::from(error).into_backend(self.identity()))?;
        handles.1 += 1;
        of_handle.store(process::epoch(), Ordering::Relaxed);
        Ok(())
    }

    /// Counts one handle less, and closes the queue when nobody is left.
    pub(crate) fn drop_producer(&self, of_handle: &AtomicU64) {
        let mut handles = self.presence.handles();
        if of_handle.swap(0, Ordering::Relaxed) != process::epoch() {
            return;
        }
        handles.1 = handles.1.saturating_sub(1);
        if handles.1 == 0 {
            self.presence.participants.clear_producer(self.table());
            drop(handles);
            self.close_if_abandoned();
        }
    }

    /// Whether this process was registered as a producer before it began to run, and no handle stands for that
    /// yet.
    pub(crate) fn is_registered_by_parent(&self) -> bool {
        let joined = self.identity().auto_close && self.presence.participants.join(self.table()).is_ok();
        // Both at one instant: the last handle that is a producer may be going.
        let handles = self.presence.handles();
        joined && handles.1 == 0 && self.presence.participants.is_producer()
    }

    /// Closes a queue whose producers have all left, if it was made to; returns whether it did so now.
    pub(crate) fn close_if_abandoned(&self) -> bool {
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

    /// Counts a call that is about to sleep, for people to see. Where all slots are taken it goes uncounted.
    pub(crate) fn count_waiter(&self, side: Side) -> Option<Waiting<'_>> {
        let participants = &self.presence.participants;
        match side {
            Side::Put => participants.waiting_put(self.table()).ok(),
            Side::Get => participants.waiting_get(self.table()).ok(),
        }
    }
}
