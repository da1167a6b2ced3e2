//! A message that was handed out: its value, and the duty to say what became of it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Queue, scratch};
use crate::codec::Codec;
use crate::deadline::Wait;
use crate::delivery::DeliveryTag;
use crate::error::{DeliveryError, DeliveryFault, GetCause, Missed};
use crate::trace;
use crate::transport::Channel;

/// A message that an [`AcknowledgedQueue`](super::AcknowledgedQueue) has handed out, and that is in flight until it is
/// [acknowledged](Self::acknowledge) or [given back](Self::give_back). Dropping it gives it back.
///
/// It dereferences to the value. Any thread of the process may hold it; in the child of a fork it is no one's.
#[must_use = "dropping a delivery gives the message back"]
pub struct Delivery<T> {
    value: T,
    receipt: Receipt,
}

impl<T> Delivery<T> {
    /// Removes the message from the queue for good.
    ///
    /// # Errors
    /// When its lease had run out, so that the message has gone back; when this process is a fork of the holder; when
    /// the queue is gone or damaged.
    pub fn acknowledge(self) -> Result<(), DeliveryError> {
        self.receipt.acknowledge()
    }

    /// Puts the message back to its place, as dropping does, and says if that fails. A queue that is closed takes it,
    /// too.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    pub fn give_back(self) -> Result<(), DeliveryError> {
        self.receipt.give_back()
    }

    /// How often the message had been put back before.
    #[must_use]
    pub const fn redeliveries(&self) -> u32 {
        self.receipt.redeliveries()
    }

    /// The value, and what is still to be acknowledged.
    ///
    /// ```
    /// # use ipcq_core::memory::MemoryTransport;
    /// # use ipcq_core::{AcknowledgedQueue, QueueOptions};
    /// # let jobs = AcknowledgedQueue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
    /// jobs.put(7)?;
    /// let (job, receipt) = jobs.get()?.into_parts();
    /// assert_eq!(job + 1, 8);
    /// receipt.acknowledge()?;
    /// assert_eq!(jobs.in_flight()?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_parts(self) -> (T, Receipt) {
        (self.value, self.receipt)
    }
}

impl<T> Deref for Delivery<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// What is changed here changes nothing in the queue.
impl<T> DerefMut for Delivery<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Says which message it is, never what is in it.
impl<T> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

/// The duty to acknowledge a message whose value went elsewhere: see [`Delivery::into_parts`]. Dropping it gives the
/// message back.
#[must_use = "dropping a receipt gives the message back"]
pub struct Receipt {
    channel: Arc<dyn Channel>,
    label: Arc<str>,
    tag: DeliveryTag,
    is_settled: bool,
}

impl Receipt {
    fn new(channel: Arc<dyn Channel>, label: Arc<str>, tag: DeliveryTag) -> Self {
        Self { channel, label, tag, is_settled: false }
    }

    /// Removes the message from the queue for good.
    ///
    /// # Errors
    /// As [`Delivery::acknowledge`].
    pub fn acknowledge(mut self) -> Result<(), DeliveryError> {
        self.is_settled = true;
        self.channel.acknowledge(&self.tag).map_err(|fault| self.failed(fault))
    }

    /// Puts the message back to its place.
    ///
    /// # Errors
    /// As [`Delivery::acknowledge`].
    pub fn give_back(mut self) -> Result<(), DeliveryError> {
        self.is_settled = true;
        self.channel.give_back(&self.tag).map_err(|fault| self.failed(fault))
    }

    /// How often the message had been put back before.
    #[must_use]
    pub const fn redeliveries(&self) -> u32 {
        self.tag.redeliveries
    }

    #[cold]
    fn failed(&self, fault: DeliveryFault) -> DeliveryError {
        DeliveryError { queue: self.label.clone(), fault }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.is_settled {
            // It has gone back already, or the queue is gone: nothing is left to do.
            let _ = self.channel.give_back(&self.tag);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("queue", &self.label)
            .field("number", &self.tag.number)
            .field("redeliveries", &self.tag.redeliveries)
            .finish_non_exhaustive()
    }
}

impl<T, C: Codec<T>> Queue<T, C> {
    /// Hands out the lowest-numbered message that is ready.
    pub(super) fn deliver_within(&self, wait: Wait) -> Result<Delivery<T>, Missed> {
        let outcome = scratch::with_get_bytes(|bytes| {
            let tag = self.channel.get_delivery(bytes, wait).map_err(GetCause::Fault)?;
            trace::redelivered(&self.label, &tag);
            // From here on, whatever happens, the message is not lost: decoding runs code of the user.
            let receipt = Receipt::new(self.channel.clone(), self.label.clone(), tag);
            match self.codec.decode_buffer(bytes) {
                Ok(value) => Ok(Delivery { value, receipt }),
                Err(failure) => {
                    let error = self.undecoded(std::mem::take(bytes), failure);
                    // Nobody could ever decode it. Where this fails, the queue says so to the next call.
                    let _ = receipt.acknowledge();
                    Err(GetCause::Decode(error))
                }
            }
        });
        outcome.map_err(|cause| Missed { queue: self.label.clone(), cause })
    }
}
