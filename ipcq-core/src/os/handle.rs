//! A handle of a queue in a file, as a [`Channel`].

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::directory::QueueDirectory;
use super::ends::Ends;
use super::failure::Failure;
use super::inherit::{self, Inheritable};
use super::lending::Lending;
use super::process;
use super::shared_queue::SharedQueue;
use super::two_lock::TwoLock;
use super::waiting::TwoSided;
use crate::{
    BackendError, Batch, Channel, GetFault, Identity, Limit, Loan, PutFault, Readiness, Side, Stat, Wait,
};

/// How long the last handle waits for others in this process that are done with the queue in a moment: a step of giving
/// memory back takes a millisecond. A child of a fork may wait in vain, for a thread that it does not have.
const MOMENT: Duration = Duration::from_millis(500);

/// How often it looks.
const STEP: Duration = Duration::from_micros(100);

/// A handle. Each counts as a producer of its process from its first put until it is dropped.
#[derive(Debug)]
pub struct Handle<Q: SharedQueue> {
    queue: Arc<Q>,
    /// The epoch of the process in which this handle is a producer; 0 for none.
    producer: AtomicU64,
}

impl<Q: SharedQueue + Lending + Inheritable> Handle<Q> {
    /// A handle of a queue that this process made.
    #[must_use]
    pub fn new(queue: Arc<Q>) -> Self {
        queue.body().handles.fetch_add(1, Ordering::AcqRel);
        Self { queue, producer: AtomicU64::new(0) }
    }

    /// A handle in a process that its parent may have registered as a producer: dropping it ends that.
    ///
    /// # Errors
    /// When the queue has no room for one more participant.
    pub fn opened(queue: Arc<Q>) -> Result<Self, BackendError> {
        let registered = queue.is_registered_by_parent();
        let handle = Self::new(queue);
        if registered {
            handle.register_producer()?;
        }
        Ok(handle)
    }

    #[inline]
    fn be_producer(&self) -> Result<(), BackendError> {
        if self.identity().auto_close { self.register_producer() } else { Ok(()) }
    }

    fn location(&self) -> String {
        let identity = self.identity();
        match (&identity.name, &identity.directory) {
            (Some(name), Some(directory)) => {
                directory.join(QueueDirectory::file_name(name, identity.transport)).display().to_string()
            }
            _ => Q::ANONYMOUS.to_owned(),
        }
    }
}

impl<Q: SharedQueue + Lending + Inheritable> Channel for Handle<Q> {
    fn identity(&self) -> &Identity {
        &self.queue.body().identity
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        self.be_producer()?;
        self.queue.put(parts, wait)
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.queue.get(message, wait)
    }

    fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        match self.be_producer() {
            Ok(()) => self.queue.put_many(batch, from, wait),
            Err(error) => (0, Err(error.into())),
        }
    }

    fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        self.queue.get_many(batch, limit, wait)
    }

    fn loan(&self, len: usize) -> Result<Loan, PutFault> {
        self.queue.loan(len)
    }

    fn put_loan(&self, loan: &mut Loan, wait: Wait) -> Result<(), PutFault> {
        self.be_producer()?;
        self.queue.put_loan(loan, wait)
    }

    fn get_loan(&self, wait: Wait) -> Result<Loan, GetFault> {
        self.queue.get_loan(wait)
    }

    fn len(&self) -> Result<usize, BackendError> {
        self.queue.settle_orphans();
        self.queue.message_count()
    }

    fn is_empty(&self) -> Result<bool, BackendError> {
        self.queue.settle_orphans();
        let empty = self.queue.words().is_empty();
        self.queue.unless_removed(empty)
    }

    fn is_full(&self) -> Result<bool, BackendError> {
        self.queue.settle_orphans();
        let full = self.queue.words().is_full(self.identity().capacity);
        self.queue.unless_removed(full)
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        self.queue.close_if_abandoned();
        self.queue.unless_removed(self.queue.words().is_closed())
    }

    fn close(&self) -> Result<(), BackendError> {
        self.queue.words().close();
        self.queue.unless_removed(())
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let queue = &self.queue;
        queue.upkeep(&|| true);
        let failed =
            |source| Failure::new("its state could not be read", source).into_backend(self.identity());
        let closed = self.is_closed()?;
        let mut stat = Stat::new(self.len()?, closed, self.location());
        let words = queue.words();
        (stat.puts, stat.gets) = words.totals();
        stat.bytes_put = words.bytes_put();
        (stat.put_waits, stat.get_waits) = (words.event(Side::Put).waits(), words.event(Side::Get).waits());
        stat.recoveries =
            [Side::Put, Side::Get].iter().map(|side| u64::from(words.lock(*side).deaths())).sum();
        stat.bytes = queue.bytes().map_err(failed)?;
        (stat.waiting_putters, stat.waiting_getters) = queue.participants().waiting().map_err(failed)?;
        Ok(stat)
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        if self.producer.load(Ordering::Relaxed) == process::epoch() {
            return Ok(());
        }
        self.queue.add_producer(&self.producer)
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        if self.producer.load(Ordering::Relaxed) == process::epoch() {
            self.queue.drop_producer(&self.producer);
        }
        Ok(())
    }

    fn readiness(&self) -> Option<&dyn Readiness> {
        Some(&*self.queue)
    }

    fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        let (queue, identity) = (Arc::clone(&self.queue), self.identity());
        let shared = self.queue.share_the_rest(command).and_then(|()| {
            inherit::share_with(command, identity.transport, queue, identity.auto_close).map(|_number| ())
        });
        shared.map_err(|source| {
            Failure::new("it could not be shared with a child process", source).into_backend(identity)
        })
    }
}

impl<Q: SharedQueue> Drop for Handle<Q> {
    fn drop(&mut self) {
        if self.producer.load(Ordering::Relaxed) == process::epoch() {
            self.queue.drop_producer(&self.producer);
        }
        if self.queue.body().handles.fetch_sub(1, Ordering::AcqRel) == 1 && Q::ENDS_WITH_LAST_HANDLE {
            self.wait_until_unused();
        }
    }
}

impl<Q: SharedQueue> Handle<Q> {
    /// The queue.
    pub(crate) const fn queue(&self) -> &Arc<Q> {
        &self.queue
    }

    /// Waits until nobody else in this process holds the queue, as the thread that gives memory back does for a moment:
    /// with the last handle the queue shall end before the caller goes on.
    fn wait_until_unused(&self) {
        let begin = Instant::now();
        let is_used = || Arc::strong_count(&self.queue) > 1;
        let has_handles = || self.queue.body().handles.load(Ordering::Acquire) > 0;
        while is_used() && !has_handles() && begin.elapsed() < MOMENT {
            thread::sleep(STEP);
        }
    }
}

impl<Q: SharedQueue + TwoLock> Readiness for Q {
    fn is_ready(&self, side: Side) -> bool {
        self.can_go_on(side) || self.has_ended(side)
    }

    fn announce(&self, side: Side) -> &AtomicU32 {
        self.event(side).announce();
        self.lock_of(side.other()).synchronize();
        self.event(side).as_word()
    }

    fn pass_on(&self, side: Side) {
        TwoSided::pass_on(self, side);
    }

    fn look_around(&self) {
        self.settle_orphans();
        self.close_if_abandoned();
        self.do_chores(&|| false);
    }
}
