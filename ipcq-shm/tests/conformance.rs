//! The contract's promises, on queues in shared memory.

use std::path::Path;

use ipcq_core::conformance::{DirectoryBackend, InDirectory};
use ipcq_shm::ShmTransport;

/// Queues in a directory of their own.
#[derive(Debug)]
struct Shm;

impl DirectoryBackend for Shm {
    type Transport = ShmTransport;

    fn in_directory(path: &Path) -> ShmTransport {
        ShmTransport::in_directory(path)
    }
}

ipcq_core::conformance_suite!(InDirectory<Shm>);
