//! A handle of an acknowledged queue. Handles of others have a type of their own, so that they pay nothing for it.

use std::process::Command;
use std::sync::Arc;

use super::Deliveries;
use super::acknowledge::Calls;
use super::acknowledging::Acknowledging;
use crate::error::{DeliveryFault, GetFault, JoinFault, PutFault};
use crate::os::handle::Handle;
use crate::os::shared_queue::SharedQueue;
use crate::{BackendError, Batch, Channel, DeliveryTag, Identity, Readiness, Stat, Wait};

/// `handle`, as the type that its queue needs.
#[must_use]
pub fn channel<Q: Acknowledging>(handle: Handle<Q>) -> Arc<dyn Channel> {
    if handle.queue().deliveries().is_some() {
        Arc::new(AcknowledgedChannel { handle })
    } else {
        Arc::new(handle)
    }
}

/// A handle, over one that puts and observes.
#[derive(Debug)]
struct AcknowledgedChannel<Q: SharedQueue> {
    handle: Handle<Q>,
}

impl<Q: Acknowledging> AcknowledgedChannel<Q> {
    fn queue(&self) -> &Q {
        self.handle.queue()
    }
}

impl<Q: Acknowledging> Channel for AcknowledgedChannel<Q> {
    fn identity(&self) -> &Identity {
        self.handle.identity()
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        self.handle.put(parts, wait)
    }

    fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        self.handle.put_many(batch, from, wait)
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.queue().get_for_good(message, wait)
    }

    fn get_delivery(&self, message: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
        self.queue().get_delivery(message, wait)
    }

    fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.queue().acknowledge(tag)
    }

    fn give_back(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.queue().give_back(tag)
    }

    fn in_flight(&self) -> Result<usize, BackendError> {
        self.queue().in_flight()
    }

    fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        self.queue().join(wait)
    }

    fn len(&self) -> Result<usize, BackendError> {
        self.handle.len()
    }

    fn is_empty(&self) -> Result<bool, BackendError> {
        self.handle.len().map(|len| len == 0)
    }

    fn is_full(&self) -> Result<bool, BackendError> {
        let is_full = !self.queue().has_room();
        self.queue().unless_removed(is_full)
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        self.handle.is_closed()
    }

    fn close(&self) -> Result<(), BackendError> {
        self.handle.close()
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let mut stat = self.handle.stat()?;
        let queue = self.queue();
        stat.in_flight = queue.in_flight()?;
        stat.gets = queue.left_in_all()?;
        stat.redelivered = queue.deliveries().map_or(0, Deliveries::redelivered);
        Ok(stat)
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        self.handle.register_producer()
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        self.handle.unregister_producer()
    }

    fn readiness(&self) -> Option<&dyn Readiness> {
        self.handle.readiness()
    }

    fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        self.handle.share_with(command)
    }
}
