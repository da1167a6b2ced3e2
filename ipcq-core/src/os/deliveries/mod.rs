//! Messages that are handed out and not acknowledged: kept beside the queue, in its file, until they are.
//!
//! A backend has one lock under which messages are taken (the getters'), and a head, which counts them. Under that lock
//! it [keeps](Store::keep_next) a copy of the next message here, in an entry with the message's number, and then takes
//! it by the store of its head, as it always does: an entry whose number the head has not passed was never taken. From
//! then on everything that happens to the message is one store of its entry's state: acknowledged, the entry is free;
//! given back, it is ready, and goes out before all that the backend has, because its number is lower.
//!
//! # What a death leaves
//! - *In the middle of one of these steps*: the entries say what is true. All else (the ledger, the list of free
//!   entries, the heap of ready ones, counts) follows from them, and is made anew by the next owner of the lock
//!   ([`Store::rebuild`]).
//! - *While holding deliveries*: each holder has a slot, held by a record lock, as [`participants`](super::participants)
//!   have. Who waits looks every slice whether holders live, and so does who gets, unless one did within the
//!   last 20 us; entries of a dead one become ready.
//!
//! # What others see
//! Observers read the [`Ledger`] and the backend's head and tail. Putters count what is ready and in flight as well.
//!
//! The calls of such a queue are [`Acknowledging`]'s; a backend supplies the few steps that its own memory needs.

mod acknowledge;
mod acknowledging;
mod channel;
mod dead_letters;
mod entry;
mod heap;
mod join;
mod layout;
mod ledger;
mod life;
mod mapping;
mod moving;
mod pool;
mod settle;
pub(super) mod unsettled;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::acknowledging::Acknowledging;
pub use self::channel::channel;
pub use self::dead_letters::{DeadLetters, MoveNote};
use self::layout::{BLOCKS_AT, Books, ENTRIES_AT, Entry, HOLDERS, SPAN, TAGS_AT};
pub use self::ledger::Ledger;
use self::mapping::Mapping;
pub use self::moving::Movable;
pub use self::settle::NotYours;
use super::event::Event;
use super::participants::{Participants, Table};
use super::process;
use super::storage::Storage;

/// The bytes of a queue's file that its deliveries may take: mostly holes.
pub const LEN: usize = SPAN;

/// Where the record locks of holders lie, behind those of a backend's own participants.
const LOCKS_AT: usize = 1 << 20;

/// The file that deliveries are in.
pub trait Backing {
    /// The one descriptor of it that this process has.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Reserves memory, as [`Storage::reserve`].
    ///
    /// # Errors
    /// When there is no room.
    fn reserve(&self, at: usize, len: usize) -> io::Result<()>;

    /// Gives memory back, as [`Storage::release`].
    fn release(&self, at: usize, len: usize);
}

impl<T> Backing for Storage<T> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn reserve(&self, at: usize, len: usize) -> io::Result<()> {
        self.reserve(at, len)
    }

    fn release(&self, at: usize, len: usize) {
        self.release(at, len);
    }
}

/// The deliveries of a queue, as one process has them.
pub struct Deliveries {
    map: Mapping,
    /// Where they are in the file.
    at: usize,
    holder: Participants,
    /// The epoch of the process that has taken its slot, and found nothing there that a dead one had left.
    settled_in: AtomicU64,
}

impl Deliveries {
    /// Those in `file`, from `at` on, which is a multiple of 64 KiB; the first 32 KiB of it have memory.
    ///
    /// # Errors
    /// When they cannot be mapped.
    pub fn new(file: impl AsFd, at: usize) -> io::Result<Self> {
        let map = Mapping::new(file, at)?;
        Ok(Self { map, at, holder: Participants::new(), settled_in: AtomicU64::new(0) })
    }

    /// Reserves what a new queue must have from the start.
    ///
    /// # Errors
    /// When there is no room.
    pub fn reserve_first(backing: &dyn Backing, at: usize) -> io::Result<()> {
        backing.reserve(at, ENTRIES_AT)
    }

