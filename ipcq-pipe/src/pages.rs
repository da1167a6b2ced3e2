//! Writing many records at once without wasting the pages of the pipe.
//!
//! A pipe holds so many pages, not bytes. The kernel adds a write to the last page only if what the write has beyond
//! whole pages fits there; else it begins a new one, and the rest of the last page stays empty until it is read. A
//! single record wastes nothing: it fits as long as there is room for any. So that a batch wastes nothing either,
//! it is cut where pages end, for which putters keep how far the last page is filled.
//!
//! That is uncertain when getters may have emptied the pipe meanwhile, for then the next record begins a page of its
//! own. Getters give up what they read [`PORTION`] messages later at most, so a pipe whose
//! counts are further apart has not been empty. Where it is uncertain, a write of whole pages makes it certain again
//! and wastes one page at most; those wasted are counted until they have been read, and when as many are as the
//! pipe can spare, records are written one by one.

use std::sync::atomic::Ordering;

use crate::flow::Flow;
use crate::kernel::PAGE;
use crate::layout::PutSide;
use ipcq_core::os::refusal::Stuck;
use ipcq_core::os::two_lock::PORTION;

/// It is not known how far the last page is filled.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// The next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    records: usize,
    /// The records in the last page before.
    fill: Option<usize>,
}

impl Flow<'_> {
    /// Writes `records` (whole ones, of messages from number `first` on) into the pipe; returns how many went in
    /// before something prevented the others.
    pub(crate) fn write_many(&self, records: &[u8], first: u64) -> (usize, Result<(), Stuck>) {
        let total = records.len() / self.record;
        let mut done = 0;
        while done < total {
            let step = self.next_step(total - done, first + done as u64);
            let bytes =
                records.get(done * self.record..(done + step.records) * self.record).unwrap_or_default();
            let written = match self.write(bytes) {
                Ok(written) => written,
                Err(stuck) => return (done, Err(stuck)),
            };
            self.note(step, written, first + done as u64);
            done += written;
        }
        (done, Ok(()))
    }

    /// How many of `left` records to write at once, of messages from `number` on.
    fn next_step(&self, left: usize, number: u64) -> Step {
        let side = self.side();
        let per_page = PAGE / self.record;
        let head = self.head();
        let ahead = number.wrapping_sub(head);
        let stored = side.fill.load(Ordering::Relaxed) as usize;
        let fill = match ahead {
            0 => Some(0),
            ahead if ahead > PORTION as u64 && stored < per_page => Some(stored),
            _ => None,
        };
        let waste_is_read = head >= side.waste_end.load(Ordering::Relaxed);
        if waste_is_read {
            side.waste.store(0, Ordering::Relaxed);
        }
        let may_waste = side.waste.load(Ordering::Relaxed) < self.spare_pages;
        // Putters, of whom this is the only one now, make it no emptier.
        let is_empty = || fill.is_none() && !may_waste && self.pipe.len() == Ok(0);
        let fill = if is_empty() { Some(0) } else { fill };
        let records = match fill {
            Some(0) => left,
            Some(fill) => left.min(per_page - fill),
            None if !may_waste => 1,
            None if left >= per_page => left - left % per_page,
            None => left,
        };
        Step { records, fill }
    }

    /// Keeps what is known after `written` records of a step that began with message `number`.
    fn note(&self, step: Step, written: usize, number: u64) {
        let side = self.side();
        let per_page = PAGE / self.record;
        let was_never_empty = || number.wrapping_sub(self.head()) > PORTION as u64;
        let fill = match step.fill {
            _ if written != step.records => None,
            Some(0) => Some(written % per_page),
            Some(fill) => was_never_empty().then_some((fill + written) % per_page),
            None => written.is_multiple_of(per_page).then_some(0),
        };
        if step.fill.is_none() && step.records > 1 {
            side.waste.fetch_add(1, Ordering::Relaxed);
            side.waste_end.store(number, Ordering::Relaxed);
        }
        let fill = fill.map_or(UNKNOWN, |fill| u32::try_from(fill).unwrap_or(UNKNOWN));
        side.fill.store(fill, Ordering::Relaxed);
    }
}

