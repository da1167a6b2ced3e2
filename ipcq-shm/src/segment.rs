//! A queue's segment as one process has it: its file, its mapping, and who this process is in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ipcq_core::os::deliveries::{self, Acknowledging, DeadLetters, Deliveries, MoveNote};
use ipcq_core::os::ends::Ends;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::fixed::{FIXED_WORDS, Fixed, Format, OWN_WORDS};
use ipcq_core::os::inherit::Inheritable;
use ipcq_core::os::mapping::{HEAD_LEN, Mapping};
use ipcq_core::os::open_files::OpenFiles;
use ipcq_core::os::participants::Slot;
use ipcq_core::os::refusal::{GetRefusal, PutRefusal};
use ipcq_core::os::shared_queue::{Body, SharedQueue, identity_of};
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::{BackendError, Identity, OpenError, QueueName};

use crate::NAME;
use crate::layout::{CHUNKS_AT, Header, InChunks, LINKS_AT};
use crate::loans::table::Table;
use crate::loans::{Holder, Loans};
use crate::map::Map;
use crate::operate::free_tail;
use crate::position::{CHUNK, MAX_CAPACITY, Position};
use crate::ring::Ring;
use crate::storage::{OPEN_FILES, Storage};
use crate::transport::ShmTransport;

/// Where the deliveries of an acknowledged queue begin.
const DELIVERIES_AT: usize = CHUNKS_AT;

/// A queue's segment.
#[derive(Debug)]
pub(crate) struct Segment {
    map: Map,
    body: Body<Self>,
    dead_letters: Option<DeadLetters<Self>>,
    holder: Holder,
}

impl Segment {
    /// Fills the new, empty `file` with a queue that has the given identity.
    pub(crate) fn create(file: OwnedFd, identity: Identity) -> Result<Arc<Self>, Failure> {
        let prepare = || -> io::Result<(Storage, Map)> {
            let storage = Storage::new(file, &OPEN_FILES)?;
            storage.reserve(0, HEAD_LEN)?;
            storage.reserve(LINKS_AT, 4096)?;
            let gap = Self::gap(identity.acknowledged);
            storage.reserve(CHUNKS_AT + gap, CHUNK)?;
            if identity.acknowledged {
                Deliveries::reserve_first(&storage, DELIVERIES_AT)?;
            }
            let mapping = Mapping::with_gap(&storage, gap)?;
            let map = Map::new(mapping, Self::deliveries_in(&storage, identity.acknowledged)?);
            Ok((storage, map))
        };
        let (storage, map) = prepare()
            .map_err(|source| Failure::new("the memory for an empty queue could not be had", source))?;
        Fixed::of(&identity, [0; OWN_WORDS]).write(&map.header().fixed, &Self::FORMAT)?;
        map.header().put.0.chunks.store(1, Ordering::Relaxed);
        map.header().memory.0.ring.store(1, Ordering::Relaxed);
        if let Some(deliveries) = map.deliveries() {
            deliveries.begin();
        }
        Ok(Self::assemble(map, storage, identity))
    }

    /// Opens the queue in `file`, which is called `label` in errors.
    pub(crate) fn open(
        file: OwnedFd,
        place: Option<(QueueName, PathBuf)>,
        label: &str,
    ) -> Result<Arc<Self>, OpenError> {
        let (storage, mapping) = Self::map(file, label)?;
        let fixed = Self::read_fixed(&mapping, label)?;
        if mapping.place(0) != CHUNKS_AT + Self::gap(fixed.acknowledged) {
            return Err(OpenError::mismatch(label, "header", "damaged", "an undamaged one"));
        }
        let deliveries = Self::deliveries_in(&storage, fixed.acknowledged).map_err(|source| {
            Failure::new("its deliveries could not be mapped", source).into_backend(label)
        })?;
        let identity = identity_of(NAME, place, &fixed);
        let segment = Self::assemble(Map::new(mapping, deliveries), storage, identity);
        segment.check_positions(label)?;
        segment.check_memory().map_err(|source| {
            Failure::new("its memory has holes that could not be filled", source).into_backend(label)
        })?;
        segment.upkeep(&|| true);
        Ok(segment)
    }

