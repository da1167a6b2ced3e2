//! What happens to queues and is rare enough to tell: events for those who look for the cause of something.
//!
//! With the feature `tracing`, which every backend has under the same name, these are events of the crate `tracing`, of
//! target `ipcq`; without it, all of this is nothing. A call that neither sleeps for long nor finds something amiss says
//! nothing, so the way of a message costs the same with it. No event is told while a lock of a queue is held, so a
//! subscriber may do what it likes, and use queues too.
//!
//! | event | level | fields beside `queue` | when |
//! |---|---|---|---|
//! | `created` | `DEBUG` | `capacity`, `codec` | a typed handle made the queue |
//! | `opened` | `DEBUG` | `capacity`, `codec` | a typed handle opened it, or inherited it |
//! | `closed` | `DEBUG` | | a typed handle closed it, for the first time or again |
//! | `abandoned` | `DEBUG` | | in shared memory or over a pipe: this process closed it, because its last producer had left |
//! | `removed` | `DEBUG` | | it was removed by [`Queue::remove`](crate::Queue::remove) |
//! | `redelivered` | `DEBUG` | `number`, `redeliveries` | a delivery was handed out that had come back |
//! | `slept` | `DEBUG` | `side`, `seconds` | a call slept for a second or more: in shared memory, or over a pipe |
//! | `recovered` | `WARN` | `side` | in shared memory or over a pipe: a participant had died inside a call, and this one went on |
//! | `reconnected` | `WARN` | | over ZeroMQ: a call lost its connection and got another |
//!
//! `side` is `put` or `get`. Messages are never told.

use crate::error::RemoveError;
use crate::identity::Identity;
use crate::{DeliveryTag, QueueName, Transport};

/// One event; the level and what it is called, the queue, and further fields.
macro_rules! tell {
    ($level:ident, $event:literal, $queue:expr $(, $field:ident = $value:expr)* $(,)?) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: "ipcq", tracing::Level::$level, queue = %$queue, $($field = $value,)* $event);
        #[cfg(not(feature = "tracing"))]
        let _ = (&$queue, $(&$value,)*);
    };
}

pub(crate) fn created(queue: &Identity) {
    tell!(DEBUG, "created", queue, capacity = queue.capacity, codec = queue.codec.as_str());
}

pub(crate) fn opened(queue: &Identity) {
    tell!(DEBUG, "opened", queue, capacity = queue.capacity, codec = queue.codec.as_str());
}

pub(crate) fn closed(queue: &Identity) {
    tell!(DEBUG, "closed", queue);
}

pub(crate) fn removed(transport: &dyn Transport, name: &QueueName) -> Result<(), RemoveError> {
    transport.remove(name)?;
    tell!(DEBUG, "removed", format_args!("{}:{name}", transport.name()));
    Ok(())
}

pub(crate) fn redelivered(queue: &str, tag: &DeliveryTag) {
    if tag.redeliveries > 0 {
        tell!(DEBUG, "redelivered", queue, number = tag.number, redeliveries = tag.redeliveries);
    }
}

/// A connection to what keeps the queue was lost, and there is another: for backends that have such.
pub fn reconnected(queue: &Identity) {
    tell!(WARN, "reconnected", queue);
}

#[cfg(feature = "os")]
pub use self::shared::Death;
#[cfg(feature = "os")]
pub(crate) use self::shared::{Nap, abandoned};

/// What queues in shared memory tell.
#[cfg(feature = "os")]
mod shared {
    #[cfg(feature = "tracing")]
    use std::time::{Duration, Instant};

    use crate::identity::Identity;
    use crate::os::lock::RobustGuard;
    use crate::readiness::Side;

    /// How long a sleep is that is worth a word.
    #[cfg(feature = "tracing")]
    const LONG: Duration = Duration::from_secs(1);

    pub(crate) fn abandoned(queue: &Identity) {
        tell!(DEBUG, "abandoned", queue);
    }

    /// Whether a lock was taken whose owner had died. It is told once the lock is given back.
    #[derive(Clone, Copy, Debug)]
    #[must_use = "it is to be told once the lock is given back"]
    pub struct Death {
        #[cfg(feature = "tracing")]
        was_found: bool,
    }

    impl Death {
        /// What `guard` says of the last owner.
        #[inline]
        pub const fn seen_by(guard: &RobustGuard<'_>) -> Self {
            #[cfg(not(feature = "tracing"))]
            let _ = guard;
            Self {
                #[cfg(feature = "tracing")]
                was_found: guard.is_recovered(),
            }
        }

        /// Tells of it, if there was one. The caller holds no lock.
        #[inline]
        pub fn tell(self, queue: &Identity, side: Side) {
            #[cfg(feature = "tracing")]
            if self.was_found {
                recovered(queue, side);
            }
            #[cfg(not(feature = "tracing"))]
            let _ = (queue, side);
        }
    }

    #[cfg(feature = "tracing")]
    #[cold]
    fn recovered(queue: &Identity, side: Side) {
        tell!(WARN, "recovered", queue, side = name(side));
    }

    /// A call that may sleep: told when this is dropped, if it slept for long.
    #[derive(Debug)]
    pub(crate) struct Nap<'a> {
        #[cfg(feature = "tracing")]
        call: (&'a Identity, Side),
        #[cfg(feature = "tracing")]
        since: Option<Instant>,
        #[cfg(not(feature = "tracing"))]
        call: std::marker::PhantomData<&'a Identity>,
    }

    impl<'a> Nap<'a> {
        /// A call on `side` of `queue`, which is awake.
        pub(crate) const fn of(queue: &'a Identity, side: Side) -> Self {
            #[cfg(not(feature = "tracing"))]
            let _ = (queue, side);
            Self {
                #[cfg(feature = "tracing")]
                call: (queue, side),
                #[cfg(feature = "tracing")]
                since: None,
                #[cfg(not(feature = "tracing"))]
                call: std::marker::PhantomData,
            }
        }

        /// Falls asleep, for the first time or again.
        pub(crate) fn begin(&mut self) {
            #[cfg(feature = "tracing")]
            self.since.get_or_insert_with(Instant::now);
        }
    }

    #[cfg(feature = "tracing")]
    impl Drop for Nap<'_> {
        fn drop(&mut self) {
            let (queue, side) = self.call;
            if let Some(slept) = self.since.map(|since| since.elapsed()).filter(|slept| *slept >= LONG) {
                tell!(DEBUG, "slept", queue, side = name(side), seconds = slept.as_secs_f64());
            }
        }
    }

    #[cfg(feature = "tracing")]
    const fn name(side: Side) -> &'static str {
        match side {
            Side::Put => "put",
            Side::Get => "get",
        }
    }
}