impl PutSide {
    /// A record was written by itself: where it went is not known.
    #[inline]
    pub(crate) fn wrote_one(&self) {
        self.fill.store(UNKNOWN, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use ipcq_core::os::shared_queue::SharedQueue;
    use ipcq_core::os::two_lock::TwoLock;
    use ipcq_core::os::waiting::TwoSided;
    use ipcq_core::{Batch, Identity, Limit, QueueOptions, Wait};

    use crate::conduit::Conduit;
    use crate::kernel::{PAGE, Pipe};
    use crate::record::{LARGE, SMALL};
    use crate::size::{Settled, messages_in};
    use crate::wait::Side;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// Record sizes, and how many pages a pipe of eight has to spare.
    const KINDS: [(usize, usize); 4] = [(SMALL, 0), (LARGE, 0), (SMALL, 2), (LARGE, 2)];

    /// A queue whose pipe has so many pages to spare.
    fn conduit(record: usize, spare: usize) -> Result<Arc<Conduit>, Box<dyn std::error::Error>> {
        let pipe = Pipe::unnamed()?;
        pipe.set_size(8 * PAGE)?;
        let capacity = messages_in(8 - spare, record);
        let identity = Identity::new(crate::NAME, None, 1, capacity, &QueueOptions::new());
        let file = tempfile::tempfile_in("/dev/shm")?.into();
        Ok(Conduit::create(file, pipe, Settled { record, capacity }, identity)?)
    }

    fn batch(messages: usize) -> Batch {
        let mut batch = Batch::new();
        (0..messages).for_each(|_| batch.push(b"message"));
        batch
    }

    /// A small generator of numbers that look random (xorshift).
    fn random(state: &mut usize, below: usize) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % below
    }

    /// Puts and takes some, one by one and in batches, and fills the queue to the last place.
    #[test]
    fn batches_waste_no_page_that_the_capacity_needs() -> Tested {
        for (record, spare) in KINDS {
            let conduit = conduit(record, spare)?;
            let capacity = conduit.identity().capacity;
            let mut state = 7;
            for _ in 0..2000 {
                let some = random(&mut state, 90);
                match random(&mut state, 4) {
                    0 => drop(conduit.put_many(&batch(some), 0, Wait::No)),
                    1 => drop(conduit.put(&[b"message"], Wait::No)),
                    2 => drop(conduit.get_many(&mut Batch::new(), Limit::messages(some), Wait::No)),
                    _ => {
                        let room = capacity - conduit.message_count()?;
                        let (done, outcome) = conduit.put_many(&batch(room), 0, Wait::No);
                        assert!(done == room && outcome.is_ok(), "{done} of {room}: {outcome:?}");
                        assert!(!conduit.can_go_on(Side::Put));
                    }
                }
            }
        }
        Ok(())
    }

    /// The same while a getter empties it now and then.
    #[test]
    fn nor_do_they_while_somebody_takes() -> Tested {
        for (record, spare) in KINDS {
            let conduit = conduit(record, spare)?;
            let done = AtomicBool::new(false);
            thread::scope(|scope| -> Tested {
                let getter = scope.spawn(|| {
                    let mut state = 9;
                    while !done.load(Ordering::Relaxed) || conduit.can_go_on(Side::Get) {
                        let limit = Limit::messages(1 + random(&mut state, 100));
                        drop(conduit.get_many(&mut Batch::new(), limit, Wait::No));
                    }
                });
                let mut state = 11;
                for _ in 0..2000 {
                    let some = 1 + random(&mut state, 100);
                    let (put, outcome) = conduit.put_many(&batch(some), 0, Wait::Forever);
                    assert!(put == some && outcome.is_ok(), "{put} of {some}: {outcome:?}");
                }
                done.store(true, Ordering::Relaxed);
                getter.join().map_err(|_| "the getter failed".into())
            })?;
        }
        Ok(())
    }
}
