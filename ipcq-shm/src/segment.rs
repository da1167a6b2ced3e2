//! A queue's segment as one process has it: its file, its mapping, and who this process is in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use ipcq_core::os::failure::Failure;
use ipcq_core::os::fixed::{Fixed, Format, OWN_WORDS};
use ipcq_core::os::inherit::Inheritable;
use ipcq_core::os::participants::{Slot, Table};
use ipcq_core::os::presence::Presence;
use ipcq_core::os::waiting::{Turns, TwoSided};
use ipcq_core::{BackendError, BackendErrorKind, Identity, OpenError, QueueName};

use crate::layout::{CHUNKS_AT, Header, LINKS_AT, SLOTS, SLOTS_AT};
use crate::map::{Map, chunks_in};
use crate::position::{CHUNK, CLOSED, MAX_CAPACITY, Position, REMOVED};
use crate::ring::Ring;
use crate::storage::{OPEN_FILES, Storage};
use crate::upkeep::Reaper;

pub(crate) const FORMAT: Format = Format { magic: *b"ipcq.shm", version: 2, max_capacity: MAX_CAPACITY };

/// Header and slots, which always have memory.
const HEAD_LEN: usize = SLOTS_AT + SLOTS * size_of::<Slot>();

/// How often a look at both ends is repeated until they hold still. Each try fails only if a message was put or
/// taken meanwhile, so this many in a row mean that something other than a queue writes there.
const LOOKS: u32 = 1 << 20;

/// A queue's segment.
#[derive(Debug)]
pub(crate) struct Segment {
    map: Map,
    storage: Storage,
    identity: Identity,
    pub(crate) presence: Presence,
    pub(crate) reaper: Reaper,
    pub(crate) turns: Turns,
    this: Weak<Self>,
}

impl Segment {
    /// Fills the new, empty `file` with a queue that has the given identity.
    pub(crate) fn create(file: OwnedFd, identity: Identity) -> Result<Arc<Self>, Failure> {
        let prepare = || -> io::Result<(Storage, Map)> {
            let storage = Storage::new(file, &OPEN_FILES)?;
            storage.reserve(0, HEAD_LEN)?;
            storage.reserve(LINKS_AT, 4096)?;
            storage.reserve(CHUNKS_AT, CHUNK)?;
            let map = Map::new(&storage)?;
            Ok((storage, map))
        };
        let (storage, map) = prepare()
            .map_err(|source| Failure::new("the memory for an empty queue could not be had", source))?;
        Fixed::of(&identity, [0; OWN_WORDS]).write(&map.header().fixed, &FORMAT)?;
        map.header().put.0.chunks.store(1, Ordering::Relaxed);
        map.header().memory.0.ring.store(1, Ordering::Relaxed);
        Ok(Self::assemble(map, storage, identity))
    }

    /// Opens the queue in `file`, which is called `label` in errors.
    pub(crate) fn open(
        file: OwnedFd,
        place: Option<(QueueName, PathBuf)>,
        label: &str,
    ) -> Result<Arc<Self>, OpenError> {
        let (storage, map) = Self::map(file, label)?;
        let fixed = Fixed::read(&map.header().fixed, &FORMAT, label)?;
        let identity = Identity::new(crate::NAME, place, fixed.incarnation, fixed.capacity, &fixed.options());
        let segment = Self::assemble(map, storage, identity);
        segment.check_positions(label)?;
        segment.check_memory().map_err(|source| {
            Failure::new("its memory has holes that could not be filled", source).into_backend(label)
        })?;
        segment.upkeep(|| true);
        Ok(segment)
    }

    /// Maps the queue in `file` as far as it is one, whatever this process may do with it.
    pub(crate) fn map(file: OwnedFd, label: &str) -> Result<(Storage, Map), OpenError> {
        let failed = |source| Failure::new("its memory could not be mapped", source).into_backend(label);
        let storage = Storage::new(file, &OPEN_FILES).map_err(failed)?;
        let len = storage.len().map_err(failed)?;
        if len < CHUNKS_AT + CHUNK {
            let least = format!("at least {} bytes", CHUNKS_AT + CHUNK);
            return Err(OpenError::mismatch(label, "size", format!("{len} bytes"), least));
        }
        Fixed::check_magic(storage.first_word().map_err(failed)?, &FORMAT, label)?;
        storage.reserve(0, HEAD_LEN).map_err(failed)?;
        let map = Map::new(&storage).map_err(failed)?;
        Ok((storage, map))
    }

