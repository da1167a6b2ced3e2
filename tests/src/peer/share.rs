//! Processes that count how often they get what all wait for, and say it when asked.

use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ipcq_core::{Queue, Transport};

use super::{Played, say};

/// Puts until the queue is closed.
pub(super) fn puts(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Queue::<u8>::open(transport, queue)?;
    count(|| queue.put(0).is_ok())
}

/// Gets until the queue is closed and drained.
pub(super) fn gets(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Queue::<u8>::open(transport, queue)?;
    count(|| queue.get().is_ok())
}

/// Counts how often `act` works, until it does not, and says the count for each line of standard input.
fn count(act: impl Fn() -> bool + Sync) -> Played {
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while act() {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        for line in std::io::stdin().lock().lines() {
            line?;
            say(&done.load(Ordering::Relaxed).to_string())?;
        }
        Ok(())
    })
}
