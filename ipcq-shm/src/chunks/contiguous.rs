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

#[cfg(test)]
mod tests {
    use ipcq_core::os::reaper::Reclaim as _;
    use ipcq_core::os::two_lock::TwoLock;
    use ipcq_core::{Identity, QueueOptions, Wait};

    use super::*;
    use crate::chunks::KEEP;
    use crate::layout::CHUNKS_AT;
    use crate::segment::Segment;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn segment() -> Result<std::sync::Arc<Segment>, Box<dyn std::error::Error>> {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile_in("/dev/shm")?.into(), identity)?;
        segment.reaper().suppress();
        Ok(segment)
    }

    /// Fills `count` neighbours, and returns the first.
    fn obtain(segment: &Segment, count: u32) -> Result<u32, Box<dyn std::error::Error>> {
        let ring = segment.ring();
        let first = ring.chunks().obtain_run(count).ok().flatten().ok_or("no neighbours")?;
        let memory = ring.map.units(first, count, ring.storage).map_err(|_| "outside")?;
        // SAFETY: the chunks were just found to be inside the file, and are in use by nobody else.
        unsafe { memory.write_bytes(7, count as usize * CHUNK) };
        Ok(first)
    }

    fn is_whole(segment: &Segment, first: u32, count: u32) -> bool {
        let ring = segment.ring();
        let Ok(memory) = ring.map.units(first, count, ring.storage) else { return false };
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(memory.as_ptr(), count as usize * CHUNK) };
        bytes.iter().all(|byte| *byte == 7)
    }

    /// The memory of spare chunks is given back in steps after a death, and what is taken meanwhile must not be among it.
    #[test]
    fn what_is_taken_while_memory_is_given_back_stays_whole() -> Tested {
        let segment = segment()?;
        let chunks = segment.ring().chunks();
        for _ in 0..7 {
            segment.put(&[&vec![7; 1 << 20]], Wait::No)?;
        }
        // As a putter leaves it that dies after it has reserved memory.
        let in_file = chunks.map.units_in(chunks.storage)?;
        chunks.storage.reserve(CHUNKS_AT + in_file as usize * CHUNK, 100 * CHUNK)?;
        chunks.sweep();
        let mut message = Vec::new();
        for _ in 0..7 {
            segment.get(&mut message, Wait::No)?;
        }
        while chunks.trim(KEEP) {}
        segment.put(&[b"between"], Wait::No)?;
        // What was trimmed is in pieces of 64, so these are found among the others if they are looked for.
        let first = obtain(&segment, 80)?;
        while chunks.tidy() {}
        assert!(is_whole(&segment, first, 80));
        segment.get(&mut message, Wait::No)?;
        assert_eq!(message, b"between");
        Ok(())
    }

    #[test]
    fn what_is_given_back_serves_again_in_one_piece() -> Tested {
        let segment = segment()?;
        let chunks = segment.ring().chunks();
        let before = segment.storage().bytes()?;
        let (one, two) = (obtain(&segment, 30)?, obtain(&segment, 50)?);
        assert!(is_whole(&segment, one, 30) && is_whole(&segment, two, 50));
        chunks.give_run(one, 30);
        chunks.give_run(two, 50);
        assert_eq!(segment.storage().bytes()?, before);
        // Twice from the front, then from behind what is left there, and at last from the end of the file.
        assert_eq!(obtain(&segment, 20)?, two);
        assert_eq!(obtain(&segment, 25)?, two + 20);
        assert_eq!(obtain(&segment, 30)?, one);
        assert_eq!(obtain(&segment, 15)?, two + 50);
        Ok(())
    }
}
