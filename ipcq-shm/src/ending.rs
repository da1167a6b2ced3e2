//! How a queue ends: by words that change once, and by waking everyone. Nothing here names a thread, so that it works
//! from other process namespaces, too, and for queues that this program cannot open any more.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use ipcq_core::OpenError;

use crate::layout::Header;
use crate::position::{CLOSED, REMOVED};
use crate::segment::{FORMAT, Segment};
use ipcq_core::os::fixed::Fixed;

impl Header {
    /// Closes the queue, lets nobody take what is in it, and wakes everyone; returns whether nobody had done so
    /// before, which is true for one of all who ever do.
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

impl Segment {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use ipcq_core::{Identity, QueueOptions};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const REMOVERS: usize = 2;
    const ROUNDS: usize = 20_000;

    #[test]
    fn of_all_who_end_a_queue_at_once_one_is_the_first() -> Tested {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile()?.into(), identity)?;
        let (arrived, firsts) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // They pass each gate together, without sleeping, so that they meet.
        let meet = |times: usize| {
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < times * REMOVERS {
                thread::yield_now();
            }
        };
        // One of them comes a little later, by a different time in each round.
        let remove = &|late: usize| {
            for round in 0..ROUNDS {
                meet(2 * round + 1);
                (0..late * (round % 64)).for_each(|_| std::hint::black_box(()));
                firsts.fetch_add(usize::from(segment.mark_removed()), Ordering::SeqCst);
                meet(2 * round + 2);
                segment.header().get.0.removed.store(0, Ordering::SeqCst);
            }
        };
        thread::scope(|scope| (0..REMOVERS).for_each(|late| drop(scope.spawn(move || remove(late)))));
        assert_eq!(firsts.load(Ordering::SeqCst), ROUNDS);
        Ok(())
    }
}
