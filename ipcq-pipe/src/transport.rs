//! Making, finding and removing queues over pipes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use ipcq_core::os::deliveries::{Acknowledging, channel};
use ipcq_core::os::directory::{FileId, Found, Location, QueueDirectory, Removal};
use ipcq_core::os::ends::Ends;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::handle::Handle;
use ipcq_core::os::home::{Home, Unopened};
use ipcq_core::os::inherit::{Inheritable, Inherited};
use ipcq_core::os::open_files::Unowned;
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::storage::anonymous_file;
use ipcq_core::{
    BackendError, Capabilities, Capacity, Channel, CreateError, Identity, Lifetime, OpenError, QueueName,
    QueueOptions, RemoveError, SystemLimit, Transport, register_transport,
};

use crate::conduit::{Conduit, OPEN_FILES};
use crate::kernel::Pipe;
use crate::layout::MAX_CAPACITY;
use crate::names::{self, fifo_name};
use crate::size;
use crate::{CARRIER_NAME, NAME};

/// How often a creator clears a dead queue of its name away and tries again: others may make one and die meanwhile.
const ATTEMPTS: u32 = 100;

/// Queues over kernel pipes, in one directory.
///
/// Cheap to make and to clone; nothing is opened before a queue is made or looked for.
#[derive(Clone, Debug)]
pub struct PipeTransport {
    home: Home,
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
        register_transport(NAME, |address| Self::at(Location::at(address.directory())).open(address.name()));
        Self { home: Home::new(NAME, location) }
    }

    /// The queue whose control file was `found`; `Missing` when nobody holds it any more.
    fn open_conduit(
        &self,
        name: &QueueName,
        directory: &QueueDirectory,
        found: &Found,
    ) -> Result<Arc<Conduit>, OpenError> {
        let label = self.home.label(name);
        OPEN_FILES.find_or_open(found.id(), |unowned| {
            let file = match unowned.take_inherited(NAME) {
                Some(file) => file,
                None => found.open().map_err(|failure| failure.into_backend(&label))?,
            };
            Conduit::open(file, Some(self.home.place(name)), &label, |fixed, id| {
                if let Some(pipe) = inherited_pipe(&unowned, id, &label)? {
                    return Ok(pipe);
                }
                let pipe = names::open_fifo(directory, &fifo_name(name, fixed.incarnation), id);
                pipe.map_err(|failure| failure.into_backend(&label))?
                    .ok_or_else(|| OpenError::missing(&label))
            })
        })
    }

    /// The queue that has this name now.
    pub(crate) fn open_by_name(&self, name: &QueueName) -> Result<Arc<Conduit>, OpenError> {
        let (directory, found) = self.home.find(name)?;
        let conduit = self.open_conduit(name, &directory, &found)?;
        if conduit.header().is_removed() {
            Err(OpenError::missing(self.home.label(name)))
        } else {
            Ok(conduit)
        }
    }

    /// Makes the queue `dead` for the dead letters of a queue `name` that is about to be made, or finds the one that
    /// there is: it may be held by others.
    fn make_dead_letters(
        &self,
        name: &QueueName,
        dead: &QueueName,
        options: &QueueOptions,
    ) -> Result<Arc<Conduit>, CreateError> {
        options.settle(NAME, &self.capabilities())?;
        if self.open_by_name(name).is_ok() {
            return Err(CreateError::exists(self.home.label(name)));
        }
        let mut attempts = 0..ATTEMPTS;
        loop {
            match self.make(dead, &options.of_dead_letters()) {
                Err(CreateError::Exists { .. }) if attempts.next().is_some() => {}
                made => return made,
            }
            if let Ok(found) = self.open_by_name(dead) {
                return Ok(found);
            }
        }
    }

    /// Makes the files of the queue `name`, and gives the control file its name last.
    fn make(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<Conduit>, CreateError> {
        let label = self.home.label(name);
        let failed = |failure: Failure| CreateError::Backend(failure.into_backend(&label));
        let capacity = options.settle(NAME, &self.capabilities())?;
        let identity = self.home.new_identity(Some(name), capacity, options)?;
        let directory = self.home.location().open_or_create().map_err(failed)?;
        let file_name = self.home.file_name(name);
        if directory.find(&file_name).is_ok() && !self.clear_dead(name) {
            return Err(CreateError::exists(&label));
        }
        names::sweep(&directory, Some(name)).map_err(failed)?;
        let fifo = fifo_name(name, identity.incarnation);
        let pipe = names::make_fifo(&directory, &fifo, options.mode_bits()).map_err(failed)?;
        let file = || directory.create_unnamed(options.mode_bits());
        let made =
            fill(file, pipe, identity, options.wanted_capacity()).map_err(failed).and_then(|conduit| {
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

    /// Takes away what is left of a queue that nobody holds, or whose remover died half-way; returns whether the name
    /// is free now.
    fn clear_dead(&self, name: &QueueName) -> bool {
        let Ok((directory, found)) = self.home.find(name) else { return true };
        match self.open_conduit(name, &directory, &found) {
            Ok(conduit) if !conduit.header().is_removed() => return false,
            Ok(_) | Err(OpenError::Missing { .. }) => {}
            Err(_) => return false,
        }
        let cleared = self.home.unlink(&directory, name, found.id()).is_ok();
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
        let most = size::largest();
        let can = Capabilities::new(Lifetime::WhileAnyHandle, most, u32::MAX as usize).with_acknowledged();
        if most < MAX_CAPACITY { can.with_capacity_setting(size::MAX_SIZE_SETTING) } else { can }
    }

    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let dead_letters = options.dead_letter_name(name)?;
        let dead_letters =
            dead_letters.map(|dead| self.make_dead_letters(name, &dead, options)).transpose()?;
        let conduit = self.make(name, options)?;
        if let (Some(of_conduit), Some(dead_letters)) = (conduit.dead_letters(), dead_letters) {
            of_conduit.hold(Some(dead_letters));
        }
        Ok(channel(Handle::new(conduit)))
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let capacity = options.settle_anonymous(NAME, &self.capabilities())?;
        let identity = self.home.new_identity(None, capacity, options)?;
        let label = identity.to_string();
        let make = || -> Result<Arc<Conduit>, Failure> {
            let pipe =
                Pipe::unnamed().map_err(|source| Failure::new("no pipe could be made for it", source))?;
            let file = || anonymous_file().map_err(Failure::no_file);
            let conduit = fill(file, pipe, identity, options.wanted_capacity())?;
            conduit
                .storage()
                .seal()
                .map_err(|source| Failure::new("its memory could not be sealed", source))?;
            Ok(conduit)
        };
        Ok(channel(Handle::new(make().map_err(|failure| failure.into_backend(label))?)))
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        let conduit = self.open_by_name(name)?;
        // Who has a queue holds that of its dead letters, too.
        if let Some(dead_letters) = conduit.dead_letters() {
            let _ = dead_letters.queue();
        }
        Ok(channel(Handle::opened(conduit)?))
    }

    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        let label = format!("{NAME}:(inherited number {number})");
        let not_shared = || OpenError::not_shared(NAME, number);
        let inherited = Inherited::find(NAME, number).ok_or_else(not_shared)?;
        let conduit = OPEN_FILES.find_or_open(inherited.file(), |unowned| {
            let file = unowned.take_inherited(NAME).ok_or_else(not_shared)?;
            Conduit::open(file, None, &label, |_, id| {
                inherited_pipe(&unowned, id, &label)?.ok_or_else(not_shared)
            })
        })?;
        Ok(channel(Handle::opened(conduit)?))
    }

    fn remove(&self, name: &QueueName) -> Result<(), RemoveError> {
        let label = self.home.label(name);
        let failed = |failure: Failure| failure.into_backend(&label);
        let (directory, found) = self.home.find_to_remove(name)?;
        let first = match self.open_conduit(name, &directory, &found) {
            Ok(conduit) => {
                let first = conduit.header().mark_removed();
                // The FIFO first: a control file without one is of a dead queue, and found by its name.
                names::unlink_fifo(&directory, &fifo_name(name, conduit.body().identity.incarnation));
                Some(first)
            }
            Err(error) => match Home::check_may_be_ended(error)? {
                Unopened::Dead => {
                    names::sweep(&directory, Some(name)).map_err(failed)?;
                    Some(false)
                }
                why => {
                    let first = Conduit::end_unopened(&found, &label);
                    names::unlink_all(&directory, name).map_err(failed)?;
                    // Words that are damaged do not say who was the first.
                    if why == Unopened::Foreign { first } else { None }
                }
            },
        };
        // Of those who remove one queue, the first that ended it did it; what could not be ended is unlinked once.
        let unlinked = self.home.unlink(&directory, name, found.id())?;
        let won = first.unwrap_or(unlinked == Removal::Removed);
        if won { Ok(()) } else { Err(RemoveError::missing(label)) }
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        // What nobody holds is no queue any more.
        let is_dead = |name: &QueueName| {
            let opened = self.home.find(name).and_then(|(at, found)| self.open_conduit(name, &at, &found));
            matches!(opened, Err(OpenError::Missing { .. }))
        };
        Ok(self.home.names()?.into_iter().filter(|name| !is_dead(name)).collect())
    }

    fn limits(&self) -> Vec<SystemLimit> {
        size::limits()
    }

    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        let failed = |failure: Failure| failure.into_backend(NAME);
        let mut lines = Vec::new();
        for name in self.home.names()? {
            let Ok((directory, found)) = self.home.find(&name) else { continue };
            let why = match self.open_conduit(&name, &directory, &found) {
                Ok(conduit) if conduit.header().is_removed() => "only the name of a removed queue was left",
                Err(OpenError::Missing { .. }) => "nobody holds it any more",
                Err(OpenError::Mismatch { what: "boot", .. }) => "it was made before the machine started",
                _ => continue,
            };
            // Its remover may live, and be the one that takes the name away.
            if self.home.unlink(&directory, &name, found.id())? == Removal::Removed {
                lines.push(format!("{}: removed, because {why}", self.home.label(&name)));
            }
        }
        let swept = match self.home.location().open() {
            Ok(directory) => names::sweep(&directory, None).map_err(failed)?,
            Err(failure) if failure.is_missing() => Vec::new(),
            Err(failure) => return Err(failed(failure)),
        };
        for name in swept {
            if !lines.iter().any(|line| line.starts_with(&format!("{NAME}:{name}: "))) {
                lines.push(format!("{NAME}:{name}: removed a pipe of it that nobody holds any more"));
            }
        }
        Ok(lines)
    }
}

/// Makes the queue `identity` over `pipe`, with the capacity that the pipe turns out to hold.
fn fill(
    file: impl FnOnce() -> Result<OwnedFd, Failure>,
    pipe: Pipe,
    mut identity: Identity,
    wanted: Capacity,
) -> Result<Arc<Conduit>, Failure> {
    let settled = size::settle(&pipe, identity.capacity, wanted)?;
    identity.capacity = settled.capacity;
    Conduit::enter(file()?, |file| Conduit::create(file, pipe, settled, identity))
}

/// The pipe `id`, if it was passed to this process.
fn inherited_pipe(unowned: &Unowned, id: FileId, label: &str) -> Result<Option<Pipe>, OpenError> {
    let Some(file) = unowned.take_part(CARRIER_NAME, id) else { return Ok(None) };
    let failed = |source| Failure::new("its pipe could not be opened", source).into_backend(label);
    Ok(Some(Pipe::reopen(file.as_fd()).map_err(failed)?))
}
