//! A handle of a shared-memory queue: the ring as a [`Channel`].

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipcq_core::os::directory::QueueDirectory;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::TwoSided;
use ipcq_core::os::{inherit, process};
use ipcq_core::{BackendError, Batch, Channel, GetFault, Identity, Limit, PutFault, Stat, Wait};

use crate::segment::Segment;

/// A handle. Each counts as a producer of its process from its first put until it is dropped.
#[derive(Debug)]
pub(crate) struct ShmChannel {
    segment: Arc<Segment>,
    /// The epoch of the process in which this handle is a producer; 0 for none.
    producer: AtomicU64,
}

impl ShmChannel {
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self { segment, producer: AtomicU64::new(0) }
    }

    /// A handle in a process that its parent may have registered as a producer: dropping it ends that.
    pub(crate) fn inherited(segment: Arc<Segment>) -> Result<Self, BackendError> {
        let registered = segment.is_registered_by_parent();
        let channel = Self::new(segment);
        if registered {
            channel.register_producer()?;
        }
        Ok(channel)
    }

    #[inline]
    fn be_producer(&self) -> Result<(), BackendError> {
        if self.segment.identity().auto_close { self.register_producer() } else { Ok(()) }
    }
}

impl Channel for ShmChannel {
    fn identity(&self) -> &Identity {
        self.segment.identity()
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        self.be_producer()?;
        self.segment.put(parts, wait)
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.segment.get(message, wait)
    }

    fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        match self.be_producer() {
            Ok(()) => self.segment.put_many(batch, from, wait),
            Err(error) => (0, Err(error.into())),
        }
    }

    fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        self.segment.get_many(batch, limit, wait)
    }

    fn len(&self) -> Result<usize, BackendError> {
        self.segment.len()
    }

    fn is_empty(&self) -> Result<bool, BackendError> {
        let empty = self.segment.is_empty();
        self.segment.unless_removed(empty)
    }

    fn is_full(&self) -> Result<bool, BackendError> {
        let full = self.segment.is_full();
        self.segment.unless_removed(full)
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        self.segment.close_if_abandoned();
        self.segment.unless_removed(self.segment.tail().is_closed())
    }

    fn close(&self) -> Result<(), BackendError> {
        self.segment.close();
        self.segment.unless_removed(())
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let segment = &self.segment;
        segment.upkeep(|| true);
        let failed =
            |source| Failure::new("its state could not be read", source).into_backend(self.identity());
        let closed = self.is_closed()?;
        let mut stat = Stat::new(segment.len()?, closed, self.location());
        (stat.puts, stat.gets) = segment.totals();
        stat.bytes = segment.storage().bytes().map_err(failed)?;
        (stat.waiting_putters, stat.waiting_getters) = segment.table().waiting().map_err(failed)?;
        Ok(stat)
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        if self.producer.load(Ordering::Relaxed) == process::epoch() {
            return Ok(());
        }
        self.segment.add_producer(&self.producer)
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        if self.producer.load(Ordering::Relaxed) == process::epoch() {
            self.segment.drop_producer(&self.producer);
        }
        Ok(())
    }

    fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        let queue = Arc::clone(&self.segment);
        let register = self.identity().auto_close;
        inherit::share_with(command, crate::NAME, queue, register).map(|_number| ()).map_err(|source| {
            Failure::new("it could not be shared with a child process", source).into_backend(self.identity())
        })
    }
}

impl ShmChannel {
    fn location(&self) -> String {
        let identity = self.identity();
        match (&identity.name, &identity.directory) {
            (Some(name), Some(directory)) => {
                directory.join(QueueDirectory::file_name(name, crate::NAME)).display().to_string()
            }
            _ => "(anonymous memory)".to_owned(),
        }
    }
}

impl Drop for ShmChannel {
    fn drop(&mut self) {
        // Never fails for this transport.
        let _ = self.unregister_producer();
    }
}
