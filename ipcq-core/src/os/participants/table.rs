//! The slots of a queue, and what they and the kernel say of the processes in it.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::JoinError;
use super::record_lock::{self, Holder, holder, io_error};
use super::slot::Slot;

/// The slots of one queue, and the file whose locks hold them.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    pub(super) file: BorrowedFd<'a>,
    pub(super) slots: &'a [Slot],
    /// Which of the file's record locks is that of the first slot.
    first: usize,
}

/// What is known of a queue's producers at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producers {
    /// There has been none so far.
    NeverAny,
    /// At least one is there.
    Some,
    /// There was at least one, and all have left or died.
    AllLeft,
}

impl<'a> Table<'a> {
    /// The table `slots` of the queue in `file`: the one descriptor of it that this process has, open for writing.
    #[must_use]
    pub const fn new(file: BorrowedFd<'a>, slots: &'a [Slot]) -> Self {
        Self { file, slots, first: 0 }
    }

    /// The same for a second table in one file, whose record locks begin with number `first`.
    #[must_use]
    pub const fn with_locks_at(self, first: usize) -> Self {
        Self { first, ..self }
    }

    /// Gives the record lock of the slot `index` back, if this process has it.
    pub(super) fn give_back(self, index: usize) -> Result<(), Errno> {
        record_lock::give_back(self.file, self.first + index)
    }

    /// Whether a living process has the slot `index`.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn is_live(self, index: usize) -> io::Result<bool> {
        let taken = self.slots.get(index).is_some_and(Slot::is_taken);
        Ok(taken && self.is_held(index)?)
    }

    /// Whether there are producers, at an instant inside the call.
    ///
    /// `AllLeft` is exact: no process whose registration has returned was alive and registered at that instant.
    /// `Some` may be said once too often, while producers come and go. Asks the kernel once for each registered
    /// producer until the first living one, so at most once for each slot, whatever they hold.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn producers(self) -> io::Result<Producers> {
        let mut before = 0_u64;
        for (index, slot) in self.slots.iter().enumerate() {
            let (registered, count) = slot.producer();
            before += u64::from(count);
            if registered && self.is_held(index)? {
                return Ok(Producers::Some);
            }
        }
        // Whoever registered before this second reading began is counted in it. If the first reading counted as
        // many, it saw all of them, each with its bit, and found no lock.
        let after: u64 = self.slots.iter().map(|slot| u64::from(slot.producer().1)).sum();
        Ok(match (before == after, after) {
            (false, _) => Producers::Some,
            (true, 0) => Producers::NeverAny,
            (true, _) => Producers::AllLeft,
        })
    }

    /// How many living processes are registered producers, each at an instant of its own inside the call.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn live_producers(self) -> io::Result<usize> {
        let mut live = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            live += usize::from(slot.producer().0 && self.is_held(index)?);
        }
        Ok(live)
    }

    /// How many calls of living processes wait to put, and to get, each at an instant of its own inside the call.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn waiting(self) -> io::Result<(usize, usize)> {
        let (mut putters, mut getters) = (0_usize, 0_usize);
        for (index, slot) in self.slots.iter().enumerate() {
            let (put, get) = slot.waiting();
            if (put, get) != (0, 0) && self.is_held(index)? {
                putters = putters.saturating_add(usize::try_from(put).unwrap_or(usize::MAX));
                getters = getters.saturating_add(usize::try_from(get).unwrap_or(usize::MAX));
            }
        }
        Ok((putters, getters))
    }

    /// Makes this process, the child of a `fork`, a registered producer before it calls `exec`.
    ///
    /// Needs no memory and no lock of the process, so it may be called in the child of a process with many threads.
    /// The registration outlives `exec` if the file's descriptor does; what then runs finds it with its first
    /// [`Participants::join`](super::Participants::join), or never looks, and is a producer until it ends. Registering twice is no error.
    ///
    /// # Errors
    /// `EUSERS` when all slots are taken, and what the kernel says. None allocates.
    pub fn register_in_child(self) -> io::Result<()> {
        let index = self.find_or_take().map_err(io_error)?.ok_or_else(|| io_error(Errno::EUSERS))?;
        if let Some(slot) = self.slots.get(index) {
            slot.set_producer();
        }
        Ok(())
    }

    /// The slot that this process has by its lock, or one that it takes now; `None` when all are taken.
    pub(super) fn find_or_take(self) -> Result<Option<usize>, Errno> {
        let pid = std::process::id();
        for (index, slot) in self.slots.iter().enumerate() {
            // The number may be that of a dead process, or a lie; the kernel knows.
            if slot.is_taken()
                && slot.owner() == pid
                && holder(self.file, self.first + index)? == Holder::Myself
            {
                return Ok(Some(index));
            }
        }
        for (index, slot) in self.slots.iter().enumerate() {
            if record_lock::try_take(self.file, self.first + index)? {
                slot.claim(pid);
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    pub(super) fn slot(self, index: usize) -> Result<&'a Slot, JoinError> {
        self.slots.get(index).ok_or(JoinError::NoSlot { slots: self.slots.len() })
    }

    fn is_held(self, index: usize) -> io::Result<bool> {
        Ok(holder(self.file, self.first + index).map_err(io_error)? != Holder::Nobody)
    }
}
