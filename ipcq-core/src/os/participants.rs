//! Who is alive in a queue: producers that may be idle, and calls that wait.
//!
//! The memory of a queue holds a table of [`Slot`]s, one for each process that takes part. A process holds its
//! slot by a POSIX record lock on a byte of the queue's own file: the kernel releases such a lock when the process
//! ends, in whatever way, gives none to a `fork` child, and keeps it over `exec`. Whether an owner lives is asked
//! of the lock alone; process numbers in slots are for people.
//!
//! # The one descriptor
//! The kernel also releases these locks when the process closes *any* descriptor of the file. So a process has
//! exactly one descriptor of each queue file, however many handles it has, and closes it with the last of them:
//! a backend keeps a table of open files by device and inode, and looks at a file through
//! [`Found`](super::directory::Found), which may be dropped freely. For the same reason a child that is
//! registered before `exec` must inherit the one descriptor, and have no second one that `exec` closes.
//!
//! # Costs
//! A look reads all slots and asks the kernel about those that say something: 0.5 us for 1024 unused slots (no mark
//! of the highest used one would pay), 0.2 us more for each question to begin with, 0.8 us with 64 locks on the
//! file, through which the kernel searches. Slots are taken from the first on, and those of dead processes again,
//! so that there are never more in use than there were processes at one time.
//!
//! # Races
//! - *Two processes want one slot*: the kernel gives the byte to one of them. Threads of a process, which the
//!   kernel does not tell apart, take turns by a lock of [`Participants`], which the child of a fork finds free.
//! - *An owner dies*: its slot keeps what it held, and stays so until a process that joins has got the byte and
//!   clears it. Who only looks never writes, so nobody can clear the slot of a new owner.
//! - *A new owner has the byte and has not cleared the slot yet*: the dead owner is taken for alive meanwhile. The
//!   next look is right.
//! - *Producers hand over while somebody looks*: one registers in a slot that was looked at already, then the other
//!   leaves. Each registration is counted in the slot by the store that makes it visible, and nobody is said to be
//!   there only if the counts are the same after the look as before: see [`Table::producers`].

mod record_lock;
mod slot;
mod table;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use self::record_lock::io_error;
pub use self::slot::{Slot, Waiting};
pub use self::table::{Producers, Table};
use super::failure::Failure;
use super::fork_lock::{ForkGuard, ForkLock};
use super::process;
pub use crate::Side;

/// What one process is in one queue: whether it has a slot, and whether it is a producer.
///
/// One object for each queue and process, shared by all threads and handles. It lies in ordinary memory, is copied
/// by `fork`, and notices: in the child it starts anew. Every call is given the same [`Table`].
#[derive(Debug, Default)]
pub struct Participants {
    /// Held inside `join`, `leave` and a change of role.
    inside: ForkLock<()>,
    /// The epoch of the process that has the slot `index`; 0 for none.
    joined: AtomicU64,
    index: AtomicU32,
    /// The epoch of the process that is a registered producer; 0 for none.
    producer: AtomicU64,
}

