//! A queue as one process has it: its pipe, its control file, the mapping of that, and who this process is in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use ipcq_core::os::directory::FileId;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::fixed::{Fixed, Format};
use ipcq_core::os::inherit::Inheritable;
use ipcq_core::os::open_files::OpenFiles;
use ipcq_core::os::participants::{Slot, Table};
use ipcq_core::os::presence::Presence;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::{Turns, TwoSided};
use ipcq_core::{BackendError, BackendErrorKind, Identity, OpenError, QueueName};

use crate::flow::{Flow, Tail};
use crate::kernel::{PAGE, Pipe};
use crate::layout::{CLOSED, Header, LENGTHS_AT, MAX_CAPACITY, POOL_AT, REMOVED, SLOTS, SLOTS_AT, TAGS_AT};
use crate::map::Map;
use crate::record::{LARGE, SMALL};
use crate::size::{Settled, pages_for};
use crate::upkeep::Reaper;

/// The queues that this process has open.
pub(crate) static OPEN_FILES: OpenFiles<Conduit> = OpenFiles::new();

/// The control file of a queue.
pub(crate) type Storage = ipcq_core::os::storage::Storage<Conduit>;

pub(crate) const FORMAT: Format = Format { magic: *b"ipcqpipe", version: 1, max_capacity: MAX_CAPACITY };

/// Header and slots, which always have memory.
const HEAD_LEN: usize = SLOTS_AT + SLOTS * size_of::<Slot>();

/// How often a look at both ends is repeated until they hold still. Each try fails only if a message was put or
/// taken meanwhile, so this many in a row mean that something other than a queue writes there.
const LOOKS: u32 = 1 << 20;

/// A queue.
#[derive(Debug)]
pub(crate) struct Conduit {
    map: Map,
    storage: Storage,
    pipe: Arc<Carrier>,
    record: usize,
    spare_pages: u32,
    identity: Identity,
    pub(crate) presence: Presence,
    pub(crate) reaper: Reaper,
    pub(crate) turns: Turns,
    /// Handles of this process; who holds the conduit beyond them does so for a moment only.
    pub(crate) handles: AtomicUsize,
    this: Weak<Self>,
}

/// The pipe, as a child inherits it.
#[derive(Debug)]
pub(crate) struct Carrier(Pipe);

impl Conduit {
    /// Fills the new, empty `file` with a queue that has the given identity, over `pipe`.
    pub(crate) fn create(
        file: OwnedFd,
        pipe: Pipe,
        settled: Settled,
        identity: Identity,
    ) -> Result<Arc<Self>, Failure> {
        let prepare = || -> io::Result<(Storage, Map, FileId)> {
            let storage = Storage::new(file, &OPEN_FILES)?;
            storage.reserve(0, HEAD_LEN)?;
            storage.reserve(LENGTHS_AT, lengths_len(identity.capacity))?;
            storage.reserve(TAGS_AT, PAGE)?;
            // The pool has no block yet; the file reaches up to it, so that its tags are all there.
            storage.reserve(POOL_AT - 1, 1)?;
            storage.release(POOL_AT - PAGE, PAGE);
            let map = Map::new(&storage)?;
            Ok((storage, map, pipe.id()?))
        };
        let (storage, map, id) = prepare()
            .map_err(|source| Failure::new("the memory for an empty queue could not be had", source))?;
        let own = [settled.record as u64, id.device, id.inode, 0];
        Fixed::of(&identity, own).write(&map.header().fixed, &FORMAT)?;
        map.header().put.0.wrote_one();
        Self::assemble(map, storage, pipe, settled.record, identity)
            .map_err(|source| Failure::new("the size of its pipe could not be read", source))
    }

