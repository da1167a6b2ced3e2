//! How a queue ends: by words that change once, and by waking everyone. Nothing here names a thread, so that it works
//! from other process namespaces, too, and for queues that this program cannot open any more.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use ipcq_core::OpenError;
use ipcq_core::os::fixed::Fixed;

use crate::conduit::{Conduit, FORMAT};
use crate::layout::{CLOSED, Header, REMOVED};

impl Header {
    /// Closes the queue, lets nobody take what is in it, and wakes everyone; returns whether nobody had done so
    /// before.
    pub(crate) fn mark_removed(&self) -> bool {
        let first = self.get.0.removed.swap(1, Ordering::SeqCst) == 0;
        self.end(CLOSED | REMOVED);
        first
    }

    /// Sets `flags`, after which nothing is put, and wakes everyone.
    pub(crate) fn end(&self, flags: u64) {
        self.tail.0.fetch_or(flags, Ordering::SeqCst); // T2
        self.wake_everyone();
    }

    /// Wakes all who sleep.
    pub(crate) fn wake_everyone(&self) {
        self.not_empty.0.wake_all();
        self.not_full.0.wake_all();
    }
}

impl Conduit {
    /// Ends the queue in `file`, which this process could not open, for those who can use it; returns whether it
    /// was the first to do so.
    ///
    /// # Errors
    /// When it is no queue, one of another layout, or has no memory.
    pub(crate) fn end_unopened(file: OwnedFd, label: &str) -> Result<bool, OpenError> {
        let (_storage, map) = Self::map(file, label)?;
        Fixed::check_layout(&map.header().fixed, &FORMAT, label)?;
        Ok(map.header().mark_removed())
    }
}
