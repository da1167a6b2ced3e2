//! A queue in a file that all its processes map: what one process has of it, and what follows from that alone.
//!
//! A backend says where the words are ([`Ends`], [`Layout`]) and how messages are stored and taken
//! ([`TwoLock`](super::two_lock::TwoLock)); that its callers can wait, that it can be opened, shared, closed and removed,
//! and whom it counts as producers, is here.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::deliveries::Deliveries;
use super::deliveries::unsettled::{self, Counts};
use super::directory::{FileId, Found};
use super::ends::{Ends, REMOVED};
use super::event::Event;
use super::failure::Failure;
use super::fixed::{FIXED_WORDS, FLAGS_OFFSET, Fixed, Format, is_acknowledged};
use super::lock::RobustLock;
use super::mapping::{HEAD_LEN, Layout, Mapping};
use super::open_files::OpenFiles;
use super::participants::{Producers, Side, Table, Waiting};
use super::presence::Presence;
use super::reaper::{Reaper, Reclaim};
use super::storage::Storage;
use super::waiting::{Turns, TwoSided};
use crate::error::BackendErrorKind;
use crate::trace;
use crate::{BackendError, Identity, OpenError, QueueName};

/// What one process has of a queue beside its mapping.
#[derive(Debug)]
pub struct Body<Q: 'static> {
    /// The file.
    pub storage: Storage<Q>,
    /// What was fixed when the queue was made.
    pub identity: Identity,
    /// Who this process is in it.
    pub presence: Presence,
    /// How its calls wait.
    pub turns: Turns,
    /// Its thread that gives memory back.
    pub reaper: Reaper<Q>,
    /// How many handles it has; who holds the queue beyond them does so for a moment only.
    pub(super) handles: AtomicUsize,
}

impl<Q: Reclaim> Body<Q> {
    /// What this process has of the queue in `storage`, which `queue` will lead to.
    #[must_use]
    pub fn new(storage: Storage<Q>, identity: Identity, queue: Weak<Q>) -> Self {
        Self {
            storage,
            identity,
            presence: Presence::default(),
            turns: Turns::default(),
            reaper: Reaper::new(queue),
            handles: AtomicUsize::new(0),
        }
    }
}

/// A queue in a file. What is required says what the backend has; the rest is the same for all.
pub trait SharedQueue: Reclaim + fmt::Debug {
    /// What its file looks like.
    type Layout: Layout<Header: Ends>;
    /// What tells its files from others.
    const FORMAT: Format;
    /// What `stat` calls the place of a queue without a name.
    const ANONYMOUS: &'static str;
    /// What an error says of a queue that is damaged.
    const DAMAGED: &'static str;
    /// Whether a named queue ends with its last handle.
    const ENDS_WITH_LAST_HANDLE: bool;

    /// The queues of this backend that this process has open.
    fn open_files() -> &'static OpenFiles<Self>;

    /// Its file as it is mapped here.
    fn mapping(&self) -> &Mapping<Self::Layout>;

    /// What else this process has of it.
    fn body(&self) -> &Body<Self>;

    /// Where the fixed part of its header is.
    fn fixed_words(header: &<Self::Layout as Layout>::Header) -> &[AtomicU64; FIXED_WORDS];

    /// How many bytes of something else there are in the file of a queue that may be acknowledged, before the units.
    #[must_use]
    fn gap(_acknowledged: bool) -> usize {
        0
    }

    /// What it has handed out, if messages are to be acknowledged.
    fn deliveries(&self) -> Option<&Deliveries> {
        None
    }

    /// Whether there is room for one message more, at an instant inside the call.
    fn has_room(&self) -> bool {
        match self.deliveries() {
            None => !self.words().is_full(self.body().identity.capacity),
            Some(deliveries) => unsettled::has_room(self, deliveries),
        }
    }

    /// Whether there is a message, at an instant inside the call.
    fn has_message(&self) -> bool {
        !self.words().is_empty() || self.deliveries().is_some_and(|all| all.ledger().ready() > 0)
    }

    /// Whether callers on `side` will never be able to go on again. On a closed queue, gets wait for what is in flight,
    /// which may come back.
    fn has_ended_for(&self, side: Side) -> bool {
        self.words().is_closed() && !(side == Side::Get && self.may_come_back())
    }

    /// Whether a closed queue may still have something for getters that is in the hands of others.
    fn may_come_back(&self) -> bool {
        let is_removed = || self.words().tail_word().load(Ordering::SeqCst) & REMOVED != 0;
        self.deliveries().is_some_and(|all| !is_removed() && unsettled::remaining(self, all) > 0)
    }

