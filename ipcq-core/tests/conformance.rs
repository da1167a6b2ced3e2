//! The contract's promises, on the reference transport.
#![cfg(feature = "conformance")]

use ipcq_core::conformance::Harness;
use ipcq_core::memory::MemoryTransport;

/// A fresh in-process transport, which no other process can reach.
#[derive(Debug)]
struct Memory(MemoryTransport);

impl Harness for Memory {
    type Transport = MemoryTransport;

    fn new() -> Self {
        Self(MemoryTransport::new())
    }

    fn transport(&self) -> &MemoryTransport {
        &self.0
    }
}

ipcq_core::conformance_suite!(Memory);
