//! Chunks that are neighbours, for what must lie in one piece: a message that is built and read in place.
//!
//! They are taken from the spare ones where some of the first are neighbours, as those are that were given back together,
//! and from the end of the file otherwise. Only when no number is left there are the spare ones put in order.

use std::sync::atomic::Ordering;

use ipcq_core::os::refusal::Stuck;

use super::{Chunks, Spare};
use crate::position::{CHUNK, MAX_CHUNKS};

/// How many spare chunks are looked at.
const LOOKS: u32 = 256;

/// Neighbours in the list of spare chunks.
struct Run {
    /// The one that leads to them, unless they are the first.
    before: Option<u32>,
    first: u32,
}

impl Chunks<'_> {
    /// Takes `count` neighbours, which is not 0, and reserves their memory; returns the first, or nothing if there are
    /// no numbers left for them. Whoever dies before it has noted what it has leaves loose chunks.
    pub(crate) fn obtain_run(&self, count: u32) -> Result<Option<u32>, Stuck> {
        if let Some(run) = self.find_spare_run(count, LOOKS) {
            return self.take_spare_run(&run, count).map(Some);
        }
        let chunks = self.side().chunks.load(Ordering::Relaxed).min(MAX_CHUNKS);
        if count > self.map.limit().saturating_sub(chunks) {
            return self.obtain_in_order(count);
        }
        self.reserve_links(chunks, count)?;
        self.storage.reserve(self.map.place(chunks), count as usize * CHUNK)?;
        self.side().chunks.store(chunks + count, Ordering::Release);
        Ok(Some(chunks))
    }

    /// The same when no number is left at the end, of the spare chunks when they are in order.
    #[cold]
    fn obtain_in_order(&self, count: u32) -> Result<Option<u32>, Stuck> {
        let no_run = &self.map.header().loans.0.no_run;
        if (1..=count).contains(&no_run.load(Ordering::Relaxed)) {
            return Ok(None);
        }
        self.sweep();
        while self.tidy() {}
        if let Some(run) = self.find_spare_run(count, MAX_CHUNKS) {
            return self.take_spare_run(&run, count).map(Some);
        }
        no_run.store(count, Ordering::Relaxed);
        Ok(None)
    }

    /// Gives back `count` neighbours from `first` on, which are in use by nobody, and their memory.
    pub(crate) fn give_run(&self, first: u32, count: u32) {
        self.storage.release(self.map.place(first), count as usize * CHUNK);
        let spare = Spare(self.side().spare.load(Ordering::Relaxed));
        let last = first + count - 1;
        for chunk in first..last {
            self.map.link(chunk).store(chunk + 1, Ordering::Relaxed);
        }
        self.map.link(last).store(spare.first(), Ordering::Relaxed);
        self.side().spare.store(Spare::new(first, spare.count() + count).0, Ordering::Release);
        self.map.header().loans.0.no_run.store(0, Ordering::Relaxed);
    }

    /// Looks at up to `looks` spare chunks for neighbours. While dead putters' memory is not given back, the list may only
    /// be changed at its front (see [`tidy`](Self::tidy)), and none are looked for.
    fn find_spare_run(&self, count: u32, looks: u32) -> Option<Run> {
        if self.are_untidy() {
            return None;
        }
        let spare = Spare(self.side().spare.load(Ordering::Relaxed));
        let (mut run, mut len) = (Run { before: None, first: spare.first() }, 0);
        let (mut before, mut chunk) = (None, spare.first());
        for _ in 0..spare.count().min(looks) {
            if chunk != run.first.wrapping_add(len) {
                (run, len) = (Run { before, first: chunk }, 0);
            }
            len += 1;
            if len == count {
                return Some(run);
            }
            (before, chunk) = (Some(chunk), self.next(chunk));
        }
        None
    }

    /// Takes a run out of the list.
    fn take_spare_run(&self, run: &Run, count: u32) -> Result<u32, Stuck> {
        self.map.units(run.first, count, self.storage)?;
        self.storage.reserve(self.map.place(run.first), count as usize * CHUNK)?;
        let spare = Spare(self.side().spare.load(Ordering::Relaxed));
        let behind = self.next(run.first + count - 1);
        let first = match run.before {
            None => behind,
            Some(before) => {
                self.map.link(before).store(behind, Ordering::Relaxed);
                spare.first()
            }
        };
        self.side().spare.store(Spare::new(first, spare.count() - count).0, Ordering::Release);
        Ok(run.first)
    }
}