    /// How many messages there are beyond what getters can take now, and which take room: a hint.
    fn in_hand(&self) -> usize {
        self.deliveries().map_or(0, |deliveries| unsettled::in_hand(self, deliveries))
    }

    /// Repairs what the dead left, and gives back what memory is free, for as long as the caller wants to `go_on`. Never
    /// waits for another participant.
    fn upkeep(&self, go_on: &dyn Fn() -> bool);

    /// One step of that, by a call that found nothing to do, and does not wait: it may come again within a microsecond.
    fn upkeep_in_passing(&self) {
        self.upkeep(&|| false);
    }

    /// The bytes of memory that it uses.
    ///
    /// # Errors
    /// When the system does not say.
    fn bytes(&self) -> io::Result<u64> {
        self.body().storage.bytes()
    }

    /// Passes to a child what a process needs of it beside its file.
    ///
    /// # Errors
    /// When it cannot be passed.
    fn share_the_rest(&self, _command: &mut Command) -> io::Result<()> {
        Ok(())
    }

    /// The words at the beginning.
    #[inline]
    fn words(&self) -> &<Self::Layout as Layout>::Header {
        self.mapping().header()
    }

    /// The processes in it.
    fn participants(&self) -> Table<'_> {
        Table::new(self.body().storage.as_fd(), self.mapping().slots())
    }

    /// How many messages there are, at an instant inside the call.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    fn message_count(&self) -> Result<usize, BackendError> {
        if let Some(deliveries) = self.deliveries() {
            return Counts::of(self, deliveries).and_then(|counts| self.unless_removed(counts.ready()));
        }
        self.words().len().map_or_else(|| Err(self.damage()), |len| self.unless_removed(len))
    }

    /// Checks that there are not more messages than there can be.
    ///
    /// # Errors
    /// When there are.
    fn check_count(&self, label: &str) -> Result<(), OpenError> {
        match self.message_count() {
            Ok(len) if len <= self.body().identity.capacity => Ok(()),
            _ if self.words().is_removed() => Ok(()),
            _ => Err(OpenError::mismatch(label, "length", "above its capacity", "one within it")),
        }
    }

    /// `value`, or that the queue is gone.
    ///
    /// # Errors
    /// When it was removed.
    fn unless_removed<T>(&self, value: T) -> Result<T, BackendError> {
        if !self.words().is_removed() {
            return Ok(value);
        }
        Err(self.body().identity.gone())
    }

    /// What an error says of a queue whose words make no sense.
    #[cold]
    fn damage(&self) -> BackendError {
        let identity = &self.body().identity;
        if self.mapping().is_outgrown(&self.body().storage) {
            let what = "it has grown beyond what fits into this process's address space";
            return BackendError::new(BackendErrorKind::NoRoom, identity, what)
                .with_advice("raise the limit (ulimit -v), or take messages out in a process that has more");
        }
        BackendError::new(BackendErrorKind::Damaged, identity, Self::DAMAGED)
            .with_advice("remove it and make it again")
    }

    /// Counts one more handle as a producer; see [`Presence::add_producer`].
    ///
    /// # Errors
    /// When the queue has no room for one more participant.
    fn add_producer(&self, of_handle: &AtomicU64) -> Result<(), BackendError> {
        self.close_if_abandoned();
        let added = self.body().presence.add_producer(of_handle, self.participants());
        added.map_err(|failure| failure.into_backend(&self.body().identity))
    }

    /// Counts one handle less, and closes the queue when nobody is left.
    fn drop_producer(&self, of_handle: &AtomicU64) {
        if self.body().presence.drop_producer(of_handle, self.participants()) {
            self.close_if_abandoned();
        }
    }

    /// Whether this process was registered as a producer before it began to run, and no handle stands for that yet.
    fn is_registered_by_parent(&self) -> bool {
        self.body().identity.auto_close && self.body().presence.is_registered_by_parent(self.participants())
    }

    /// Gives up all that this process is and has in the queue, but for the file: what dropping it does.
    fn leave(&self) {
        self.upkeep(&|| true);
        self.body().presence.leave(self.participants());
    }

    /// Maps the queue in `file` as far as it is one, whatever this process may do with it.
    ///
    /// # Errors
    /// When it is none, or has no memory.
    fn map(file: OwnedFd, label: &str) -> Result<(Storage<Self>, Mapping<Self::Layout>), OpenError> {
        let failed = |source| Failure::new("its memory could not be mapped", source).into_backend(label);
        let storage = Storage::new(file, Self::open_files()).map_err(failed)?;
        let len = storage.len().map_err(failed)?;
        let check_len = |least: usize| {
            let (len, least) = ((len < least).then_some(len), format!("at least {least} bytes"));
            let too_short = |len| Err(OpenError::mismatch(label, "size", format!("{len} bytes"), least));
            len.map_or(Ok(()), too_short)
        };
        check_len(Self::Layout::EMPTY_LEN)?;
        Fixed::check_magic(storage.word(0).map_err(failed)?, &Self::FORMAT, label)?;
        let gap = Self::gap(is_acknowledged(storage.word(FLAGS_OFFSET).map_err(failed)?));
        check_len(Self::Layout::EMPTY_LEN + gap)?;
        storage.reserve(0, HEAD_LEN).map_err(failed)?;
        let map = Mapping::with_gap(&storage, gap).map_err(failed)?;
        Ok((storage, map))
    }

    /// What was fixed when the queue was made that `mapping` is of.
    ///
    /// # Errors
    /// When it is not one that this program can use here and now.
    fn read_fixed(mapping: &Mapping<Self::Layout>, label: &str) -> Result<Fixed, OpenError> {
        Fixed::read(Self::fixed_words(mapping.header()), &Self::FORMAT, label)
    }

    /// Enters a new file into the table of open ones, and fills it.
    ///
    /// # Errors
    /// What `fill` returned, or that it is no file.
    fn enter(
        file: OwnedFd,
        fill: impl FnOnce(OwnedFd) -> Result<Arc<Self>, Failure>,
    ) -> Result<Arc<Self>, Failure> {
        let id = FileId::of(&file).map_err(Failure::no_file)?;
        Self::open_files().find_or_open(id, |_| fill(file))
    }

    /// Ends a queue that this process cannot open, for those who can; whether it was the first to, or nothing where there
    /// is no queue to end.
    fn end_unopened(found: &Found, label: &str) -> Option<bool> {
        let end = |file| {
            let (_storage, mapping) = Self::map(file, label)?;
            Fixed::check_layout(Self::fixed_words(mapping.header()), &Self::FORMAT, label)?;
            Ok::<_, OpenError>(mapping.header().mark_removed())
        };
        let mut first = None;
        // Not entered into the table of open files: no thread shall find it there and use it.
        let refused = Self::open_files().find_or_open(found.id(), |unowned| {
            first = unowned.take().or_else(|| found.open().ok()).and_then(|file| end(file).ok());
            Err(())
        });
        // Another thread has opened it since.
        refused.map_or(first, |queue| Some(queue.words().mark_removed()))
    }
}

