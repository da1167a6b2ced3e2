//! Giving memory back when nobody else comes by to do it.
//!
//! What a queue has beyond what an empty one may keep is given back by whoever comes by with nothing better to do: a
//! call that sleeps, once a slice; whoever opens or closes a handle, or asks for statistics. A process that takes
//! messages and then does something else has a thread for it, which is started when a getter frees memory in a queue
//! that has much, and ends as soon as there is nothing to give back.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::process;

/// How long memory must have been of no use before it is given back.
const IDLE: Duration = Duration::from_millis(250);

/// A pause between two steps. Who waits for the lock needs this long to wake, and would never get it from a thread
/// that takes it again at once.
pub const GIVE_WAY: Duration = Duration::from_micros(100);

/// A queue whose memory grows and shrinks with its content, in units of its own.
pub trait Reclaim: Send + Sync + Sized + 'static {
    /// The free units that an empty queue may keep.
    const KEEP: u32;

    /// The thread that this process has for this queue.
    fn reaper(&self) -> &Reaper<Self>;

    /// Whether there may be more free units than [`KEEP`](Self::KEEP).
    fn has_much(&self) -> bool;

    /// Gives back one step of the free units beyond `keep`: whether there may be more, or nothing if a putter is at
    /// work.
    fn trim(&self, keep: u32) -> Option<bool>;

    /// How many units were ever put to use, modulo 2^64.
    fn traffic(&self) -> u64;
}

/// The thread of this process that gives memory of a queue back, if it runs.
#[derive(Debug)]
pub struct Reaper<Q> {
    /// The epoch of the process whose thread runs; 0 for none.
    running: AtomicU64,
    queue: Weak<Q>,
}

impl<Q: Reclaim> Reaper<Q> {
    /// No thread, so far, for the queue that `queue` leads to.
    #[must_use]
    pub const fn new(queue: Weak<Q>) -> Self {
        Self { running: AtomicU64::new(0), queue }
    }

    /// Starts the thread if `queue`, whose reaper this is, has much. To be called when memory may have become free.
    #[cold]
    pub fn start_if_useful(&self, queue: &Q) {
        if self.running.load(Ordering::Relaxed) != process::epoch() && queue.has_much() {
            self.start();
        }
    }

    /// From now on there will be no thread: for tests that look at what others give back.
    pub fn suppress(&self) {
        self.running.store(process::epoch(), Ordering::Relaxed);
    }

    fn start(&self) {
        let epoch = process::epoch();
        if self.running.swap(epoch, Ordering::AcqRel) == epoch {
            return;
        }
        let queue = self.queue.clone();
        let started = thread::Builder::new().name("ipcq-memory".to_owned()).spawn(move || reap(&queue));
        if started.is_err() {
            // Others come by as well.
            self.running.store(0, Ordering::Release);
        }
    }

    /// Ends the thread, unless there is something to do by now; returns whether it did.
    fn stop(&self, queue: &Q) -> bool {
        self.running.store(0, Ordering::SeqCst);
        // Who freed some meanwhile found the thread running, and relied on it.
        !queue.has_much()
            || queue.trim(Q::KEEP) == Some(false)
            || self.running.swap(process::epoch(), Ordering::SeqCst) != 0
    }
}

/// Gives memory back until there is nothing more to give. Units that were put to use within [`IDLE`] are of use.
fn reap<Q: Reclaim>(queue: &Weak<Q>) {
    let Some(mut before) = queue.upgrade().map(|queue| queue.traffic()) else { return };
    loop {
        thread::sleep(IDLE);
        let Some(queue) = queue.upgrade() else { return };
        let now = queue.traffic();
        let used = u32::try_from(now.wrapping_sub(before)).unwrap_or(u32::MAX);
        before = now;
        let keep = used.max(Q::KEEP);
        let mut more = queue.trim(keep);
        while more == Some(true) {
            thread::sleep(GIVE_WAY);
            more = queue.trim(keep);
        }
        if keep == Q::KEEP && more == Some(false) && queue.reaper().stop(&queue) {
            return;
        }
    }
}
