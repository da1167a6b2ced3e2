//! The segments that this process has open, by file: whoever opens one again gets the same.
//!
//! A file stays in the table until its descriptor is closed, and meanwhile nobody opens another one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use ipcq_core::os::directory::FileId;

use crate::segment::Segment;

static TABLE: Mutex<BTreeMap<FileId, Entry>> = Mutex::new(BTreeMap::new());

enum Entry {
    /// A thread is opening it.
    Opening,
    /// It is open, or a thread is closing it.
    Open(Weak<Segment>),
}

/// How long another thread may take to open or close a file. In the child of a fork, a thread of the parent that
/// was in the middle of it does not exist, and its place is taken after this time.
const PATIENCE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_micros(100);

/// The segment in the file `id`: the one that is open, or the one that `open` makes, which gets the only
/// descriptor of it.
pub(crate) fn find_or_open<E>(
    id: FileId,
    open: impl FnOnce() -> Result<Arc<Segment>, E>,
) -> Result<Arc<Segment>, E> {
    let mut waited = Duration::ZERO;
    loop {
        let mut table = table();
        match table.get(&id) {
            Some(Entry::Open(segment)) => {
                if let Some(segment) = segment.upgrade() {
                    return Ok(segment);
                }
            }
            Some(Entry::Opening) => {}
            None => waited = PATIENCE,
        }
        if waited >= PATIENCE {
            table.insert(id, Entry::Opening);
            break;
        }
        drop(table);
        thread::sleep(STEP);
        waited += STEP;
    }
    let opened = open();
    let mut table = table();
    match &opened {
        Ok(segment) => table.insert(id, Entry::Open(Arc::downgrade(segment))),
        Err(_) => table.remove(&id),
    };
    drop(table);
    opened
}

/// Closes the descriptor of the file `id` by calling `close`; then others may open it again.
pub(crate) fn close(id: FileId, close: impl FnOnce()) {
    let mut table = table();
    close();
    if let Some(Entry::Open(segment)) = table.get(&id)
        && segment.strong_count() == 0
    {
        table.remove(&id);
    }
}

fn table() -> MutexGuard<'static, BTreeMap<FileId, Entry>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}