/// The identity of the queue whose fixed part is `fixed`.
#[must_use]
pub fn identity_of(transport: &'static str, place: Option<(QueueName, PathBuf)>, fixed: &Fixed) -> Identity {
    Identity::new(transport, place, fixed.incarnation, fixed.capacity, &fixed.options())
}

impl<Q: SharedQueue> TwoSided for Q {
    #[inline]
    fn event(&self, side: Side) -> &Event {
        self.words().event(side)
    }

    #[inline]
    fn lock_of(&self, side: Side) -> &RobustLock {
        self.words().lock(side)
    }

    fn turns(&self) -> &Turns {
        &self.body().turns
    }

    fn can_go_on(&self, side: Side) -> bool {
        match side {
            Side::Put => self.has_room(),
            Side::Get => self.has_message(),
        }
    }

    fn identity(&self) -> &Identity {
        &self.body().identity
    }

    fn backlog(&self, side: Side) -> usize {
        let len = self.words().about();
        match side {
            Side::Put => self.body().identity.capacity.saturating_sub(len + self.in_hand()),
            Side::Get => len,
        }
    }

    fn is_closed(&self) -> bool {
        self.words().is_closed()
    }

    fn has_ended(&self, side: Side) -> bool {
        self.has_ended_for(side)
    }

    fn close_if_abandoned(&self) -> bool {
        if !self.body().identity.auto_close || self.words().is_closed() {
            return false;
        }
        let tail = self.words().tail_word().load(Ordering::SeqCst);
        // A producer that came and put after the look shows in the tail.
        let is_closed =
            matches!(self.participants().producers(), Ok(Producers::AllLeft)) && self.words().close_at(tail);
        if is_closed {
            trace::abandoned(&self.body().identity);
        }
        is_closed
    }

    fn count_waiter(&self, side: Side) -> Option<Waiting<'_>> {
        self.body().presence.count_waiter(side, self.participants())
    }

    fn do_chores(&self, go_on: &dyn Fn() -> bool) {
        self.upkeep(go_on);
    }

    fn do_a_chore(&self) {
        self.upkeep_in_passing();
    }
}