impl Participants {
    /// A process that takes no part yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            inside: ForkLock::new(()),
            joined: AtomicU64::new(0),
            index: AtomicU32::new(0),
            producer: AtomicU64::new(0),
        }
    }

    /// Takes a slot for this process, unless it has one, and returns its index. Finds again what was taken for
    /// this process before `exec`; call it, then, before anything that may [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`JoinError::NoSlot`] when living processes have all slots.
    pub fn join(&self, table: Table<'_>) -> Result<usize, JoinError> {
        match self.slot_index() {
            Some(index) => Ok(index),
            None => self.join_alone(table, &self.inside.lock()),
        }
    }

    /// Gives up the slot and every role: what the last handle of a process does. Without effect in a process that
    /// has none, such as the child of a fork.
    ///
    /// No other thread may use this object meanwhile for a call that waits.
    pub fn leave(&self, table: Table<'_>) {
        let inside = self.inside.lock();
        let Some(index) = self.slot_index() else { return };
        if let Some(slot) = table.slots.get(index) {
            slot.release();
        }
        self.producer.store(0, Ordering::Relaxed);
        self.joined.store(0, Ordering::Release);
        // If this fails, closing the descriptor does the same in a moment, and the slot is already empty.
        let _ = table.give_back(index);
        drop(inside);
    }

    /// Whether this process is a registered producer; costs two loads.
    #[must_use]
    pub fn is_producer(&self) -> bool {
        self.producer.load(Ordering::Relaxed) == process::epoch()
    }

    /// Registers this process as a producer, unless it is one; takes a slot if it has none.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn set_producer(&self, table: Table<'_>) -> Result<(), JoinError> {
        if self.is_producer() {
            return Ok(());
        }
        let inside = self.inside.lock();
        let index = self.join_alone(table, &inside)?;
        // Another thread may have been here first, or the parent before `exec`.
        if !self.is_producer() {
            table.slot(index)?.set_producer();
            self.producer.store(process::epoch(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends this process's registration as a producer; it keeps its slot.
    pub fn clear_producer(&self, table: Table<'_>) {
        let _inside = self.inside.lock();
        self.producer.store(0, Ordering::Relaxed);
        if let Some(slot) = self.slot_index().and_then(|index| table.slots.get(index)) {
            slot.clear_producer();
        }
    }

    /// Counts a call that waits to put, until the returned value is dropped.
    ///
    /// # Errors
    /// As [`join`](Self::join); the call may wait all the same, uncounted.
    pub fn waiting_put<'a>(&self, table: Table<'a>) -> Result<Waiting<'a>, JoinError> {
        self.wait_on(Side::Put, table)
    }

    /// Counts a call that waits to get, until the returned value is dropped.
    ///
    /// # Errors
    /// As [`join`](Self::join); the call may wait all the same, uncounted.
    pub fn waiting_get<'a>(&self, table: Table<'a>) -> Result<Waiting<'a>, JoinError> {
        self.wait_on(Side::Get, table)
    }

    fn wait_on<'a>(&self, side: Side, table: Table<'a>) -> Result<Waiting<'a>, JoinError> {
        let index = self.join(table)?;
        Ok(Waiting::on(table.slot(index)?.counter(side)))
    }

    /// The slot that this process has, as far as this object knows.
    fn slot_index(&self) -> Option<usize> {
        // P1: pairs with the Release in `join_alone`; who sees the epoch sees the index.
        if self.joined.load(Ordering::Acquire) != process::epoch() {
            return None;
        }
        usize::try_from(self.index.load(Ordering::Relaxed)).ok()
    }

    fn join_alone(&self, table: Table<'_>, _inside: &ForkGuard<'_, ()>) -> Result<usize, JoinError> {
        if let Some(index) = self.slot_index() {
            return Ok(index);
        }
        let found = table.find_or_take().map_err(|errno| JoinError::System(io_error(errno)))?;
        let index = found.ok_or(JoinError::NoSlot { slots: table.slots.len() })?;
        let slot = table.slot(index)?;
        // A slot taken before `exec` may have the role already; calls that waited then are gone.
        slot.clear_waiting();
        let producer = if slot.producer().0 { process::epoch() } else { 0 };
        self.producer.store(producer, Ordering::Relaxed);
        self.index.store(u32::try_from(index).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.joined.store(process::epoch(), Ordering::Release); // P1
        Ok(index)
    }
}

/// Why a process got no slot.
#[derive(Debug)]
pub enum JoinError {
    /// Living processes have all slots.
    NoSlot {
        /// How many there are.
        slots: usize,
    },
    /// The kernel refused the lock.
    System(io::Error),
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::NoSlot { slots } => {
                Self::new(format!("all its {slots} places for processes are taken"), Errno::EUSERS.into())
            }
            JoinError::System(source) => {
                Self::new("the lock that says that this process is alive could not be had", source)
            }
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlot { slots } => write!(f, "living processes have all {slots} places of the queue"),
            Self::System(_) => f.write_str("the kernel refused the lock of a participant"),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::System(source) = self { Some(source) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_the_parent_had_is_not_the_childs() -> Result<(), Box<dyn std::error::Error>> {
        let file = tempfile::tempfile()?;
        let slots = [Slot::new(), Slot::new()];
        let table = Table::new(file.as_fd(), &slots);
        let inherited = Participants::new();
        // What a fork child finds when another thread of its parent was in the middle of everything.
        let of_the_parent = process::epoch() + 1;
        inherited.joined.store(of_the_parent, Ordering::Relaxed);
        inherited.index.store(1, Ordering::Relaxed);
        inherited.producer.store(of_the_parent, Ordering::Relaxed);
        assert!(!inherited.is_producer());
        assert_eq!(inherited.join(table)?, 0);
        Ok(())
    }

    #[test]
    fn no_slot_is_no_room() {
        let failure = Failure::from(JoinError::NoSlot { slots: 8 });
        let error = failure.into_backend("shm:jobs");
        assert!(error.is_no_room());
        assert_eq!(
            error.to_string(),
            "queue shm:jobs: all its 8 places for processes are taken; end processes that use the queue, or \
             drop their handles"
        );
    }
}
