//! A handle of a queue over a pipe: the conduit as a [`Channel`].

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipcq_core::os::directory::QueueDirectory;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::TwoSided;
use ipcq_core::os::{inherit, process};
use ipcq_core::{BackendError, Batch, Channel, GetFault, Identity, Limit, PutFault, Stat, Wait};

use crate::conduit::Conduit;

/// How long the last handle waits for others in this process that are done with the queue in a moment: a step of giving
/// memory back takes a millisecond. A child of a fork may wait in vain, for a thread that it does not have.
const MOMENT: Duration = Duration::from_millis(500);

/// How often it looks.
const STEP: Duration = Duration::from_micros(100);

/// A handle. Each counts as a producer of its process from its first put until it is dropped.
#[derive(Debug)]
pub(crate) struct PipeChannel {
    conduit: Arc<Conduit>,
    /// The epoch of the process in which this handle is a producer; 0 for none.
    producer: AtomicU64,
}

impl PipeChannel {
    pub(crate) fn new(conduit: Arc<Conduit>) -> Self {
        conduit.handles.fetch_add(1, Ordering::AcqRel);
        Self { conduit, producer: AtomicU64::new(0) }
    }

    /// A handle in a process that its parent may have registered as a producer: dropping it ends that.
    pub(crate) fn inherited(conduit: Arc<Conduit>) -> Result<Self, BackendError> {
        let registered = conduit.is_registered_by_parent();
        let channel = Self::new(conduit);
        if registered {
            channel.register_producer()?;
        }
        Ok(channel)
    }

    #[inline]
    fn be_producer(&self) -> Result<(), BackendError> {
        if self.conduit.identity().auto_close { self.register_producer() } else { Ok(()) }
    }

    fn location(&self) -> String {
        let identity = self.identity();
        match (&identity.name, &identity.directory) {
            (Some(name), Some(directory)) => {
                directory.join(QueueDirectory::file_name(name, crate::NAME)).display().to_string()
            }
            _ => "(anonymous pipe)".to_owned(),
        }
    }
}

impl Channel for PipeChannel {
    fn identity(&self) -> &Identity {
        self.conduit.identity()
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        self.be_producer()?;
        self.conduit.put(parts, wait)
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.conduit.get(message, wait)
    }

    fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        match self.be_producer() {
            Ok(()) => self.conduit.put_many(batch, from, wait),
            Err(error) => (0, Err(error.into())),
        }
    }

    fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        self.conduit.get_many(batch, limit, wait)
    }

    fn len(&self) -> Result<usize, BackendError> {
        self.conduit.len()
    }

    fn is_empty(&self) -> Result<bool, BackendError> {
        self.conduit.settle_orphans();
        let empty = self.conduit.is_empty();
        self.conduit.unless_removed(empty)
    }

    fn is_full(&self) -> Result<bool, BackendError> {
        self.conduit.settle_orphans();
        let full = self.conduit.is_full();
        self.conduit.unless_removed(full)
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        self.conduit.close_if_abandoned();
        self.conduit.unless_removed(self.conduit.tail().is_closed())
    }

    fn close(&self) -> Result<(), BackendError> {
        self.conduit.close();
        self.conduit.unless_removed(())
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let conduit = &self.conduit;
        conduit.upkeep(|| true);
        let failed =
            |source| Failure::new("its state could not be read", source).into_backend(self.identity());
        let closed = self.is_closed()?;
        let mut stat = Stat::new(conduit.len()?, closed, self.location());
        (stat.puts, stat.gets) = conduit.totals();
        stat.bytes = conduit.bytes().map_err(failed)?;
        (stat.waiting_putters, stat.waiting_getters) = conduit.table().waiting().map_err(failed)?;
        Ok(stat)
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        if self.producer.load(Ordering::Relaxed) == process::epoch() {
            return Ok(());
        }
        self.conduit.add_producer(&self.producer)
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        if self.producer.load(Ordering::Relaxed) == process::epoch() {
            self.conduit.drop_producer(&self.producer);
        }
        Ok(())
    }

    fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        let failed = |source| {
            Failure::new("it could not be shared with a child process", source).into_backend(self.identity())
        };
        let register = self.identity().auto_close;
        let (queue, carrier) = (Arc::clone(&self.conduit), Arc::clone(self.conduit.carrier()));
        inherit::share_with(command, crate::CARRIER_NAME, carrier, false).map_err(failed)?;
        inherit::share_with(command, crate::NAME, queue, register).map(|_number| ()).map_err(failed)
    }
}

impl Drop for PipeChannel {
    fn drop(&mut self) {
        // Never fails for this transport.
        let _ = self.unregister_producer();
        if self.conduit.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wait_until_unused();
        }
    }
}

impl PipeChannel {
    /// Waits until nobody else in this process holds the queue, as the thread that gives memory back does for a moment:
    /// with the last handle the queue shall end before the caller goes on.
    fn wait_until_unused(&self) {
        let begin = Instant::now();
        let is_used = || Arc::strong_count(&self.conduit) > 1;
        while is_used() && self.conduit.handles.load(Ordering::Acquire) == 0 && begin.elapsed() < MOMENT {
            thread::sleep(STEP);
        }
    }
}
