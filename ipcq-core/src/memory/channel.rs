//! A handle of a queue in this process. It supplies what [`Channel`] requires and nothing else, so that what
//! [`Channel`] provides stays tested.

use std::process::Command;
use std::sync::Arc;

use super::MemoryTransport;
use super::state::Shared;
use crate::deadline::Wait;
use crate::error::{BackendError, BackendErrorKind, GetFault, PutFault};
use crate::transport::{Channel, Identity, Stat};

#[derive(Debug)]
pub(super) struct MemoryChannel {
    shared: Arc<Shared>,
    /// Keeps the queues of a transport while one of them is in use.
    _transport: Option<MemoryTransport>,
}

impl MemoryChannel {
    pub(super) fn new(shared: Arc<Shared>, transport: Option<MemoryTransport>) -> Self {
        shared.add_handle();
        Self { shared, _transport: transport }
    }
}

impl Drop for MemoryChannel {
    fn drop(&mut self) {
        self.shared.drop_handle();
    }
}

impl Channel for MemoryChannel {
    fn identity(&self) -> &Identity {
        self.shared.identity()
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        self.shared.put(parts, wait)
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.shared.get(message, wait)
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
        self.shared.register_producer()
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        self.shared.unregister_producer()
    }

    fn share_with(&self, _: &mut Command) -> Result<(), BackendError> {
        let what = "queues of the memory transport cannot reach another process";
        Err(BackendError::new(BackendErrorKind::Unsupported, self.identity(), what)
            .with_advice("make it on a transport between processes"))
    }
}