    /// Opens the queue in `file`, which is called `label` in errors; `find_pipe` finds the pipe of a queue with
    /// this fixed part.
    pub(crate) fn open(
        file: OwnedFd,
        place: Option<(QueueName, PathBuf)>,
        label: &str,
        find_pipe: impl FnOnce(&Fixed, FileId) -> Result<Pipe, OpenError>,
    ) -> Result<Arc<Self>, OpenError> {
        let failed = |source| Failure::new("its memory could not be mapped", source).into_backend(label);
        let (storage, map) = Self::map(file, label)?;
        let fixed = Fixed::read(&map.header().fixed, &FORMAT, label)?;
        let record = usize::try_from(fixed.own[0]).unwrap_or(0);
        if ![SMALL, LARGE].contains(&record) {
            let expected = format!("{SMALL} or {LARGE}");
            return Err(OpenError::mismatch(label, "record size", record, expected));
        }
        storage.reserve(LENGTHS_AT, lengths_len(fixed.capacity)).map_err(failed)?;
        storage.reserve(TAGS_AT, PAGE).map_err(failed)?;
        let id = FileId { device: fixed.own[1], inode: fixed.own[2] };
        let pipe = find_pipe(&fixed, id)?;
        let pages = pipe.size().map_err(failed)? / PAGE;
        let needed = pages_for(fixed.capacity, record);
        if pages < needed {
            let (pages, needed) = (format!("{pages} pages"), format!("{needed} pages or more"));
            return Err(OpenError::mismatch(label, "pipe size", pages, needed));
        }
        let identity = Identity::new(crate::NAME, place, fixed.incarnation, fixed.capacity, &fixed.options());
        let conduit = Self::assemble(map, storage, pipe, record, identity).map_err(failed)?;
        conduit.check_counts(label)?;
        conduit.upkeep(|| true);
        Ok(conduit)
    }

    /// Maps the queue in `file` as far as it is one, whatever this process may do with it.
    pub(crate) fn map(file: OwnedFd, label: &str) -> Result<(Storage, Map), OpenError> {
        let failed = |source| Failure::new("its memory could not be mapped", source).into_backend(label);
        let storage = Storage::new(file, &OPEN_FILES).map_err(failed)?;
        let len = storage.len().map_err(failed)?;
        if len < POOL_AT {
            let least = format!("at least {POOL_AT} bytes");
            return Err(OpenError::mismatch(label, "size", format!("{len} bytes"), least));
        }
        Fixed::check_magic(storage.first_word().map_err(failed)?, &FORMAT, label)?;
        storage.reserve(0, HEAD_LEN).map_err(failed)?;
        let map = Map::new(&storage).map_err(failed)?;
        Ok((storage, map))
    }

    fn assemble(
        map: Map,
        storage: Storage,
        pipe: Pipe,
        record: usize,
        identity: Identity,
    ) -> io::Result<Arc<Self>> {
        let spare = (pipe.size()? / PAGE).saturating_sub(pages_for(identity.capacity, record));
        Ok(Arc::new_cyclic(|this| Self {
            map,
            storage,
            pipe: Arc::new(Carrier(pipe)),
            record,
            spare_pages: u32::try_from(spare).unwrap_or(u32::MAX),
            identity,
            presence: Presence::default(),
            reaper: Reaper::default(),
            turns: Turns::default(),
            handles: AtomicUsize::new(0),
            this: this.clone(),
        }))
    }

