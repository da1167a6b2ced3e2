//! A queue as one process has it: its pipe, its control file, the mapping of that, and who this process is in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipcq_core::os::deliveries::{self, Acknowledging, DeadLetters, Deliveries, MoveNote};
use ipcq_core::os::directory::FileId;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::fixed::{FIXED_WORDS, Fixed, Format};
use ipcq_core::os::inherit::{self, Inheritable};
use ipcq_core::os::lock::RobustGuard;
use ipcq_core::os::mapping::{HEAD_LEN, Mapping};
use ipcq_core::os::open_files::OpenFiles;
use ipcq_core::os::participants::Slot;
use ipcq_core::os::refusal::{GetRefusal, PutRefusal, Stuck};
use ipcq_core::os::shared_queue::{Body, SharedQueue, identity_of};
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::{Identity, OpenError, QueueName};

use crate::flow::Flow;
use crate::hand::Copied;
use crate::kernel::{PAGE, Pipe};
use crate::layout::{Header, InBlocks, LENGTHS_AT, MAX_CAPACITY, POOL_AT, TAGS_AT};
use crate::map::Map;
use crate::record::{LARGE, SMALL};
use crate::size::{Settled, of_pages, pages_for};
use crate::transport::PipeTransport;
use crate::wait::Side;
use crate::{CARRIER_NAME, NAME};

/// Where the deliveries of an acknowledged queue begin.
const DELIVERIES_AT: usize = POOL_AT;

/// The queues that this process has open.
pub(crate) static OPEN_FILES: OpenFiles<Conduit> = OpenFiles::new();

/// The control file of a queue.
pub(crate) type Storage = ipcq_core::os::storage::Storage<Conduit>;

/// A queue.
#[derive(Debug)]
pub(crate) struct Conduit {
    map: Map,
    body: Body<Self>,
    pipe: Arc<Carrier>,
    /// The bytes of a record.
    record: usize,
    /// Pages of the pipe beyond those that hold the capacity.
    spare_pages: u32,
    dead_letters: Option<DeadLetters<Self>>,
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
            let gap = Self::gap(identity.acknowledged);
            storage.reserve(POOL_AT + gap - 1, 1)?;
            storage.release(POOL_AT + gap - PAGE, PAGE);
            if identity.acknowledged {
                Deliveries::reserve_first(&storage, DELIVERIES_AT)?;
            }
            let mapping = Mapping::with_gap(&storage, gap)?;
            let map = Map::new(mapping, Self::deliveries_in(&storage, identity.acknowledged)?);
            Ok((storage, map, pipe.id()?))
        };
        let (storage, map, id) = prepare()
            .map_err(|source| Failure::new("the memory for an empty queue could not be had", source))?;
        let own = [settled.record as u64, id.device, id.inode, 0];
        Fixed::of(&identity, own).write(&map.header().fixed, &Self::FORMAT)?;
        map.header().put.0.wrote_one();
        if let Some(deliveries) = map.deliveries() {
            deliveries.begin();
        }
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
        let (storage, mapping) = Self::map(file, label)?;
        let fixed = Self::read_fixed(&mapping, label)?;
        if mapping.place(0) != POOL_AT + Self::gap(fixed.acknowledged) {
            return Err(OpenError::mismatch(label, "header", "damaged", "an undamaged one"));
        }
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
            let (pages, needed) = (of_pages(pages), format!("{} or more", of_pages(needed)));
            return Err(OpenError::mismatch(label, "pipe size", pages, needed));
        }
        let identity = identity_of(NAME, place, &fixed);
        let map = Map::new(mapping, Self::deliveries_in(&storage, fixed.acknowledged).map_err(failed)?);
        let conduit = Self::assemble(map, storage, pipe, record, identity).map_err(failed)?;
        conduit.fill_holes().map_err(|source| {
            Failure::new("its memory has holes that could not be filled", source).into_backend(label)
        })?;
        conduit.settle_orphans();
        conduit.check_count(label)?;
        conduit.upkeep(&|| true);
        Ok(conduit)
    }

    fn assemble(
        map: Map,
        storage: Storage,
        pipe: Pipe,
        record: usize,
        identity: Identity,
    ) -> io::Result<Arc<Self>> {
        let spare = (pipe.size()? / PAGE).saturating_sub(pages_for(identity.capacity, record));
        let dead_letters = DeadLetters::of(&identity);
        Ok(Arc::new_cyclic(|this| Self {
            map,
            body: Body::new(storage, identity, this.clone()),
            pipe: Arc::new(Carrier(pipe)),
            record,
            spare_pages: u32::try_from(spare).unwrap_or(u32::MAX),
            dead_letters,
        }))
    }

    fn deliveries_in(storage: &Storage, acknowledged: bool) -> io::Result<Option<Deliveries>> {
        acknowledged.then(|| Deliveries::new(storage, DELIVERIES_AT)).transpose()
    }

    /// Sees to it that what was handed out has memory: somebody may have made a file with holes there, and touching one
    /// ends the process when there is no memory left.
    fn fill_holes(&self) -> io::Result<()> {
        let Some(deliveries) = self.map.deliveries() else { return Ok(()) };
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
    pub(crate) fn flow(&self) -> Flow<'_> {
        Flow {
            map: &self.map,
            storage: self.storage(),
            pipe: &self.pipe.0,
            capacity: self.body.identity.capacity,
            max_message: self.body.identity.max_message,
            record: self.record,
            spare_pages: self.spare_pages,
        }
    }
}