    fn assemble(map: Map, storage: Storage, identity: Identity) -> Arc<Self> {
        let dead_letters = DeadLetters::of(&identity);
        Arc::new_cyclic(|this| Self {
            map,
            body: Body::new(storage, identity, this.clone()),
            dead_letters,
            holder: Holder::new(),
        })
    }

    fn deliveries_in(storage: &Storage, acknowledged: bool) -> io::Result<Option<Deliveries>> {
        acknowledged.then(|| Deliveries::new(storage, DELIVERIES_AT)).transpose()
    }

    fn check_positions(&self, label: &str) -> Result<(), OpenError> {
        let ring = self.ring();
        for (what, at) in [("tail", ring.tail()), ("head", ring.head())] {
            if self.map.chunk(at.chunk(), self.storage()).is_err() {
                return Err(OpenError::mismatch(label, what, "outside its memory", "one inside it"));
            }
        }
        self.check_count(label)
    }

    /// Sees to it that the links have memory, and the chunks in which the queue begins and ends: somebody may have made
    /// a file with holes there, and touching one ends the process when there is no memory left. All of it has memory
    /// in a queue that nobody meddled with, which costs next to nothing to find out.
    fn check_memory(&self) -> io::Result<()> {
        let chunks = self.map.units_in(self.storage())?;
        self.storage().reserve(LINKS_AT, chunks as usize * size_of::<AtomicU32>())?;
        for chunk in [self.ring().tail().chunk(), self.ring().head().chunk()] {
            self.storage().reserve(self.map.place(chunk), CHUNK)?;
        }
        if let Ok(Some(table)) = Table::find(&self.map, self.storage()) {
            self.storage().reserve(self.map.place(table.chunk()), CHUNK)?;
        }
        let Some(deliveries) = self.deliveries() else { return Ok(()) };
        Deliveries::reserve_first(self.storage(), DELIVERIES_AT)?;
        deliveries.fill_holes(self.storage(), self.storage().bytes()?)
    }

    pub(crate) const fn storage(&self) -> &Storage {
        &self.body.storage
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        self.map.header()
    }

    #[inline]
    pub(crate) fn ring(&self) -> Ring<'_> {
        let identity = &self.body.identity;
        let (capacity, max_message) = (identity.capacity, identity.max_message);
        Ring { map: &self.map, storage: self.storage(), capacity, max_message }
    }

    /// What it has lent.
    pub(crate) fn loans(&self) -> Loans<'_> {
        Loans { chunks: self.ring().chunks(), holder: &self.holder }
    }

    pub(crate) fn damaged(&self) -> BackendError {
        self.damage()
    }
}

impl SharedQueue for Segment {
    type Layout = InChunks;
    const FORMAT: Format = Format { magic: *b"ipcq.shm", version: 5, max_capacity: MAX_CAPACITY };
    const ANONYMOUS: &'static str = "(anonymous memory)";
    const DAMAGED: &'static str = "its memory holds what no queue can have put there";
    const ENDS_WITH_LAST_HANDLE: bool = false;

    fn open_files() -> &'static OpenFiles<Self> {
        &OPEN_FILES
    }

    #[inline]
    fn mapping(&self) -> &Mapping<InChunks> {
        &self.map
    }

    #[inline]
    fn body(&self) -> &Body<Self> {
        &self.body
    }

    fn fixed_words(header: &Header) -> &[AtomicU64; FIXED_WORDS] {
        &header.fixed
    }

    fn gap(acknowledged: bool) -> usize {
        if acknowledged { deliveries::LEN } else { 0 }
    }

    #[inline]
    fn deliveries(&self) -> Option<&Deliveries> {
        self.map.deliveries()
    }

    fn upkeep(&self, go_on: &dyn Fn() -> bool) {
        self.tidy_up(go_on);
    }
}

#[allow(unsafe_code, reason = "vouches that two getters may run between fork and exec")]
// SAFETY: both methods return what the segment holds; they take no lock and allocate nothing.
unsafe impl Inheritable for Segment {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.storage().as_fd()
    }

    fn slots(&self) -> &[Slot] {
        self.map.slots()
    }
}

impl Acknowledging for Segment {
    /// The head, and the one that takes the message.
    type Next = (Position, Position);

