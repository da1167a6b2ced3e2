//! The segments that this process has open, by file: whoever opens one again gets the same.
//!
//! A file stays in the table until its descriptor is closed, and meanwhile nobody opens another one.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use ipcq_core::os::directory::FileId;
use ipcq_core::os::fork_lock::ForkLock;
use ipcq_core::os::process;

use crate::segment::Segment;

static TABLE: ForkLock<BTreeMap<FileId, Entry>> = ForkLock::new(BTreeMap::new());

enum Entry {
    /// A thread of the process with this epoch is opening it.
    Opening(u64),
    /// It is open, or a thread is closing it.
    Open(Weak<Segment>),
}

/// How often a thread looks whether another one has finished opening or closing a file.
const STEP: Duration = Duration::from_micros(100);

/// How long a thread waits for one that closes a file. In the child of a fork, a thread of the parent that was in
/// the middle of it does not exist, and the file stays half closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The segment in the file `id`: the one that is open, or the one that `open` makes, which gets the only
/// descriptor of it.
pub(crate) fn find_or_open<E>(
    id: FileId,
    open: impl FnOnce() -> Result<Arc<Segment>, E>,
) -> Result<Arc<Segment>, E> {
    let mut waited = Duration::ZERO;
    loop {
        let mut table = TABLE.lock();
        let closing = match table.get(&id) {
            Some(Entry::Open(segment)) => match segment.upgrade() {
                Some(segment) => return Ok(segment),
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
    let mut table = TABLE.lock();
    match &opened {
        Ok(segment) => table.insert(id, Entry::Open(Arc::downgrade(segment))),
        Err(_) => table.remove(&id),
    };
    drop(table);
    opened
}

/// Closes the descriptor of the file `id` by calling `close`; then others may open it again.
pub(crate) fn close(id: FileId, close: impl FnOnce()) {
    let mut table = TABLE.lock();
    close();
    if let Some(Entry::Open(segment)) = table.get(&id)
        && segment.strong_count() == 0
    {
        table.remove(&id);
    }
}