    /// Makes a new, empty file ready for use.
    pub fn begin(&self) {
        self.map.books().lease_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// Fills holes that somebody may have made where entries and tags are, and the bytes of messages.
    ///
    /// # Errors
    /// When there is more than the `bytes` that the file uses, or no memory.
    pub fn fill_holes(&self, backing: &dyn Backing, bytes: u64) -> io::Result<()> {
        let store = self.with(backing);
        let books = store.books();
        let entries = store.entries() as usize * size_of::<Entry>();
        let blocks = books.blocks.load(Ordering::Relaxed).min(self.map.block_limit()) as usize;
        if usize::try_from(bytes).is_ok_and(|bytes| entries > bytes || blocks / 2 > bytes) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        store.reserve(ENTRIES_AT, entries)?;
        store.reserve(layout::HEAP_AT, store.entries() as usize * 4)?;
        store.reserve(TAGS_AT, blocks * 8)
    }

    /// How many messages left for good and how many are ready, at the instant of the call.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger(self.map.books().ledger.load(Ordering::SeqCst))
    }

    /// How often a message was handed out that had come back.
    #[must_use]
    pub fn redelivered(&self) -> u64 {
        self.map.books().redelivered.load(Ordering::Relaxed)
    }

    /// What callers sleep on that wait for the end of messages.
    #[must_use]
    pub fn settled(&self) -> &Event {
        &self.map.books().settled
    }

    /// These, in their file.
    #[must_use]
    pub fn with<'a>(&'a self, backing: &'a dyn Backing) -> Store<'a> {
        Store { deliveries: self, backing }
    }

    /// Gives up the slot of this process: what its last handle does, when no delivery is left.
    pub fn leave(&self, backing: &dyn Backing) {
        if self.settled_in.swap(0, Ordering::Relaxed) == process::epoch() {
            self.holder.leave(self.with(backing).table());
        }
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("ledger", &self.ledger()).finish_non_exhaustive()
    }
}

/// Deliveries in their file. Unless it is said otherwise, who calls has the lock under which messages are taken.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    deliveries: &'a Deliveries,
    backing: &'a dyn Backing,
}

impl<'a> Store<'a> {
    fn map(&self) -> &'a Mapping {
        &self.deliveries.map
    }

    fn books(&self) -> &'a Books {
        self.map().books()
    }

    fn entry(&self, index: u32) -> &'a Entry {
        self.map().entry(index)
    }

    fn ledger(&self) -> Ledger {
        self.deliveries.ledger()
    }

    /// Counts `left` more messages that left for good, and changes how many are ready.
    fn count(&self, left: u32, ready: i32) {
        let ledger = self.ledger();
        let next = ledger.next(left, ledger.ready().saturating_add_signed(ready));
        self.books().ledger.store(next.0, Ordering::SeqCst);
    }

    fn table(&self) -> Table<'a> {
        Table::new(self.backing.descriptor(), self.map().slots()).with_locks_at(LOCKS_AT)
    }

    fn reserve(&self, at: usize, len: usize) -> io::Result<()> {
        if len == 0 { Ok(()) } else { self.backing.reserve(self.deliveries.at + at, len) }
    }

    fn release(&self, at: usize, len: usize) {
        self.backing.release(self.deliveries.at + at, len);
    }

    /// Whether there may be memory to [give back](Self::trim). Needs no lock.
    #[must_use]
    pub fn has_much(&self) -> bool {
        self.pool_has_much()
            || self.books().entries.load(Ordering::Relaxed) > 2 * entry::KEEP && self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.books().used.load(Ordering::Relaxed) == 0 && self.ledger().ready() == 0
    }

    /// Gives memory back; returns whether there may be more to do, so that the lock can be released in between.
    #[must_use]
    pub fn trim(&self) -> bool {
        self.trim_entries();
        self.trim_pool()
    }
}

impl fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deliveries.fmt(f)
    }
}

const _: () = assert!(BLOCKS_AT < SPAN && HOLDERS <= LOCKS_AT);