    fn find(directory: &Path, name: &QueueName) -> Option<Arc<Self>> {
        ShmTransport::in_directory(directory).open_by_name(name).ok()
    }

    fn dead_letters(&self) -> Option<&DeadLetters<Self>> {
        self.dead_letters.as_ref()
    }

    fn note(&self) -> &MoveNote {
        &self.header().moving.0
    }

    fn copy_next(&self, message: &mut Vec<u8>) -> Result<Self::Next, GetRefusal> {
        let ring = self.ring();
        let head = ring.head();
        ring.available(head)?;
        let mut run = ring.run(head)?;
        let len = ring.length(&run)?;
        if len > message.capacity() {
            return Err(GetRefusal::TooSmall(len));
        }
        ring.copy(&mut run, len, message)?;
        Ok((head, run.position()))
    }

    fn take(&self, (head, next): Self::Next) {
        self.ring().take(head, next);
        if head.chunk() != next.chunk() {
            self.memory_was_freed();
        }
    }

    fn put_noted(&self, message: &[u8], write_note: impl FnOnce(u64)) -> Result<(), PutRefusal> {
        let ring = self.ring();
        let (tail, _) = free_tail(&ring)?;
        let staged = ring.stage(tail, &[message], message.len())?;
        write_note(self.header().totals().0);
        ring.publish(tail, staged)?;
        ring.count_bytes(message.len());
        Ok(())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(deliveries) = self.deliveries() {
            deliveries.leave(self.storage());
        }
        self.leave();
        self.loans().leave();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use ipcq_core::os::lock::RobustLock;
    use ipcq_core::{BackendErrorKind, GetFault, PutFault, QueueOptions, Wait};

    use super::*;
    use crate::run::record_header;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    const REMOVERS: usize = 2;
    const ROUNDS: usize = 20_000;

    fn segment() -> Result<Arc<Segment>, Box<dyn std::error::Error>> {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        Ok(Segment::create(tempfile::tempfile()?.into(), identity)?)
    }

    #[test]
    fn a_removal_whose_remover_died_is_finished() -> Tested {
        let segment = segment()?;
        segment.header().get.0.removed.store(1, Ordering::SeqCst);
        assert!(segment.header().is_removed());
        assert!(matches!(segment.put(&[b"x"], Wait::No), Err(PutFault::Closed)));
        Ok(())
    }

    #[test]
    fn a_death_inside_a_call_is_counted_once() -> Tested {
        let segment = segment()?;
        let deaths =
            || [&segment.header().put.0.lock, &segment.header().get.0.lock].map(|lock| lock.deaths());
        let dies = |with: &RobustLock| {
            let life = || std::mem::forget(with.lock(Wait::Forever));
            thread::scope(|scope| scope.spawn(life).join()).expect("a thread that ends by itself");
        };
        let mut message = Vec::new();
        for round in 1..=3 {
            dies(&segment.header().put.0.lock);
            segment.put(&[b"x"], Wait::No)?;
            segment.put(&[b"y"], Wait::No)?;
            assert_eq!(deaths(), [round, round - 1]);
            dies(&segment.header().get.0.lock);
            segment.get(&mut message, Wait::No)?;
            segment.get(&mut message, Wait::No)?;
            assert_eq!(deaths(), [round, round]);
        }
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

    #[test]
    fn of_all_who_end_a_queue_at_once_one_is_the_first() -> Tested {
        let segment = segment()?;
        let (arrived, firsts) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // They pass each gate together, without sleeping, so that they meet.
        let meet = |times: usize| {
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < times * REMOVERS {
                thread::yield_now();
            }
        };
        // One of them comes a little later, by a different time in each round.
        let remove = &|late: usize| {
            for round in 0..ROUNDS {
                meet(2 * round + 1);
                (0..late * (round % 64)).for_each(|_| std::hint::black_box(()));
                firsts.fetch_add(usize::from(segment.header().mark_removed()), Ordering::SeqCst);
                meet(2 * round + 2);
                segment.header().get.0.removed.store(0, Ordering::SeqCst);
            }
        };
        thread::scope(|scope| (0..REMOVERS).for_each(|late| drop(scope.spawn(move || remove(late)))));
        assert_eq!(firsts.load(Ordering::SeqCst), ROUNDS);
        Ok(())
    }
}
