//! The contract's promises, on queues over ZeroMQ.

use std::path::Path;

use ipcq_core::conformance::{DirectoryBackend, InDirectory};
use ipcq_zmq::ZmqTransport;

/// Queues in a directory of their own.
#[derive(Debug)]
struct Zmq;

impl DirectoryBackend for Zmq {
    type Transport = ZmqTransport;

    fn in_directory(path: &Path) -> ZmqTransport {
        ZmqTransport::in_directory(path)
    }
}

ipcq_core::conformance_suite!(InDirectory<Zmq>);
