//! A fresh queue for one death.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipcq_core::{Channel, Lifetime, QueueName, QueueOptions, Transport};

use super::helper::Helper;
use super::layout::{Layout, Place};
use crate::stepper::Tracee;

/// A fresh queue for one death, with everything that a survivor must know of it.
#[derive(Debug)]
pub struct Cell<'a> {
    transport: &'a dyn Transport,
    directory: PathBuf,
    name: QueueName,
    /// The queue.
    pub queue: Arc<dyn Channel>,
    /// Its storage in bytes when it was made.
    pub empty_bytes: u64,
    /// The files of the directory when it was made.
    pub files: BTreeSet<PathBuf>,
    /// Other queues that this process has open.
    pub others: Vec<Arc<dyn Channel>>,
    /// Other processes that take part.
    pub helpers: Vec<Helper>,
    /// Other processes that are stopped in the middle of an operation.
    pub stopped: Vec<Tracee>,
    /// Which variant of the scenario this is.
    pub variant: usize,
    /// The slowest operation of a survivor.
    pub slowest: Duration,
    /// How long sleepers took to go on once they could.
    pub wakes: Vec<Duration>,
}

impl<'a> Cell<'a> {
    /// Makes a queue in `directory`, which is the transport's.
    ///
    /// # Errors
    /// When that fails.
    pub fn new(
        transport: &'a dyn Transport,
        directory: &Path,
        options: &QueueOptions,
    ) -> Result<Self, String> {
        let name = QueueName::new("cell").map_err(|error| error.to_string())?;
        let queue = transport.create(&name, options).map_err(|error| format!("create: {error}"))?;
        let empty_bytes = queue.stat().map_err(|error| error.to_string())?.bytes;
        let directory = directory.to_owned();
        let files = list(&directory).map_err(|error| error.to_string())?;
        Ok(Self {
            transport,
            directory,
            name,
            queue,
            empty_bytes,
            files,
            others: Vec::new(),
            helpers: Vec::new(),
            stopped: Vec::new(),
            variant: 0,
            slowest: Duration::ZERO,
            wakes: Vec::new(),
        })
    }

    /// The transport that the queue is on.
    #[must_use]
    pub fn transport(&self) -> &'a dyn Transport {
        self.transport
    }

    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// The files that are in the directory now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn files_now(&self) -> io::Result<BTreeSet<PathBuf>> {
        list(&self.directory)
    }

    /// Where those are.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn paths(&self) -> io::Result<Vec<PathBuf>> {
        Ok(list(&self.directory)?.iter().map(|file| self.directory.join(file)).collect())
    }

    /// Whether a queue outlives the processes that use it.
    #[must_use]
    pub fn outlives_processes(&self) -> bool {
        self.transport.capabilities().lifetime == Lifetime::UntilRemoved
    }

    /// The file that the queue's processes share as memory.
    #[must_use]
    pub fn memory(&self) -> PathBuf {
        self.directory.join(format!("{}.{}", self.name, self.transport.name()))
    }

    /// What a survivor would find in the files of the queue, without the messages in shared memory: all that tells
    /// where they are.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn storage(&self) -> io::Result<Vec<u8>> {
        let layout = Layout::of_queue(self.transport.name(), self.queue.identity().acknowledged);
        let mut all = Vec::new();
        for path in self.paths()? {
            match Place::at(path)? {
                Place::Pipe(content) => all.extend(content),
                Place::File(file) => layout.looks.iter().try_for_each(|&look| file.look(look, &mut all))?,
            }
        }
        Ok(all)
    }

    /// Ends the helpers and removes the queue.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear(mut self) -> Result<(), String> {
        self.helpers.clear();
        self.stopped.clear();
        self.others.clear();
        if self.queue.identity().max_redeliveries.is_some() {
            let dead = self.name.of_dead_letters().map_err(|error| error.to_string())?;
            self.transport.remove(&dead).map_err(|error| format!("remove: {error}"))?;
        }
        self.transport.remove(&self.name).map_err(|error| format!("remove: {error}"))
    }
}

fn list(directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        files.insert(PathBuf::from(entry?.file_name()));
    }
    Ok(files)
}
