//! Making, finding and removing shared-memory queues.

use std::path::PathBuf;
use std::sync::Arc;

use ipcq_core::os::deliveries::channel;
use ipcq_core::os::directory::{Found, Location, Removal};
use ipcq_core::os::ends::Ends;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::handle::Handle;
use ipcq_core::os::home::{Home, Unopened};
use ipcq_core::os::inherit::{Inheritable, Inherited};
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::storage::anonymous_file;
use ipcq_core::{
    BackendError, Capabilities, Channel, CreateError, Lifetime, OpenError, QueueName, QueueOptions,
    RemoveError, Transport, register_transport,
};

use crate::NAME;
use crate::position::MAX_CAPACITY;
use crate::segment::Segment;
use crate::storage::OPEN_FILES;

/// Queues in shared memory, in one directory.
///
/// Cheap to make and to clone; nothing is opened before a queue is made or looked for.
#[derive(Clone, Debug)]
pub struct ShmTransport {
    home: Home,
}

impl ShmTransport {
    /// Queues in the directory that the environment variable `IPCQ_DIR` names, or else in the user's own, private
    /// and in memory: `/dev/shm/ipcq-UID`.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Location::from_env())
    }

    /// Queues in the directory `path`, which is made with the first queue. It should be in memory (tmpfs).
    #[must_use]
    pub fn in_directory(path: impl Into<PathBuf>) -> Self {
        Self::at(Location::at(path))
    }

    fn at(location: Location) -> Self {
        register_transport(NAME, |address| Self::at(Location::at(address.directory())).open(address.name()));
        Self { home: Home::new(NAME, location) }
    }

    fn open_segment(&self, name: &QueueName, found: &Found) -> Result<Arc<Segment>, OpenError> {
        let label = self.home.label(name);
        OPEN_FILES.find_or_open(found.id(), |unowned| {
            let file = match unowned.take_inherited(NAME) {
                Some(file) => file,
                None => found.open().map_err(|failure| failure.into_backend(&label))?,
            };
            Segment::open(file, Some(self.home.place(name)), &label)
        })
    }

    /// The queue that has this name now.
    pub(crate) fn open_by_name(&self, name: &QueueName) -> Result<Arc<Segment>, OpenError> {
        let (_, found) = self.home.find(name)?;
        let segment = self.open_segment(name, &found)?;
        if segment.header().is_removed() {
            Err(OpenError::missing(self.home.label(name)))
        } else {
            Ok(segment)
        }
    }

    /// Makes the queue `dead` for the dead letters of a queue `name` that is about to be made, unless there is one: who
    /// was killed in between has left it, or an earlier queue of that name has.
    fn make_dead_letters(
        &self,
        name: &QueueName,
        dead: &QueueName,
        options: &QueueOptions,
    ) -> Result<(), CreateError> {
        options.settle(NAME, &self.capabilities())?;
        if self.open_by_name(name).is_ok() {
            return Err(CreateError::exists(self.home.label(name)));
        }
        match self.create(dead, &options.of_dead_letters()) {
            Ok(_) | Err(CreateError::Exists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn make(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<Segment>, CreateError> {
        let label = self.home.label(name);
        let failed = |failure: Failure| CreateError::Backend(failure.into_backend(&label));
        let capacity = options.settle(NAME, &self.capabilities())?;
        let identity = self.home.new_identity(Some(name), capacity, options)?;
        let directory = self.home.location().open_or_create().map_err(failed)?;
        let file_name = self.home.file_name(name);
        if directory.find(&file_name).is_ok() && !self.clear_removed(name) {
            return Err(CreateError::exists(&label));
        }
        let file = directory.create_unnamed(options.mode_bits()).map_err(failed)?;
        let segment = Segment::enter(file, |file| Segment::create(file, identity)).map_err(failed)?;
        match directory.publish(segment.descriptor(), &file_name) {
            Ok(()) => Ok(segment),
            Err(failure) if failure.exists() => Err(CreateError::exists(&label)),
            Err(failure) => Err(failed(failure)),
        }
    }

    /// Takes away the name of a queue whose remover died half-way; returns whether the name is free now.
    fn clear_removed(&self, name: &QueueName) -> bool {
        let Ok((directory, found)) = self.home.find(name) else { return true };
        let removed = self.open_segment(name, &found).is_ok_and(|segment| segment.header().is_removed());
        removed && self.home.unlink(&directory, name, found.id()).is_ok()
    }
}

impl Default for ShmTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for ShmTransport {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Lifetime::UntilRemoved, MAX_CAPACITY, u32::MAX as usize).with_acknowledged()
    }

    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        if let Some(dead) = options.dead_letter_name(name)? {
            self.make_dead_letters(name, &dead, options)?;
        }
        Ok(made(self.make(name, options)?))
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let capacity = options.settle_anonymous(NAME, &self.capabilities())?;
        let identity = self.home.new_identity(None, capacity, options)?;
        let label = identity.to_string();
        let make = || -> Result<Arc<Segment>, Failure> {
            let file = anonymous_file().map_err(Failure::no_file)?;
            let segment = Segment::enter(file, |file| Segment::create(file, identity))?;
            segment
                .storage()
                .seal()
                .map_err(|source| Failure::new("its memory could not be sealed", source))?;
            Ok(segment)
        };
        Ok(made(make().map_err(|failure| failure.into_backend(label))?))
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        opened(self.open_by_name(name)?)
    }

    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        let label = format!("{NAME}:(inherited number {number})");
        let not_shared = || OpenError::not_shared(NAME, number);
        let inherited = Inherited::find(NAME, number).ok_or_else(not_shared)?;
        let segment = OPEN_FILES.find_or_open(inherited.file(), |unowned| {
            Segment::open(unowned.take_inherited(NAME).ok_or_else(not_shared)?, None, &label)
        })?;
        opened(segment)
    }

    fn remove(&self, name: &QueueName) -> Result<(), RemoveError> {
        let label = self.home.label(name);
        let (directory, found) = self.home.find_to_remove(name)?;
        let first = match self.open_segment(name, &found) {
            Ok(segment) => Some(segment.header().mark_removed()),
            Err(error) => {
                let why = Home::check_may_be_ended(error)?;
                let first = Segment::end_unopened(&found, &label);
                // Words that are damaged do not say who was the first.
                if why == Unopened::Foreign { first } else { None }
            }
        };
        // Of those who remove one queue, the first that ended it did it; what could not be ended is unlinked once.
        let unlinked = self.home.unlink(&directory, name, found.id())?;
        let won = first.unwrap_or(unlinked == Removal::Removed);
        if won { Ok(()) } else { Err(RemoveError::missing(label)) }
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        self.home.names()
    }

    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        let mut lines = Vec::new();
        for name in self.home.names()? {
            let Ok((directory, found)) = self.home.find(&name) else { continue };
            let why = match self.open_segment(&name, &found) {
                Ok(segment) if segment.header().is_removed() => "only the name of a removed queue was left",
                Err(OpenError::Mismatch { what: "boot", .. }) => "it was made before the machine started",
                _ => continue,
            };
            // Its remover may live, and be the one that takes the name away.
            if self.home.unlink(&directory, &name, found.id())? == Removal::Removed {
                lines.push(format!("{}: removed, because {why}", self.home.label(&name)));
            }
        }
        Ok(lines)
    }
}

/// A handle in the process that made the queue.
fn made(segment: Arc<Segment>) -> Arc<dyn Channel> {
    channel(Handle::new(segment))
}

/// The same in a process that opened it.
fn opened(segment: Arc<Segment>) -> Result<Arc<dyn Channel>, OpenError> {
    Ok(channel(Handle::opened(segment)?))
}
