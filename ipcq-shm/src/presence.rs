//! Who this process is in a queue: a participant while a call sleeps, a producer while a handle says so.

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
    /// Counts one more handle of this process as a producer, and registers the process with the first.
    pub(crate) fn add_producer(&self) -> Result<(), BackendError> {
        self.close_if_abandoned();
        let mut handles = self.presence.handles();
        let registered = self.presence.participants.set_producer(self.table());
        registered.map_err(|error| Failure::from(error).into_backend(self.identity()))?;
        handles.1 += 1;
        Ok(())
    }

    /// Counts one handle less, and closes the queue when nobody is left.
    pub(crate) fn drop_producer(&self) {
        let mut handles = self.presence.handles();
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
        joined && self.presence.participants.is_producer() && self.presence.handles().1 == 0
    }

    /// Closes a queue whose producers have all left, if it was made to; returns whether it did so now.
    pub(crate) fn close_if_abandoned(&self) -> bool {
        if !self.identity().auto_close || self.tail().is_closed() {
            return false;
        }
        let abandoned = matches!(self.table().producers(), Ok(Producers::AllLeft));
        if abandoned {
            self.close();
        }
        abandoned
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
