//! The queues that this process has open, by file: whoever opens one again gets the same.
//!
//! A file stays in the table until its descriptor is closed, and meanwhile nobody opens another one: see
//! [`participants`](super::participants#the-one-descriptor).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::directory::FileId;
use super::fork_lock::ForkLock;
use super::inherit::Inherited;
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
    /// descriptor of it: where it would open the file, it asks [`Unowned`] first. While it runs, no other thread opens
    /// the file.
    ///
    /// # Errors
    /// What `open` returned.
    ///
    /// # Blocking
    /// While another thread opens or closes the same file.
    pub fn find_or_open<E>(
        &self,
        id: FileId,
        open: impl FnOnce(Unowned) -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        let mut waited = Duration::ZERO;
        let forked = loop {
            let mut table = self.0.lock();
            let closing = match table.get(&id) {
                Some(Entry::Open(queue)) => match queue.upgrade() {
                    Some(queue) => return Ok(queue),
                    None => true,
                },
                Some(Entry::Opening(epoch)) if *epoch == process::epoch() => false,
                // Nobody, or a thread that this process, the child of a fork, does not have.
                entry => {
                    let forked = entry.is_some();
                    table.insert(id, Entry::Opening(process::epoch()));
                    break forked;
                }
            };
            if closing && waited >= PATIENCE {
                table.insert(id, Entry::Opening(process::epoch()));
                break false;
            }
            drop(table);
            thread::sleep(STEP);
            waited += STEP;
        };
        let opened = open(Unowned { id, forked, taken: RefCell::default() });
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

/// What this process may have open of a file without that anybody here owns it: each descriptor can be taken once.
/// Whoever has this is the only one to open the file.
#[derive(Debug)]
pub struct Unowned {
    id: FileId,
    /// Whether a thread of the parent may have opened it when this process was forked off.
    forked: bool,
    taken: RefCell<Vec<FileId>>,
}

impl Unowned {
    /// The descriptor that a thread of the parent left, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<OwnedFd> {
        if self.forked && self.is_first(self.id) { take_stray(self.id) } else { None }
    }

    /// The same, or the one that was [passed](super::inherit) to this process as `transport`.
    #[must_use]
    pub fn take_inherited(&self, transport: &str) -> Option<OwnedFd> {
        self.take_part(transport, self.id).or_else(|| self.take())
    }

    /// The descriptor of another file that belongs to the queue, if one was passed to this process as `transport`.
    #[must_use]
    #[allow(unsafe_code, reason = "taking over a descriptor number")]
    pub fn take_part(&self, transport: &str, part: FileId) -> Option<OwnedFd> {
        let inherited = Inherited::of_file(transport, part).filter(|_| self.is_first(part))?;
        // SAFETY: the queue is not in the table of open ones, so nothing in this process owns the descriptor, and only
        // who has this value takes it now, once.
        unsafe { inherited.take() }.ok()
    }

    fn is_first(&self, part: FileId) -> bool {
        let mut taken = self.taken.borrow_mut();
        let first = !taken.contains(&part);
        taken.push(part);
        first
    }
}

#[cold]
#[allow(unsafe_code, reason = "taking over a descriptor number")]
fn take_stray(id: FileId) -> Option<OwnedFd> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // Collected first: reading the list has a descriptor of its own.
    let numbers: Vec<RawFd> = numbers.collect();
    let stray = numbers.into_iter().find(|&number| {
        // SAFETY: the number is not -1, and is asked which file it is, which may find it closed.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        // What only reaches the file, and does not open it, is a look at it by somebody else.
        let opens = fcntl(descriptor, FcntlArg::F_GETFL)
            .is_ok_and(|flags| !OFlag::from_bits_retain(flags).contains(OFlag::O_PATH));
        opens && FileId::of(descriptor).is_ok_and(|file| file == id)
    })?;
    // SAFETY: nothing but queues opens this file (see the crate's page), no segment in the table has it, and the table
    // says that this thread alone is opening it: its owner is a thread that does not exist here.
    Some(unsafe { OwnedFd::from_raw_fd(stray) })
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

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, IntoRawFd};

    use super::*;

    /// As the child of a fork finds it when a thread of its parent had just opened the file.
    #[test]
    fn what_a_thread_of_the_parent_was_opening_is_taken_over() -> Result<(), Box<dyn std::error::Error>> {
        let file = tempfile::tempfile()?;
        let id = FileId::of(&file)?;
        let number = file.into_raw_fd();
        let table = OpenFiles::<OwnedFd>::new();
        table.0.lock().insert(id, Entry::Opening(process::epoch() + 1));
        let taken = table.find_or_open(id, |stray| stray.take().map(Arc::new).ok_or("none was found"))?;
        assert_eq!(taken.as_raw_fd(), number);
        Ok(())
    }

    #[test]
    fn what_this_process_opened_itself_is_no_stray() -> Result<(), Box<dyn std::error::Error>> {
        let file = tempfile::tempfile()?;
        let id = FileId::of(&file)?;
        let table = OpenFiles::<()>::new();
        let found = table
            .find_or_open(id, |stray| if stray.take().is_none() { Ok(Arc::new(())) } else { Err("one") });
        found?;
        Ok(())
    }
}