    fn check_counts(&self, label: &str) -> Result<(), OpenError> {
        match self.len() {
            Ok(len) if len <= self.identity.capacity => Ok(()),
            _ if self.is_removed() => Ok(()),
            _ => Err(OpenError::mismatch(label, "length", "above its capacity", "one within it")),
        }
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) const fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) const fn carrier(&self) -> &Arc<Carrier> {
        &self.pipe
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        self.map.header()
    }

    #[inline]
    pub(crate) fn flow(&self) -> Flow<'_> {
        Flow {
            map: &self.map,
            storage: &self.storage,
            pipe: &self.pipe.0,
            capacity: self.identity.capacity,
            max_message: self.identity.max_message,
            record: self.record,
            spare_pages: self.spare_pages,
        }
    }

    pub(crate) fn table(&self) -> Table<'_> {
        Table::new(self.storage.as_fd(), self.map.slots())
    }

    #[inline]
    pub(crate) fn tail(&self) -> Tail {
        Tail(self.header().tail.0.load(Ordering::SeqCst))
    }

    pub(crate) fn head(&self) -> u64 {
        self.header().head.0.load(Ordering::SeqCst)
    }

    /// How many messages there are, at an instant inside the call: the head is read while the tail holds still.
    pub(crate) fn len(&self) -> Result<usize, BackendError> {
        self.settle_orphans();
        let mut tail = self.tail();
        for _ in 0..LOOKS {
            let head = self.head();
            let now = self.tail();
            if now == tail {
                let len = usize::try_from(tail.since(head)).unwrap_or(usize::MAX);
                return self.unless_removed(len);
            }
            tail = now;
        }
        Err(self.damaged())
    }

    /// How many messages were put and taken since the queue was made.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.tail().count(), self.head())
    }

    /// Whether there is no message, at the instant at which the tail is read: the head only moves towards it.
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head();
        self.tail().since(head) == 0
    }

    /// Whether there is no room, at the instant at which the head is read: the tail only moves away from it. A head
    /// that has overtaken the tail by then says that there was room meanwhile.
    pub(crate) fn is_full(&self) -> bool {
        let tail = self.tail();
        let len = tail.since(self.head());
        (self.identity.capacity as u64..=MAX_CAPACITY as u64).contains(&len)
    }

    /// Whether the queue is removed. Finishes what a remover that died half-way began: getters are refused by then,
    /// so that nobody would ever take what is put.
    pub(crate) fn is_removed(&self) -> bool {
        let removed = self.tail().is_removed();
        let begun = !removed && self.header().get.0.removed.load(Ordering::SeqCst) != 0;
        if begun {
            self.end(CLOSED | REMOVED);
        }
        removed || begun
    }

    /// `value`, or that the queue is gone.
    pub(crate) fn unless_removed<T>(&self, value: T) -> Result<T, BackendError> {
        if self.is_removed() { Err(self.gone()) } else { Ok(value) }
    }

    /// Closes the queue and wakes everyone.
    pub(crate) fn close(&self) {
        self.end(CLOSED);
    }

    /// Closes the queue and wakes everyone, if nothing was put since `tail` was read; returns whether it did.
    pub(crate) fn close_at(&self, tail: Tail) -> bool {
        let word = &self.header().tail.0;
        let closed =
            word.compare_exchange(tail.0, tail.0 | CLOSED, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if closed {
            self.header().wake_everyone();
        }
        closed
    }

    /// Closes the queue, lets nobody take what is in it, and wakes everyone; returns whether nobody had done so
    /// before, which is true for one of all who ever do.
    pub(crate) fn mark_removed(&self) -> bool {
        self.header().mark_removed()
    }

    fn end(&self, flags: u64) {
        self.header().end(flags);
    }

    /// Counts one more handle as a producer; see [`Presence::add_producer`].
    pub(crate) fn add_producer(&self, of_handle: &AtomicU64) -> Result<(), BackendError> {
        self.close_if_abandoned();
        let added = self.presence.add_producer(of_handle, self.table());
        added.map_err(|failure| failure.into_backend(&self.identity))
    }

    /// Counts one handle less, and closes the queue when nobody is left.
    pub(crate) fn drop_producer(&self, of_handle: &AtomicU64) {
        if self.presence.drop_producer(of_handle, self.table()) {
            self.close_if_abandoned();
        }
    }

    /// Whether this process was registered as a producer before it began to run, and no handle stands for that yet.
    pub(crate) fn is_registered_by_parent(&self) -> bool {
        self.identity.auto_close && self.presence.is_registered_by_parent(self.table())
    }

    /// The bytes of memory that the queue uses, in its file and in its pipe.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        let in_pipe = self.pipe.0.len()?.next_multiple_of(PAGE);
        Ok(self.storage.bytes()? + in_pipe as u64)
    }

    pub(crate) fn gone(&self) -> BackendError {
        BackendError::new(BackendErrorKind::Gone, &self.identity, "it was removed")
    }

    pub(crate) fn damaged(&self) -> BackendError {
        if self.map.is_outgrown(&self.storage) {
            let what = "it has grown beyond what fits into this process's address space";
            return BackendError::new(BackendErrorKind::NoRoom, &self.identity, what)
                .with_advice("raise the limit (ulimit -v), or take messages out in a process that has more");
        }
        BackendError::new(
            BackendErrorKind::Damaged,
            &self.identity,
            "its pipe or its memory holds what no queue can have put there",
        )
        .with_advice("remove it and make it again")
    }
}

/// The bytes in which a queue keeps the lengths of its messages.
fn lengths_len(capacity: usize) -> usize {
    capacity.next_power_of_two() * size_of::<u32>()
}

#[allow(unsafe_code, reason = "vouches that two getters may run between fork and exec")]
// SAFETY: both methods return what the conduit holds; they take no lock and allocate nothing.
unsafe impl Inheritable for Conduit {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.storage.as_fd()
    }

    fn slots(&self) -> &[Slot] {
        self.map.slots()
    }
}

#[allow(unsafe_code, reason = "vouches that two getters may run between fork and exec")]
// SAFETY: both methods return what the carrier holds, or nothing; they take no lock and allocate nothing.
unsafe impl Inheritable for Carrier {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn slots(&self) -> &[Slot] {
        &[]
    }
}

impl Drop for Conduit {
    fn drop(&mut self) {
        self.upkeep(|| true);
        self.presence.leave(self.table());
    }
}
