//! Making, finding and removing queues over pipes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use ipcq_core::os::directory::{FileId, Found, Location, QueueDirectory, Removal, above_stdio};
use ipcq_core::os::failure::Failure;
use ipcq_core::os::inherit::{Inheritable, Inherited};
use ipcq_core::os::machine;
use ipcq_core::{
    BackendError, BackendErrorKind, Capabilities, Channel, CreateError, Identity, Lifetime, OpenError,
    QueueName, QueueOptions, RemoveError, SystemLimit, Transport, register_transport,
};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::conduit::{Conduit, OPEN_FILES};
use crate::kernel::Pipe;
use crate::names::{self, fifo_name};
use crate::queue::PipeChannel;
use crate::size::{self, Settled};
use crate::{CARRIER_NAME, NAME};

/// How often a creator clears a dead queue of its name away and tries again: others may make one and die meanwhile.
const ATTEMPTS: u32 = 100;

/// Queues over kernel pipes, in one directory.
///
/// Cheap to make and to clone; nothing is opened before a queue is made or looked for.
#[derive(Clone, Debug)]
pub struct PipeTransport {
    location: Location,
}

impl PipeTransport {
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

    /// The queue whose control file was `found`; `Missing` when nobody holds it any more.
    fn open_conduit(
        &self,
        name: &QueueName,
        directory: &QueueDirectory,
        found: &Found,
    ) -> Result<Arc<Conduit>, OpenError> {
        let label = Self::label(name);
        OPEN_FILES.find_or_open(found.id(), |stray| {
            let file = match take_inherited(NAME, found.id()).or_else(|| stray.take()) {
                Some(file) => file,
                None => found.open().map_err(|failure| failure.into_backend(&label))?,
            };
            let place = (name.clone(), self.location.path().to_owned());
            Conduit::open(file, Some(place), &label, |fixed, id| {
                if let Some(pipe) = inherited_pipe(id, &label)? {
                    return Ok(pipe);
                }
                let pipe = names::open_fifo(directory, &fifo_name(name, fixed.incarnation), id);
                pipe.map_err(|failure| failure.into_backend(&label))?
                    .ok_or_else(|| OpenError::missing(&label))
            })
        })
    }

    /// Makes the files of the queue `name`, and gives the control file its name last.
    fn make(
        &self,
        name: &QueueName,
        capacity: usize,
        options: &QueueOptions,
    ) -> Result<Arc<Conduit>, CreateError> {
        let label = Self::label(name);
        let failed = |failure: Failure| CreateError::Backend(failure.into_backend(&label));
        let directory = self.location.open_or_create().map_err(failed)?;
        let file_name = QueueDirectory::file_name(name, NAME);
        if directory.find(&file_name).is_ok() && !self.clear_dead(name) {
            return Err(CreateError::exists(&label));
        }
        names::sweep(&directory, Some(name)).map_err(failed)?;
        let incarnation = incarnation()?;
        let fifo = fifo_name(name, incarnation);
        let pipe = names::make_fifo(&directory, &fifo, options.mode_bits()).map_err(failed)?;
        let fill = || -> Result<Arc<Conduit>, Failure> {
            let settled = size::settle(&pipe, capacity, options.wanted_capacity())?;
            let place = (name.clone(), self.location.path().to_owned());
            let identity = Identity::new(NAME, Some(place), incarnation, settled.capacity, options);
            let file = directory.create_unnamed(options.mode_bits())?;
            fill(file, pipe, settled, identity)
        };
        let made = fill().map_err(failed).and_then(|conduit| {
            for _ in 0..ATTEMPTS {
                match directory.publish(conduit.descriptor(), &file_name) {
                    Ok(()) => return Ok(conduit),
                    Err(failure) if !failure.exists() => return Err(failed(failure)),
                    Err(_) if !self.clear_dead(name) => break,
                    Err(_) => {}
                }
            }
            Err(CreateError::exists(&label))
        });
        made.inspect_err(|_| names::unlink_fifo(&directory, &fifo))
    }

