//! Where the queues of one backend live: a directory, in which each queue has a file that is called after it.

use std::path::PathBuf;

use super::directory::{FileId, Found, Location, QueueDirectory, Removal};
use super::failure::Failure;
use super::machine;
use crate::error::{BackendErrorKind, RemoveError};
use crate::{BackendError, Identity, OpenError, QueueName, QueueOptions};

/// The queues of one backend in one directory. Cheap; nothing is opened before a queue is made or looked for.
#[derive(Clone, Debug)]
pub struct Home {
    transport: &'static str,
    location: Location,
}

/// Why a queue that is to be removed could not be opened, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Others can open it.
    Foreign,
    /// Nobody holds it any more: it is gone, but for its files.
    Dead,
    /// Its words make no sense here; who uses it all the same is not known.
    Damaged,
}

impl Home {
    /// The queues of `transport` at `location`.
    #[must_use]
    pub const fn new(transport: &'static str, location: Location) -> Self {
        Self { transport, location }
    }

    /// Which directory it is.
    #[must_use]
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// What errors call the queue `name`: `shm:jobs`.
    #[must_use]
    pub fn label(&self, name: &QueueName) -> String {
        format!("{}:{name}", self.transport)
    }

    /// The name of the file of the queue `name`.
    #[must_use]
    pub fn file_name(&self, name: &QueueName) -> String {
        QueueDirectory::file_name(name, self.transport)
    }

    /// The queue `name`, as its [`Identity`] says where it lives.
    #[must_use]
    pub fn place(&self, name: &QueueName) -> (QueueName, PathBuf) {
        (name.clone(), self.location.path().to_owned())
    }

    /// The identity of a queue to be made, which nobody has yet: of the queue `name`, or one without a name.
    ///
    /// # Errors
    /// When the kernel gives no random number.
    pub fn new_identity(
        &self,
        name: Option<&QueueName>,
        capacity: usize,
        options: &QueueOptions,
    ) -> Result<Identity, BackendError> {
        let place = name.map(|name| self.place(name));
        let incarnation = machine::random_u128()
            .map_err(|source| Failure::new("no random number could be had", source))
            .map_err(|failure| failure.into_backend(self.transport))?;
        Ok(Identity::new(self.transport, place, incarnation, capacity, options))
    }

    /// Looks up the file of the queue `name`, without opening it.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when there is none; when the directory cannot be used.
    pub fn find(&self, name: &QueueName) -> Result<(QueueDirectory, Found), OpenError> {
        let missing = || OpenError::missing(self.label(name));
        let directory = match self.location.open() {
            Err(failure) if failure.is_missing() => return Err(missing()),
            // That the directory is refused says nothing of the queue, and why must not be lost.
            opened => opened.map_err(|failure| OpenError::Backend(failure.into_backend(self.label(name))))?,
        };
        match directory.find(&self.file_name(name)) {
            Err(failure) if failure.is_missing() => Err(missing()),
            Err(failure) => Err(failure.into_backend(self.label(name)).into()),
            Ok(found) => Ok((directory, found)),
        }
    }

    /// Looks up the file of the queue `name`, which this user may remove: ending a queue and then finding that its name
    /// stays would destroy it half.
    ///
    /// # Errors
    /// As [`find`](Self::find), and when the user may not remove it.
    pub fn find_to_remove(&self, name: &QueueName) -> Result<(QueueDirectory, Found), RemoveError> {
        let (directory, found) = self.find(name).map_err(|error| match error {
            OpenError::Backend(error) => RemoveError::Backend(error),
            OpenError::Denied { queue } => {
                BackendError::new(BackendErrorKind::Denied, queue, "its directory belongs to another user")
                    .into()
            }
            _ => RemoveError::missing(self.label(name)),
        })?;
        directory.check_removal(&found).map_err(|failure| failure.into_backend(self.label(name)))?;
        Ok((directory, found))
    }

    /// What a remover that cannot open a queue does about it. It may have users, whom this process could not tell that it
    /// is gone if it lacks the right or the means to open it: those would wait for ever.
    ///
    /// # Errors
    /// When the queue must stay for that reason.
    pub fn check_may_be_ended(error: OpenError) -> Result<Unopened, BackendError> {
        match error {
            OpenError::Backend(error) if error.is_no_room() => Err(error),
            OpenError::Denied { queue } => {
                let what = "this user may not open it, and so not end it";
                Err(BackendError::new(BackendErrorKind::Denied, queue, what))
            }
            // Its words are sound, and those in the process namespace that it was made in use it.
            OpenError::Mismatch { what: "process namespace", .. } => Ok(Unopened::Foreign),
            OpenError::Missing { .. } => Ok(Unopened::Dead),
            _ => Ok(Unopened::Damaged),
        }
    }

    /// Takes away the file of the queue `name`, if it is still the file `id`.
    ///
    /// # Errors
    /// When the directory may not be changed.
    pub fn unlink(
        &self,
        directory: &QueueDirectory,
        name: &QueueName,
        id: FileId,
    ) -> Result<Removal, BackendError> {
        let unlinked = directory.unlink_if(&self.file_name(name), id);
        unlinked.map_err(|failure| failure.into_backend(self.label(name)))
    }

    /// The names that have a file here, sorted; none where there is no directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self) -> Result<Vec<QueueName>, BackendError> {
        let names = match self.location.open() {
            Ok(directory) => directory.list(self.transport),
            Err(failure) if failure.is_missing() => return Ok(Vec::new()),
            Err(failure) => Err(failure),
        };
        names.map_err(|failure| failure.into_backend(self.transport))
    }
}