impl SharedQueue for Conduit {
    type Layout = InBlocks;
    const FORMAT: Format = Format { magic: *b"ipcqpipe", version: 3, max_capacity: MAX_CAPACITY };
    const ANONYMOUS: &'static str = "(anonymous pipe)";
    const DAMAGED: &'static str = "its pipe or its memory holds what no queue can have put there";
    const ENDS_WITH_LAST_HANDLE: bool = true;

    fn open_files() -> &'static OpenFiles<Self> {
        &OPEN_FILES
    }

    #[inline]
    fn mapping(&self) -> &Mapping<InBlocks> {
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

    fn upkeep_in_passing(&self) {
        self.tidy_up_in_passing();
    }

    /// Those in its file and those in its pipe.
    fn bytes(&self) -> io::Result<u64> {
        let in_pipe = self.pipe.0.len()?.next_multiple_of(PAGE);
        Ok(self.storage().bytes()? + in_pipe as u64)
    }

    fn share_the_rest(&self, command: &mut Command) -> io::Result<()> {
        inherit::share_with(command, CARRIER_NAME, Arc::clone(&self.pipe), false).map(|_number| ())
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
        self.storage().as_fd()
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

impl Acknowledging for Conduit {
    type Next = Copied;

    fn find(directory: &Path, name: &QueueName) -> Option<Arc<Self>> {
        PipeTransport::in_directory(directory).open_by_name(name).ok()
    }

    fn dead_letters(&self) -> Option<&DeadLetters<Self>> {
        self.dead_letters.as_ref()
    }

    fn note(&self) -> &MoveNote {
        &self.header().moving.0
    }

    fn copy_next(&self, message: &mut Vec<u8>) -> Result<Copied, GetRefusal> {
        self.flow().copy_by_hand(message)
    }

    fn take(&self, next: Copied) {
        self.flow().take(next.number + 1);
        if next.is_long {
            self.memory_was_freed();
        }
    }

    fn put_noted(&self, message: &[u8], write_note: impl FnOnce(u64)) -> Result<(), PutRefusal> {
        let flow = self.flow();
        let (tail, _) = flow.free_tail()?;
        let mut record = [0; LARGE];
        let record = &mut record[..flow.record];
        flow.stage(record, tail.count(), &[message], message.len())?;
        flow.side().wrote_one();
        write_note(tail.count());
        // If this process dies behind the write, the next owner of the lock publishes the message. Until that is done
        // or undone, nobody may conclude from the tail that it has not arrived.
        let dirty = &flow.side().dirty;
        dirty.store(1, Ordering::SeqCst);
        let put = flow.write(record).map_err(PutRefusal::from);
        let put = put.and_then(|_| flow.publish(tail, tail.count() + 1));
        dirty.store(0, Ordering::Release);
        put.inspect(|()| flow.count_bytes(message.len())).inspect_err(|_| flow.unstage(record, tail.count()))
    }

    fn puts_are_settled(&self) -> bool {
        self.header().put.0.dirty.load(Ordering::Acquire) == 0
    }

    fn repair_gets(&self, guard: &RobustGuard<'_>) -> Result<(), Stuck> {
        if guard.is_recovered() || self.header().get.0.dirty.load(Ordering::Relaxed) != 0 {
            self.recover(Side::Get)?;
        }
        Ok(())
    }
}

impl Drop for Conduit {
    fn drop(&mut self) {
        if let Some(deliveries) = self.map.deliveries() {
            deliveries.leave(self.storage());
        }
        self.leave();
    }
}