    /// Ends a queue that this process cannot open; whether it was the first to, or nothing where there is no queue
    /// to end.
    fn end_unopened(found: &Found, label: &str) -> Option<bool> {
        let mut first = None;
        // Not entered into the table of open files: no thread shall find it there and use it.
        let refused = OPEN_FILES.find_or_open(found.id(), |stray| {
            let file = stray.take().or_else(|| found.open().ok());
            first = file.and_then(|file| Conduit::end_unopened(file, label).ok());
            Err(())
        });
        // Another thread has opened it since.
        refused.map_or(first, |conduit| Some(conduit.header().mark_removed()))
    }

    /// Takes away what is left of a queue that nobody holds, or whose remover died half-way; returns whether the name
    /// is free now.
    fn clear_dead(&self, name: &QueueName) -> bool {
        let Ok((directory, found)) = self.find(name) else { return true };
        match self.open_conduit(name, &directory, &found) {
            Ok(conduit) if !conduit.is_removed() => return false,
            Ok(_) | Err(OpenError::Missing { .. }) => {}
            Err(_) => return false,
        }
        let cleared = directory.unlink_if(&QueueDirectory::file_name(name, NAME), found.id()).is_ok();
        // What stays of it is swept the next time.
        let _ = names::sweep(&directory, Some(name));
        cleared
    }
}

impl Default for PipeTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for PipeTransport {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Lifetime::WhileAnyHandle, size::largest(), u32::MAX as usize)
    }

    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let capacity = options.settle(NAME, &self.capabilities())?;
        Ok(Arc::new(PipeChannel::new(self.make(name, capacity, options)?)))
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let capacity = options.settle(NAME, &self.capabilities())?;
        let incarnation = incarnation()?;
        let make = || -> Result<Arc<Conduit>, Failure> {
            let pipe =
                Pipe::unnamed().map_err(|source| Failure::new("no pipe could be made for it", source))?;
            let settled = size::settle(&pipe, capacity, options.wanted_capacity())?;
            let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
            let file = memfd_create("ipcq", flags).map_err(|errno| no_file(errno.into()))?;
            let file = above_stdio(file).map_err(no_file)?;
            let identity = Identity::new(NAME, None, incarnation, settled.capacity, options);
            let conduit = fill(file, pipe, settled, identity)?;
            // Nobody can pull the memory from under the others.
            fcntl(conduit.storage(), FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL))
                .map_err(|errno| Failure::new("its memory could not be sealed", errno.into()))?;
            Ok(conduit)
        };
        let made = make().map_err(|failure| failure.into_backend(format_args!("{NAME}:(anonymous)")))?;
        Ok(Arc::new(PipeChannel::new(made)))
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        let (directory, found) = self.find(name)?;
        let conduit = self.open_conduit(name, &directory, &found)?;
        if conduit.is_removed() {
            return Err(OpenError::missing(Self::label(name)));
        }
        Ok(Arc::new(PipeChannel::inherited(conduit)?))
    }

    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        let label = format!("{NAME}:(inherited number {number})");
        let missing = || OpenError::missing(&label);
        let inherited = Inherited::find(NAME, number).ok_or_else(missing)?;
        let conduit = OPEN_FILES.find_or_open(inherited.file(), |_| {
            let file = take_inherited(NAME, inherited.file()).ok_or_else(missing)?;
            Conduit::open(file, None, &label, |_, id| inherited_pipe(id, &label)?.ok_or_else(missing))
        })?;
        Ok(Arc::new(PipeChannel::inherited(conduit)?))
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
        let failed = |failure: Failure| failure.into_backend(&label);
        let first = match self.open_conduit(name, &directory, &found) {
            Ok(conduit) => {
                let first = conduit.mark_removed();
                // The FIFO first: a control file without one is of a dead queue, and found by its name.
                names::unlink_fifo(&directory, &fifo_name(name, conduit.identity().incarnation));
                Some(first)
            }
            // It may have users, whom this process cannot tell: they would wait for ever.
            Err(OpenError::Backend(error)) if error.is_no_room() => return Err(error.into()),
            Err(OpenError::Denied { queue }) => {
                let what = "this user may not open it, and so not end it";
                return Err(BackendError::new(BackendErrorKind::Denied, queue, what).into());
            }
            // Nobody holds it: it is gone, but for its files.
            Err(OpenError::Missing { .. }) => {
                names::sweep(&directory, Some(name)).map_err(failed)?;
                Some(false)
            }
            // What cannot be opened here may have users all the same: those in the process namespace that it was
            // made in. Words that are damaged do not say who was the first to end it.
            Err(error) => {
                let first = Self::end_unopened(&found, &label);
                names::unlink_all(&directory, name).map_err(failed)?;
                if matches!(error, OpenError::Mismatch { what: "process namespace", .. }) {
                    first
                } else {
                    None
                }
            }
        };
        let unlinked = directory.unlink_if(&QueueDirectory::file_name(name, NAME), found.id());
        // Of those who remove one queue, the first that ended it did it; what could not be ended is unlinked once.
        let unlinked = unlinked.map_err(failed)?;
        let won = first.unwrap_or(unlinked == Removal::Removed);
        if won { Ok(()) } else { Err(RemoveError::missing(label)) }
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        let failed = |failure: Failure| failure.into_backend(NAME);
        let names = match self.location.open() {
            Ok(directory) => directory.list(NAME).map_err(failed)?,
            Err(failure) if failure.is_missing() => return Ok(Vec::new()),
            Err(failure) => return Err(failed(failure)),
        };
        // What nobody holds is no queue any more.
        let is_dead = |name: &QueueName| {
            let opened = self.find(name).and_then(|(at, found)| self.open_conduit(name, &at, &found));
            matches!(opened, Err(OpenError::Missing { .. }))
        };
        Ok(names.into_iter().filter(|name| !is_dead(name)).collect())
    }

    fn limits(&self) -> Vec<SystemLimit> {
        size::limits()
    }

    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        let failed = |failure: Failure| failure.into_backend(NAME);
        let directory = match self.location.open() {
            Ok(directory) => directory,
            Err(failure) if failure.is_missing() => return Ok(Vec::new()),
            Err(failure) => return Err(failed(failure)),
        };
        let mut lines = Vec::new();
        for name in directory.list(NAME).map_err(failed)? {
            let Ok((directory, found)) = self.find(&name) else { continue };
            let why = match self.open_conduit(&name, &directory, &found) {
                Ok(conduit) if conduit.is_removed() => "its remover died half-way",
                Err(OpenError::Missing { .. }) => "nobody holds it any more",
                Err(OpenError::Mismatch { what: "boot", .. }) => "it was made before the machine started",
                _ => continue,
            };
            let unlinked = directory.unlink_if(&QueueDirectory::file_name(&name, NAME), found.id());
            unlinked.map_err(|failure| failure.into_backend(Self::label(&name)))?;
            lines.push(format!("{}: removed, because {why}", Self::label(&name)));
        }
        for name in names::sweep(&directory, None).map_err(failed)? {
            if !lines.iter().any(|line| line.starts_with(&format!("{NAME}:{name}: "))) {
                lines.push(format!("{NAME}:{name}: removed a pipe of it that nobody holds any more"));
            }
        }
        Ok(lines)
    }
}

