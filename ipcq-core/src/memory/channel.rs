//! A handle of a queue in this process. It supplies what [`Channel`] requires, and what acknowledged delivery needs; so
//! what [`Channel`] provides stays tested.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::MemoryTransport;
use super::state::Shared;
use crate::deadline::Wait;
use crate::delivery::DeliveryTag;
use crate::error::{BackendError, BackendErrorKind, DeliveryFault, GetFault, JoinFault, PutFault};
use crate::identity::Identity;
use crate::stat::Stat;
use crate::transport::Channel;

#[derive(Debug)]
pub(super) struct MemoryChannel {
    shared: Arc<Shared>,
    /// Whether this handle counts as a producer.
    producer: AtomicBool,
    /// Keeps the queues of a transport while one of them is in use.
    _transport: Option<MemoryTransport>,
}

impl MemoryChannel {
    pub(super) fn new(shared: Arc<Shared>, transport: Option<MemoryTransport>) -> Self {
        Self { shared, producer: AtomicBool::new(false), _transport: transport }
    }
}

impl MemoryChannel {
    fn leave(&self) {
        if self.producer.swap(false, Ordering::AcqRel) {
            self.shared.drop_producer();
        }
    }
}

impl Drop for MemoryChannel {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Channel for MemoryChannel {
    fn identity(&self) -> &Identity {
        self.shared.identity()
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        self.register_producer()?;
        self.shared.put(parts, wait)
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.shared.get(message, wait)
    }

    fn get_delivery(&self, message: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
        self.shared.get_delivery(message, wait)
    }

    fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.shared.acknowledge(tag)
    }

    fn give_back(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.shared.give_back(tag)
    }

    fn in_flight(&self) -> Result<usize, BackendError> {
        self.shared.in_flight()
    }

    fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        self.shared.join(wait)
    }

    fn is_full(&self) -> Result<bool, BackendError> {
        self.shared.is_full()
    }

    fn len(&self) -> Result<usize, BackendError> {
        self.shared.len()
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        self.shared.is_closed()
    }

    fn close(&self) -> Result<(), BackendError> {
        self.shared.close()
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        self.shared.stat()
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        if !self.producer.swap(true, Ordering::AcqRel) {
            self.shared.add_producer();
        }
        Ok(())
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        self.leave();
        Ok(())
    }

    fn share_with(&self, _: &mut Command) -> Result<(), BackendError> {
        let what = "queues of the memory transport cannot reach another process";
        Err(BackendError::new(BackendErrorKind::Unsupported, self.identity(), what)
            .with_advice("make it on a transport between processes"))
    }
}
