//! A handle of an acknowledged queue. Handles of others have a type of their own, so that they pay nothing for it.

use std::process::Command;
use std::sync::Arc;

use ipcq_core::{
    BackendError, Batch, Channel, DeliveryFault, DeliveryTag, GetFault, Identity, JoinFault, PutFault, Stat,
    Wait,
};

use ipcq_core::os::deliveries::Deliveries;
use ipcq_core::os::handle::Handle;
use ipcq_core::os::shared_queue::SharedQueue;

use crate::segment::Segment;

/// A handle, over one that puts and observes.
#[derive(Debug)]
pub(crate) struct AcknowledgedChannel {
    handle: Handle<Segment>,
    segment: Arc<Segment>,
}

impl AcknowledgedChannel {
    pub(crate) const fn new(handle: Handle<Segment>, segment: Arc<Segment>) -> Self {
        Self { handle, segment }
    }
}

impl Channel for AcknowledgedChannel {
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
        self.segment.get_for_good(message, wait)
    }

    fn get_delivery(&self, message: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
        self.segment.get_delivery(message, wait)
    }

    fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.segment.acknowledge(tag)
    }

    fn give_back(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.segment.give_back(tag)
    }

    fn in_flight(&self) -> Result<usize, BackendError> {
        self.segment.in_flight()
    }

    fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        self.segment.join(wait)
    }

    fn len(&self) -> Result<usize, BackendError> {
        self.handle.len()
    }

    fn is_empty(&self) -> Result<bool, BackendError> {
        self.handle.len().map(|len| len == 0)
    }

    fn is_full(&self) -> Result<bool, BackendError> {
        let is_full = !self.segment.has_room();
        self.segment.unless_removed(is_full)
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        self.handle.is_closed()
    }

    fn close(&self) -> Result<(), BackendError> {
        self.handle.close()
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let mut stat = self.handle.stat()?;
        let segment = &self.segment;
        stat.in_flight = segment.in_flight()?;
        stat.gets = segment.left_in_all()?;
        stat.redelivered = segment.deliveries().map_or(0, Deliveries::redelivered);
        Ok(stat)
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        self.handle.register_producer()
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        self.handle.unregister_producer()
    }

    fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        self.handle.share_with(command)
    }
}