fn incarnation() -> Result<u128, BackendError> {
    machine::random_u128().map_err(|source| {
        BackendError::new(BackendErrorKind::Other, NAME, "no random number could be had").with_source(source)
    })
}

/// Enters a new file into the table of open ones, and fills it.
fn fill(file: OwnedFd, pipe: Pipe, settled: Settled, identity: Identity) -> Result<Arc<Conduit>, Failure> {
    let id = FileId::of(&file).map_err(no_file)?;
    OPEN_FILES.find_or_open(id, |_| Conduit::create(file, pipe, settled, identity))
}

/// The descriptor of the file `id` that this process inherited, if it did.
#[allow(unsafe_code, reason = "taking over a descriptor number")]
fn take_inherited(transport: &str, id: FileId) -> Option<OwnedFd> {
    let inherited = Inherited::of_file(transport, id)?;
    // SAFETY: called only while `OPEN_FILES` has the queue marked as being opened: it is not in the table, so
    // nothing in this process owns the descriptor, and nobody else takes it now.
    unsafe { inherited.take() }.ok()
}

/// The pipe `id`, if this process inherited it.
fn inherited_pipe(id: FileId, label: &str) -> Result<Option<Pipe>, OpenError> {
    let Some(file) = take_inherited(CARRIER_NAME, id) else { return Ok(None) };
    let failed = |source| Failure::new("its pipe could not be opened", source).into_backend(label);
    Ok(Some(Pipe::reopen(file.as_fd()).map_err(failed)?))
}

fn no_file(source: std::io::Error) -> Failure {
    Failure::new("no file could be made for it", source)
}
