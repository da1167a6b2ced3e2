//! Giving memory back, and repairing what the dead left: never on the way of a message.
//!
//! A queue keeps [`KEEP`] free chunks. What is beyond them is given back by whoever comes by with nothing better
//! to do: a call that sleeps, once a slice; whoever opens or closes a handle, or asks for statistics. A process
//! that takes messages and then does something else has a thread for it, which is started when a getter frees
//! memory in a queue that has much, and ends as soon as there is nothing to give back.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ipcq_core::os::process;
use ipcq_core::os::waiting::TwoSided;

use crate::chunks::{KEEP, TRIM_STEP};
use crate::position::MAX_CHUNKS;
use crate::segment::Segment;
use crate::wait::Side;

/// How long memory must have been of no use before it is given back.
const IDLE: Duration = Duration::from_millis(250);

/// A pause between two steps. Who waits for the lock needs this long to wake, and would never get it from a thread
/// that takes it again at once.
const GIVE_WAY: Duration = Duration::from_micros(100);

/// More steps than the largest queue needs, so that nobody who writes there makes a caller go on for ever.
const MOST_STEPS: u32 = 2 * MAX_CHUNKS / TRIM_STEP;

/// Whether this process has a thread that gives memory back.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    /// The epoch of the process whose thread runs; 0 for none.
    running: AtomicU64,
}

impl Segment {
    /// Repairs what a dead putter or remover left, and gives back the free chunks beyond [`KEEP`], for as long as the caller
    /// wants to `go_on`: a gigabyte takes 0.2 s. Never waits for another participant.
    pub(crate) fn upkeep(&self, go_on: impl Fn() -> bool) {
        self.is_removed();
        let put = &self.header().put.0;
        if put.lock.is_orphaned() || self.has_much() {
            for _ in 0..MOST_STEPS {
                if self.trim(KEEP) != Some(true) || !go_on() {
                    break;
                }
                thread::sleep(GIVE_WAY);
            }
        }
    }

    /// Gives back free chunks beyond `keep`: whether there may be more, or nothing if a putter is at work.
    fn trim(&self, keep: u32) -> Option<bool> {
        let guard = TwoSided::lock_of(self, Side::Put).try_lock().ok()?;
        let chunks = self.ring().chunks();
        if guard.is_recovered() {
            chunks.sweep();
        }
        Some(chunks.tidy() || chunks.trim(keep))
    }

    /// Whether the queue has more chunks than an empty one may keep, or memory that a dead putter reserved.
    fn has_much(&self) -> bool {
        self.header().memory.0.ring.load(Ordering::Relaxed) > KEEP + 1 || self.ring().chunks().are_untidy()
    }

    /// To be called when an end of the queue has entered a chunk, or memory of a dead putter was found.
    #[cold]
    pub(crate) fn start_reaper_if_useful(&self) {
        if self.has_much() && self.reaper.running.load(Ordering::Relaxed) != process::epoch() {
            self.start_reaper();
        }
    }

    fn start_reaper(&self) {
        let epoch = process::epoch();
        if self.reaper.running.swap(epoch, Ordering::AcqRel) == epoch {
            return;
        }
        let segment = self.weak();
        let started = thread::Builder::new().name("ipcq-memory".to_owned()).spawn(move || reap(&segment));
        if started.is_err() {
            // Others come by as well.
            self.reaper.running.store(0, Ordering::Release);
        }
    }

    fn entered(&self) -> u64 {
        self.header().put.0.entered.load(Ordering::Relaxed)
    }
}

/// Gives memory back until there is nothing more to give. Chunks that passed by within [`IDLE`] are in use.
fn reap(segment: &Weak<Segment>) {
    let Some(mut before) = segment.upgrade().map(|segment| segment.entered()) else { return };
    loop {
        thread::sleep(IDLE);
        let Some(segment) = segment.upgrade() else { return };
        let now = segment.entered();
        let traffic = u32::try_from(now.wrapping_sub(before)).unwrap_or(u32::MAX);
        before = now;
        let keep = traffic.max(KEEP);
        let mut more = segment.trim(keep);
        while more == Some(true) {
            thread::sleep(GIVE_WAY);
            more = segment.trim(keep);
        }
        if keep == KEEP && more == Some(false) {
            segment.reaper.running.store(0, Ordering::Release);
            return;
        }
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
        segment.reaper.running.store(process::epoch(), Ordering::Relaxed);
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
        segment.reaper.running.store(process::epoch(), Ordering::Relaxed);
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
        segment.upkeep(|| true);
        assert!(segment.storage().bytes()? <= empty + (1 << 20));
        Ok(())
    }
}
