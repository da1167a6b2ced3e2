//! Putting and getting in futures.
//!
//! All that takes effect happens inside one poll, which then ends the future: so one that is dropped has done nothing, or
//! was done.

use std::future::poll_fn;
use std::io;

use super::reactor::{Place, Ready};
use super::{AcknowledgedQueue, Delivery, Queue};
use crate::codec::Codec;
use crate::deadline::Wait;
use crate::error::{
    BackendError, BackendErrorKind, GetCause, GetError, GetFault, Missed, PutCause, PutError, PutFault,
    Refused,
};
use crate::readiness::Side;

impl<T, C: Codec<T>> Queue<T, C> {
    /// Gets the oldest message, waiting for one as long as it takes: [`get`](Self::get) for futures, with the feature
    /// `tokio`.
    ///
    /// Dropping the future before it is done takes nothing: a message is taken in the poll that hands it out. All futures
    /// of a process wait by one thread (and one more for transports whose queues cannot wake it); they run on any
    /// executor.
    ///
    /// # Blocking
    /// Each poll as [`try_get`](Self::try_get): not for a message, but while it copies one, and 10 ms at most for another
    /// process that is inside an operation; over ZeroMQ, for the broker's answer.
    ///
    /// # Errors
    /// As [`get`](Self::get), and when there is no thread to wait by.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "tokio")] {
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Queue, QueueOptions};
    ///
    /// let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// runtime.block_on(async {
    ///     let (got, put) = tokio::join!(jobs.get_async(), jobs.put_async(7));
    ///     put.unwrap();
    ///     assert_eq!(got.unwrap(), 7);
    /// });
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn get_async(&self) -> Result<T, GetError> {
        get_when_ready(self, || self.get_within(Wait::No)).await
    }

    /// Puts `message`, waiting for room as long as it takes: [`put`](Self::put) for futures, with the feature `tokio`.
    ///
    /// Dropping the future before it is done puts nothing, and drops the message with it.
    ///
    /// # Blocking
    /// Each poll as [`try_put`](Self::try_put): not for room, but while it copies the message, and 10 ms at most for
    /// another process that is inside an operation; over ZeroMQ, for the broker's answer.
    ///
    /// # Errors
    /// As [`put`](Self::put), and when there is no thread to wait by.
    pub async fn put_async(&self, message: T) -> Result<(), PutError<T>> {
        let (mut value, mut place) = (message, None::<Place>);
        loop {
            give_way().await;
            let refused = match self.put_within(value, Wait::No) {
                Ok(()) => {
                    if let Some(place) = place {
                        place.was_useful();
                    }
                    return Ok(());
                }
                Err(refused) => refused,
            };
            let is_busy = match &refused.cause {
                PutCause::Fault(PutFault::Full) => false,
                PutCause::Fault(PutFault::Busy) => true,
                _ => return Err(PutError(refused)),
            };
            value = refused.value;
            drop(place.take());
            match Ready::new(&self.channel, Side::Put, is_busy).await {
                Ok(next) => place = Some(next),
                Err(error) => {
                    let cause = PutCause::Fault(no_thread(self, error).into());
                    return Err(PutError(Refused { value, queue: self.label.clone(), cause }));
                }
            }
        }
    }
}

impl<T, C: Codec<T>> AcknowledgedQueue<T, C> {
    /// Hands out the oldest message that is ready, waiting for one as long as it takes; see [`Queue::get_async`]. A future
    /// that is dropped has nothing in flight.
    ///
    /// # Errors
    /// As [`get`](Self::get), and when there is no thread to wait by.
    pub async fn get_async(&self) -> Result<Delivery<T>, GetError> {
        get_when_ready(&self.0, || self.0.deliver_within(Wait::No)).await
    }

    /// Puts `message`, waiting for room as long as it takes; see [`Queue::put_async`].
    ///
    /// # Errors
    /// As there.
    pub async fn put_async(&self, message: T) -> Result<(), PutError<T>> {
        self.0.put_async(message).await
    }
}

/// Tries to get until that says something else than that there is nothing now, and waits in between.
async fn get_when_ready<T, C, M>(
    queue: &Queue<T, C>,
    get: impl Fn() -> Result<M, Missed>,
) -> Result<M, GetError> {
    let mut place = None::<Place>;
    loop {
        give_way().await;
        let is_busy = match get() {
            Err(Missed { cause: GetCause::Fault(GetFault::Empty), .. }) => false,
            Err(Missed { cause: GetCause::Fault(GetFault::Busy), .. }) => true,
            outcome => {
                if let (Ok(_), Some(place)) = (&outcome, place) {
                    place.was_useful();
                }
                return outcome.map_err(GetError);
            }
        };
        drop(place.take());
        match Ready::new(&queue.channel, Side::Get, is_busy).await {
            Ok(next) => place = Some(next),
            Err(error) => {
                let cause = GetCause::Fault(no_thread(queue, error).into());
                return Err(GetError(Missed { queue: queue.label.clone(), cause }));
            }
        }
    }
}

/// Lets other tasks run when this one has gone on for long: a queue that is never empty would else never let it wait.
async fn give_way() {
    poll_fn(tokio::task::coop::poll_proceed).await.made_progress();
}

#[cold]
fn no_thread<T, C>(queue: &Queue<T, C>, error: io::Error) -> BackendError {
    let what = "no thread could be started to wait for it";
    BackendError::new(BackendErrorKind::NoRoom, &queue.label, what)
        .with_advice("end some threads or raise the limit (ulimit -u), and try again")
        .with_source(error)
}
