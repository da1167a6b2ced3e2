//! Giving memory back, and repairing what the dead left: never on the way of a message. A queue keeps [`KEEP`] free
//! chunks; who gives back what is beyond them is said in [`reaper`](ipcq_core::os::reaper).

use std::sync::atomic::Ordering;
use std::thread;

use ipcq_core::os::deliveries::Acknowledging;
use ipcq_core::os::ends::Ends;
use ipcq_core::os::reaper::{GIVE_WAY, Reaper, Reclaim};
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::trace::Death;

use crate::chunks::{KEEP, TRIM_STEP};
use crate::position::MAX_CHUNKS;
use crate::segment::Segment;
use crate::wait::Side;

/// More steps than the largest queue needs, so that nobody who writes there makes a caller go on for ever.
const MOST_STEPS: u32 = 2 * MAX_CHUNKS / TRIM_STEP;

impl Segment {
    /// Repairs what a dead putter or remover left, and gives back the free chunks beyond [`KEEP`], for as long as the caller
    /// wants to `go_on`: a gigabyte takes 0.2 s. Never waits for another participant.
    pub(crate) fn tidy_up(&self, go_on: &dyn Fn() -> bool) {
        self.header().is_removed();
        self.look_after_deliveries();
        if self.header().put.0.lock.is_orphaned() || self.has_much() {
            for _ in 0..MOST_STEPS {
                if self.trim(KEEP) != Some(true) || !go_on() {
                    break;
                }
                thread::sleep(GIVE_WAY);
            }
        }
    }

    /// How many chunks the ring has.
    fn in_ring(&self) -> u32 {
        self.header().memory.0.ring.load(Ordering::Relaxed)
    }

    /// To be called when an end of the queue has entered a chunk, or memory of a dead putter was found.
    #[cold]
    pub(crate) fn start_reaper_if_useful(&self) {
        self.reaper().start_if_useful(self);
    }
}

impl Reclaim for Segment {
    const KEEP: u32 = KEEP;

    fn reaper(&self) -> &Reaper<Self> {
        &self.body().reaper
    }

    /// Whether the queue has more chunks than an empty one may keep, memory that a dead putter reserved, or some that could
    /// be lent and is not.
    fn has_much(&self) -> bool {
        self.in_ring().saturating_add(self.loans().idle()) > KEEP + 1
            || self.ring().chunks().are_untidy()
            || self.deliveries_have_much()
    }

    fn trim(&self, keep: u32) -> Option<bool> {
        let guard = self.header().put.0.lock.try_lock().ok()?;
        let chunks = self.ring().chunks();
        if guard.is_recovered() {
            self.settle_note();
            chunks.sweep();
        }
        let more = chunks.tidy() || chunks.trim(keep) || {
            let beside = (keep.saturating_add(1)).saturating_sub(self.in_ring());
            self.loans().trim(beside)
        };
        let death = Death::seen_by(&guard);
        drop(guard);
        death.tell(&self.body().identity, Side::Put);
        Some(self.trim_deliveries() || more)
    }

    /// How often an end entered a chunk, and how many were lent.
    fn traffic(&self) -> u64 {
        let entered = self.header().put.0.entered.load(Ordering::Relaxed);
        entered.wrapping_add(self.header().loans.0.lent.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use ipcq_core::{GetFault, Identity, QueueOptions, Wait};

    use ipcq_core::os::two_lock::TwoLock;

    use super::*;
    use crate::layout::CHUNKS_AT;
    use crate::position::CHUNK;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn who_does_not_wait_gives_back_one_step_at_most() -> Tested {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile()?.into(), identity)?;
        // No thread shall give back anything here.
        segment.reaper().suppress();
        for _ in 0..16 {
            segment.put(&[&vec![7; 1 << 20]], Wait::No)?;
        }
        let mut message = Vec::new();
        for _ in 0..16 {
            segment.get(&mut message, Wait::No)?;
        }
        let ring = || segment.header().memory.0.ring.load(Ordering::Relaxed);
        let before = ring();
        assert!(before > 2 * TRIM_STEP);
        assert!(matches!(segment.get(&mut message, Wait::No), Err(GetFault::Empty)));
        assert_eq!(ring(), before - TRIM_STEP);
        Ok(())
    }

    /// As a putter leaves it that dies after it had reserved memory for a huge message, and before it used any.
    #[test]
    fn what_a_dead_putter_reserved_is_given_back_in_steps() -> Tested {
        const CHUNKS: usize = 1024;
        const STEP: u64 = (TRIM_STEP as usize * CHUNK) as u64;
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile_in("/dev/shm")?.into(), identity)?;
        segment.reaper().suppress();
        segment.put(&[b"before"], Wait::No)?;
        let empty = segment.storage().bytes()?;
        segment.storage().reserve(CHUNKS_AT + CHUNK, CHUNKS * CHUNK)?;
        segment.ring().chunks().sweep();
        let mut bytes = segment.storage().bytes()?;
        assert!(bytes >= empty + (CHUNKS * CHUNK) as u64, "all at once");
        let mut more = true;
        while more {
            let Some(left) = segment.trim(KEEP) else { return Err("somebody has the lock".into()) };
            let now = segment.storage().bytes()?;
            assert!(now + 2 * STEP >= bytes && now < bytes, "{bytes} bytes, and then {now}");
            (bytes, more) = (now, left);
            // Others take of it meanwhile, and lose nothing.
            segment.put(&[&vec![7; 300_000]], Wait::No)?;
            bytes = bytes.max(segment.storage().bytes()?);
        }
        let mut message = Vec::new();
        segment.get(&mut message, Wait::No)?;
        assert_eq!(message, b"before");
        while segment.get(&mut message, Wait::No).is_ok() {
            assert_eq!(message, vec![7; 300_000]);
        }
        segment.upkeep(&|| true);
        assert!(segment.storage().bytes()? <= empty + (1 << 20));
        Ok(())
    }
}
