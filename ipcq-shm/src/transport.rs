//! Making, finding and removing shared-memory queues.

use std::path::PathBuf;
use std::sync::Arc;

use ipcq_core::os::directory::{FileId, Found, Location, QueueDirectory, Removal, above_stdio};
use ipcq_core::os::failure::Failure;
use ipcq_core::os::inherit::Inherited;
use ipcq_core::os::machine;
use ipcq_core::{
    BackendError, BackendErrorKind, Capabilities, Channel, CreateError, Identity, Lifetime, OpenError,
    QueueName, QueueOptions, RemoveError, Transport, register_transport,
};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::NAME;
use crate::position::MAX_CAPACITY;
use crate::queue::ShmChannel;
use crate::segment::Segment;
use crate::storage::OPEN_FILES;

/// Queues in shared memory, in one directory.
///
/// Cheap to make and to clone; nothing is opened before a queue is made or looked for.
#[derive(Clone, Debug)]
pub struct ShmTransport {
    location: Location,
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
        register_transport(NAME, |address| {
            Self { location: Location::at(address.directory()) }.open(address.name())
        });
        Self { location }
    }

    fn label(name: &QueueName) -> String {
        format!("{NAME}:{name}")
    }

    fn find(&self, name: &QueueName) -> Result<(QueueDirectory, Found), OpenError> {
        let failed = |failure: Failure| {
            if failure.is_missing() {
                OpenError::missing(Self::label(name))
            } else {
                failure.into_backend(Self::label(name)).into()
            }
        };
        let directory = self.location.open().map_err(failed)?;
        let found = directory.find(&QueueDirectory::file_name(name, NAME)).map_err(failed)?;
        Ok((directory, found))
    }

    fn open_segment(&self, name: &QueueName, found: &Found) -> Result<Arc<Segment>, OpenError> {
        let label = Self::label(name);
        OPEN_FILES.find_or_open(found.id(), |stray| {
            let file = match take_inherited(found.id()).or_else(|| stray.take()) {
                Some(file) => file,
                None => found.open().map_err(|failure| failure.into_backend(&label))?,
            };
            let place = (name.clone(), self.location.path().to_owned());
            Segment::open(file, Some(place), &label)
        })
    }

    fn make(&self, name: &QueueName, identity: Identity, mode: u32) -> Result<Arc<Segment>, CreateError> {
        let label = Self::label(name);
        let failed = |failure: Failure| CreateError::Backend(failure.into_backend(&label));
        let directory = self.location.open_or_create().map_err(failed)?;
        let file_name = QueueDirectory::file_name(name, NAME);
        if directory.find(&file_name).is_ok() && !self.clear_removed(name) {
            return Err(CreateError::exists(&label));
        }
        let file = directory.create_unnamed(mode).map_err(failed)?;
        let file = above_stdio(file).map_err(|source| failed(no_file(source)))?;
        let segment = register(file, |file| Segment::create(file, identity)).map_err(failed)?;
        match directory.publish(ipcq_core::os::inherit::Inheritable::descriptor(&*segment), &file_name) {
            Ok(()) => Ok(segment),
            Err(failure) if failure.exists() => Err(CreateError::exists(&label)),
            Err(failure) => Err(failed(failure)),
        }
    }

    /// Takes away the name of a queue whose remover died half-way; returns whether the name is free now.
    fn clear_removed(&self, name: &QueueName) -> bool {
        let Ok((directory, found)) = self.find(name) else { return true };
        let removed = self.open_segment(name, &found).is_ok_and(|segment| segment.is_removed());
        removed && directory.unlink_if(&QueueDirectory::file_name(name, NAME), found.id()).is_ok()
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
        Capabilities::new(Lifetime::UntilRemoved, MAX_CAPACITY, u32::MAX as usize)
    }

    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let place = (name.clone(), self.location.path().to_owned());
        let identity = self.identity(Some(place), options)?;
        Ok(Arc::new(ShmChannel::new(self.make(name, identity, options.mode_bits())?)))
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let identity = self.identity(None, options)?;
        let label = identity.to_string();
        let failed = |failure: Failure| CreateError::Backend(failure.into_backend(&label));
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create("ipcq", flags).map_err(|errno| failed(no_file(errno.into())))?;
        let file = above_stdio(file).map_err(|source| failed(no_file(source)))?;
        let segment = register(file, |file| Segment::create(file, identity)).map_err(failed)?;
        // Nobody can pull the memory from under the others.
        fcntl(segment.storage(), FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL))
            .map_err(|errno| failed(Failure::new("its memory could not be sealed", errno.into())))?;
        Ok(Arc::new(ShmChannel::new(segment)))
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        let (_, found) = self.find(name)?;
        let segment = self.open_segment(name, &found)?;
        if segment.is_removed() {
            return Err(OpenError::missing(Self::label(name)));
        }
        Ok(Arc::new(ShmChannel::inherited(segment)?))
    }

    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        let label = format!("{NAME}:(inherited number {number})");
        let inherited = Inherited::find(NAME, number).ok_or_else(|| OpenError::not_shared(NAME, number))?;
        let segment = OPEN_FILES.find_or_open(inherited.file(), |_| {
            let file = take_inherited(inherited.file()).ok_or_else(|| OpenError::not_shared(NAME, number))?;
            Segment::open(file, None, &label)
        })?;
        Ok(Arc::new(ShmChannel::inherited(segment)?))
    }

    fn remove(&self, name: &QueueName) -> Result<(), RemoveError> {
        let label = Self::label(name);
        let (directory, found) = self.find(name).map_err(|error| match error {
            OpenError::Backend(error) => RemoveError::Backend(error),
            OpenError::Denied { queue } => {
                BackendError::new(BackendErrorKind::Denied, queue, "its directory belongs to another user")
                    .into()
            }
            _ => RemoveError::missing(&label),
        })?;
        // Ending a queue and then finding that its name stays would destroy it half.
        directory.check_removal(&found).map_err(|failure| failure.into_backend(&label))?;
        let first = match self.open_segment(name, &found) {
            Ok(segment) => Some(segment.mark_removed()),
            // It may have users, whom this process cannot tell: they would wait for ever.
            Err(OpenError::Backend(error)) if error.is_no_room() => return Err(error.into()),
            Err(OpenError::Denied { queue }) => {
                let what = "this user may not open it, and so not end it";
                return Err(BackendError::new(BackendErrorKind::Denied, queue, what).into());
            }
            // It may have users all the same: those in the process namespace that it was made in.
            Err(OpenError::Mismatch { what: "process namespace", .. }) => Self::end_unopened(&found, &label),
            // Words that are damaged do not say who was the first.
            Err(_) => Self::end_unopened(&found, &label).and(None),
        };
        let unlinked = directory.unlink_if(&QueueDirectory::file_name(name, NAME), found.id());
        let unlinked = unlinked.map_err(|failure| failure.into_backend(&label))?;
        // Of those who remove one queue, the first that ended it did it; what could not be ended is unlinked once.
        let won = first.unwrap_or(unlinked == Removal::Removed);
        if won { Ok(()) } else { Err(RemoveError::missing(label)) }
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        let queues = match self.location.open() {
            Ok(directory) => directory.list(NAME),
            Err(failure) if failure.is_missing() => return Ok(Vec::new()),
            Err(failure) => Err(failure),
        };
        queues.map_err(|failure| failure.into_backend(NAME))
    }

    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        let mut lines = Vec::new();
        for name in self.list()? {
            let Ok((directory, found)) = self.find(&name) else { continue };
            let why = match self.open_segment(&name, &found) {
                Ok(segment) if segment.is_removed() => "its remover died half-way",
                Err(OpenError::Mismatch { what: "boot", .. }) => "it was made before the machine started",
                _ => continue,
            };
            let unlinked = directory.unlink_if(&QueueDirectory::file_name(&name, NAME), found.id());
            unlinked.map_err(|failure| failure.into_backend(Self::label(&name)))?;
            lines.push(format!("{}: removed, because {why}", Self::label(&name)));
        }
        Ok(lines)
    }
}

