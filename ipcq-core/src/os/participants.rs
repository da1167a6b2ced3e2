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

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;

use self::record_lock::{Holder, holder, io_error};
use self::slot::Side;
pub use self::slot::{Slot, Waiting};
use super::failure::Failure;
use super::process;

/// The slots of one queue, and the file whose locks hold them.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    file: BorrowedFd<'a>,
    slots: &'a [Slot],
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
        Self { file, slots }
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
    /// [`Participants::join`], or never looks, and is a producer until it ends. Registering twice is no error.
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
    fn find_or_take(self) -> Result<Option<usize>, Errno> {
        let pid = std::process::id();
        for (index, slot) in self.slots.iter().enumerate() {
            // The number may be that of a dead process, or a lie; the kernel knows.
            if slot.is_taken() && slot.owner() == pid && holder(self.file, index)? == Holder::Myself {
                return Ok(Some(index));
            }
        }
        for (index, slot) in self.slots.iter().enumerate() {
            if record_lock::try_take(self.file, index)? {
                slot.claim(pid);
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn slot(self, index: usize) -> Result<&'a Slot, JoinError> {
        self.slots.get(index).ok_or(JoinError::NoSlot { slots: self.slots.len() })
    }

    fn is_held(self, index: usize) -> io::Result<bool> {
        Ok(holder(self.file, index).map_err(io_error)? != Holder::Nobody)
    }
}

/// What one process is in one queue: whether it has a slot, and whether it is a producer.
///
/// One object for each queue and process, shared by all threads and handles. It lies in ordinary memory, is copied
/// by `fork`, and notices: in the child it starts anew. Every call is given the same [`Table`].
#[derive(Debug, Default)]
pub struct Participants {
    /// The epoch of the process in which a thread is inside `join`, `leave` or a change of role; 0 for none.
    busy: AtomicU64,
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
            busy: AtomicU64::new(0),
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
            None => self.join_alone(table, &self.alone()),
        }
    }

    /// Gives up the slot and every role: what the last handle of a process does. Without effect in a process that
    /// has none, such as the child of a fork.
    ///
    /// No other thread may use this object meanwhile for a call that waits.
    pub fn leave(&self, table: Table<'_>) {
        let alone = self.alone();
        let Some(index) = self.slot_index() else { return };
        if let Some(slot) = table.slots.get(index) {
            slot.release();
        }
        self.producer.store(0, Ordering::Relaxed);
        self.joined.store(0, Ordering::Release);
        // If this fails, closing the descriptor does the same in a moment, and the slot is already empty.
        let _ = record_lock::give_back(table.file, index);
        drop(alone);
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
        let alone = self.alone();
        let index = self.join_alone(table, &alone)?;
        // Another thread may have been here first, or the parent before `exec`.
        if !self.is_producer() {
            table.slot(index)?.set_producer();
            self.producer.store(alone.epoch, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends this process's registration as a producer; it keeps its slot.
    pub fn clear_producer(&self, table: Table<'_>) {
        let _alone = self.alone();
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

    fn join_alone(&self, table: Table<'_>, alone: &Alone<'_>) -> Result<usize, JoinError> {
        if let Some(index) = self.slot_index() {
            return Ok(index);
        }
        let found = table.find_or_take().map_err(|errno| JoinError::System(io_error(errno)))?;
        let index = found.ok_or(JoinError::NoSlot { slots: table.slots.len() })?;
        let slot = table.slot(index)?;
        // A slot taken before `exec` may have the role already; calls that waited then are gone.
        slot.clear_waiting();
        let producer = if slot.producer().0 { alone.epoch } else { 0 };
        self.producer.store(producer, Ordering::Relaxed);
        self.index.store(u32::try_from(index).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.joined.store(alone.epoch, Ordering::Release); // P1
        Ok(index)
    }

    /// Waits until no other thread of this process is inside. A thread of another process, which was inside when
    /// this process was forked off, does not exist here and is not waited for.
    ///
    /// Held over a few system calls by threads of one process only, so that waiting is short, and rare.
    fn alone(&self) -> Alone<'_> {
        let epoch = process::epoch();
        for attempt in 0_u32.. {
            let inside = self.busy.load(Ordering::Relaxed);
            let free = inside != epoch;
            if free && self.busy.compare_exchange(inside, epoch, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                break;
            }
            if attempt < 100 {
                std::thread::yield_now();
            } else {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        Alone { busy: &self.busy, epoch }
    }
}

/// Stands for being the only thread inside; dropping it lets the next one in.
struct Alone<'a> {
    busy: &'a AtomicU64,
    epoch: u64,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.busy.store(0, Ordering::Release);
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
