//! The queues that this process has open, by file: whoever opens one again gets the same.
//!
//! A file stays in the table until its descriptor is closed, and meanwhile nobody opens another one: see
//! [`participants`](super::participants#the-one-descriptor).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::directory::FileId;
use super::fork_lock::ForkLock;
use super::process;

/// The table of a backend, of whose queues each is a `T`. To be a static: one for each process.
pub struct OpenFiles<T>(ForkLock<BTreeMap<FileId, Entry<T>>>);

enum Entry<T> {
    /// A thread of the process with this epoch is opening it.
    Opening(u64),
    /// It is open, or a thread is closing it.
    Open(Weak<T>),
}

/// How often a thread looks whether another one has finished opening or closing a file.
const STEP: Duration = Duration::from_micros(100);

/// How long a thread waits for one that closes a file. In the child of a fork, a thread of the parent that was in
/// the middle of it does not exist, and the file stays half closed.
const PATIENCE: Duration = Duration::from_secs(5);

impl<T> OpenFiles<T> {
    /// A table without files.
    #[must_use]
    pub const fn new() -> Self {
        Self(ForkLock::new(BTreeMap::new()))
    }

    /// The queue in the file `id`: the one that is open, or the one that `open` makes, which gets the only
    /// descriptor of it. While `open` runs, no other thread opens the file.
    ///
    /// # Errors
    /// What `open` returned.
    ///
    /// # Blocking
    /// While another thread opens or closes the same file.
    pub fn find_or_open<E>(&self, id: FileId, open: impl FnOnce() -> Result<Arc<T>, E>) -> Result<Arc<T>, E> {
        let mut waited = Duration::ZERO;
        loop {
            let mut table = self.0.lock();
            let closing = match table.get(&id) {
                Some(Entry::Open(queue)) => match queue.upgrade() {
                    Some(queue) => return Ok(queue),
                    None => true,
                },
                Some(Entry::Opening(epoch)) if *epoch == process::epoch() => false,
                // Nobody, or a thread that this process, the child of a fork, does not have.
                _ => {
                    table.insert(id, Entry::Opening(process::epoch()));
                    break;
                }
            };
            if closing && waited >= PATIENCE {
                table.insert(id, Entry::Opening(process::epoch()));
                break;
            }
            drop(table);
            thread::sleep(STEP);
            waited += STEP;
        }
        let opened = open();
        let mut table = self.0.lock();
        match &opened {
            Ok(queue) => table.insert(id, Entry::Open(Arc::downgrade(queue))),
            Err(_) => table.remove(&id),
        };
        drop(table);
        opened
    }

    /// Closes the descriptor of the file `id` by calling `close`; then others may open it again.
    pub fn close(&self, id: FileId, close: impl FnOnce()) {
        let mut table = self.0.lock();
        close();
        if let Some(Entry::Open(queue)) = table.get(&id)
            && queue.strong_count() == 0
        {
            table.remove(&id);
        }
    }
}

impl<T> Default for OpenFiles<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for OpenFiles<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFiles").finish_non_exhaustive()
    }
}