impl ShmTransport {
    /// Ends a queue that this process cannot open; whether it was the first to, or nothing where there is no queue
    /// to end.
    fn end_unopened(found: &Found, label: &str) -> Option<bool> {
        let mut first = None;
        // Not entered into the table of open files: no thread shall find it there and use it.
        let refused = OPEN_FILES.find_or_open(found.id(), |stray| {
            first = stray
                .take()
                .or_else(|| found.open().ok())
                .and_then(|file| Segment::end_unopened(file, label).ok());
            Err(())
        });
        // Another thread has opened it since.
        refused.map_or(first, |segment| Some(segment.mark_removed()))
    }

    fn identity(
        &self,
        place: Option<(QueueName, PathBuf)>,
        options: &QueueOptions,
    ) -> Result<Identity, CreateError> {
        let capacity = options.settle(NAME, &self.capabilities())?;
        let incarnation = machine::random_u128().map_err(|source| {
            BackendError::new(BackendErrorKind::Other, NAME, "no random number could be had")
                .with_source(source)
        })?;
        Ok(Identity::new(NAME, place, incarnation, capacity, options))
    }
}

/// Enters a new file into the table of open ones, and fills it.
fn register(
    file: std::os::fd::OwnedFd,
    fill: impl FnOnce(std::os::fd::OwnedFd) -> Result<Arc<Segment>, Failure>,
) -> Result<Arc<Segment>, Failure> {
    let id = FileId::of(&file).map_err(no_file)?;
    OPEN_FILES.find_or_open(id, |_| fill(file))
}

/// The descriptor of the file `id` that this process inherited, if it did.
#[allow(unsafe_code, reason = "taking over a descriptor number")]
fn take_inherited(id: FileId) -> Option<std::os::fd::OwnedFd> {
    let inherited = Inherited::of_file(NAME, id)?;
    // SAFETY: called only while `OPEN_FILES` has the file marked as being opened: it is not in the table, so
    // nothing in this process owns the descriptor, and nobody else takes it now.
    unsafe { inherited.take() }.ok()
}

fn no_file(source: std::io::Error) -> Failure {
    Failure::new("no file could be made for it", source)
}