    fn assemble(map: Map, storage: Storage, identity: Identity) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            map,
            storage,
            identity,
            presence: Presence::default(),
            reaper: Reaper::default(),
            turns: Turns::default(),
            this: this.clone(),
        })
    }

    fn check_positions(&self, label: &str) -> Result<(), OpenError> {
        let ring = self.ring();
        for (what, at) in [("tail", ring.tail()), ("head", ring.head())] {
            if self.map.chunk(at.chunk(), &self.storage).is_err() {
                return Err(OpenError::mismatch(label, what, "outside its memory", "one inside it"));
            }
        }
        match self.len() {
            Ok(len) if len <= self.identity.capacity => Ok(()),
            _ if self.is_removed() => Ok(()),
            _ => Err(OpenError::mismatch(label, "length", "above its capacity", "one within it")),
        }
    }

    /// Sees to it that the links have memory, and the chunks in which the queue begins and ends: somebody may have made
    /// a file with holes there, and touching one ends the process when there is no memory left. All of it has memory
    /// in a queue that nobody meddled with, which costs next to nothing to find out.
    fn check_memory(&self) -> io::Result<()> {
        let chunks = chunks_in(&self.storage)?;
        self.storage.reserve(LINKS_AT, chunks as usize * size_of::<AtomicU32>())?;
        for chunk in [self.ring().tail().chunk(), self.ring().head().chunk()] {
            self.storage.reserve(CHUNKS_AT + chunk as usize * CHUNK, CHUNK)?;
        }
        Ok(())
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) const fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        self.map.header()
    }

    #[inline]
    pub(crate) fn ring(&self) -> Ring<'_> {
        let (capacity, max_message) = (self.identity.capacity, self.identity.max_message);
        Ring { map: &self.map, storage: &self.storage, capacity, max_message }
    }

    pub(crate) fn table(&self) -> Table<'_> {
        Table::new(self.storage.as_fd(), self.map.slots())
    }

    #[inline]
    pub(crate) fn tail(&self) -> Position {
        Position(self.header().tail.0.load(Ordering::SeqCst))
    }

    pub(crate) fn head(&self) -> Position {
        Position(self.header().head.0.load(Ordering::SeqCst))
    }

    /// How many messages there are, at an instant inside the call: the head is read while the tail holds still.
    pub(crate) fn len(&self) -> Result<usize, BackendError> {
        let mut tail = self.tail();
        for _ in 0..LOOKS {
            let head = self.head();
            let now = self.tail();
            if now == tail {
                return self.unless_removed(tail.since(head));
            }
            tail = now;
        }
        Err(self.damaged())
    }

    /// How many messages were put and taken since the queue was made.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let header = self.header();
        let puts = self.tail().total(header.put.0.total.load(Ordering::Relaxed));
        (puts, self.head().total(header.get.0.total.load(Ordering::Relaxed)))
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
        (self.identity.capacity..=MAX_CAPACITY).contains(&len)
    }

    /// Whether the queue is removed. Finishes what a remover that died half-way began: getters are refused by then,
    /// so that nobody would ever take what is put.
    pub(crate) fn is_removed(&self) -> bool {
        let removed = self.tail().is_removed();
        let begun = !removed && self.header().get.0.removed.load(Ordering::SeqCst) != 0;
        if begun {
            self.header().end(CLOSED | REMOVED);
        }
        removed || begun
    }

    /// `value`, or that the queue is gone.
    pub(crate) fn unless_removed<T>(&self, value: T) -> Result<T, BackendError> {
        if self.is_removed() { Err(self.gone()) } else { Ok(value) }
    }

    /// Closes the queue and wakes everyone.
    pub(crate) fn close(&self) {
        self.header().end(CLOSED);
    }

    /// Closes the queue and wakes everyone, if nothing was put since `tail` was read; returns whether it did.
    pub(crate) fn close_at(&self, tail: Position) -> bool {
        let word = &self.header().tail.0;
        let closed =
            word.compare_exchange(tail.0, tail.0 | CLOSED, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if closed {
            self.header().wake_everyone();
        }
        closed
    }

    /// Ends the queue: see [`Header::mark_removed`].
    pub(crate) fn mark_removed(&self) -> bool {
        self.header().mark_removed()
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
            "its memory holds what no queue can have put there",
        )
        .with_advice("remove it and make it again")
    }
}

#[allow(unsafe_code, reason = "vouches that two getters may run between fork and exec")]
// SAFETY: both methods return what the segment holds; they take no lock and allocate nothing.
unsafe impl Inheritable for Segment {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.storage.as_fd()
    }

    fn slots(&self) -> &[Slot] {
        self.map.slots()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.upkeep(|| true);
        self.presence.leave(self.table());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use ipcq_core::{GetFault, PutFault, QueueOptions, Wait};

    use ipcq_core::os::two_lock::TwoLock;

    use super::*;
    use crate::run::record_header;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn segment() -> Result<Arc<Segment>, Box<dyn std::error::Error>> {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        Ok(Segment::create(tempfile::tempfile()?.into(), identity)?)
    }

    #[test]
    fn a_removal_whose_remover_died_is_finished() -> Tested {
        let segment = segment()?;
        segment.header().get.0.removed.store(1, Ordering::SeqCst);
        assert!(segment.is_removed());
        assert!(matches!(segment.put(&[b"x"], Wait::No), Err(PutFault::Closed)));
        Ok(())
    }

    /// Reading it through the mapping would, and where there is no memory that ends the process.
    #[test]
    fn a_file_that_is_no_queue_gets_no_memory_when_it_is_looked_at() -> Tested {
        let file = tempfile::tempfile_in("/dev/shm")?;
        file.set_len(2 * CHUNKS_AT as u64)?;
        let opened = Segment::open(file.try_clone()?.into(), None, "shm:jobs");
        assert!(matches!(opened, Err(OpenError::Mismatch { what: "magic", .. })));
        assert_eq!(file.metadata()?.blocks(), 0);
        Ok(())
    }

    #[test]
    fn a_length_beyond_the_file_is_damage_and_not_believed() -> Tested {
        let segment = segment()?;
        segment.put(&[b"x"], Wait::No)?;
        let file = File::from(segment.storage().as_fd().try_clone_to_owned()?);
        file.write_all_at(&record_header(0, 1 << 30).to_le_bytes(), CHUNKS_AT as u64)?;
        let mut message = Vec::new();
        let outcome = segment.get(&mut message, Wait::No);
        assert!(
            matches!(outcome, Err(GetFault::Backend(error)) if error.kind() == BackendErrorKind::Damaged)
        );
        assert_eq!(message.capacity(), 0);
        Ok(())
    }
}
