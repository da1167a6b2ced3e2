//! The contract's promises, on queues over kernel pipes.

use std::path::Path;

use ipcq_core::conformance::{DirectoryBackend, InDirectory};
use ipcq_pipe::PipeTransport;

/// Queues in a directory of their own.
#[derive(Debug)]
struct Pipes;

impl DirectoryBackend for Pipes {
    type Transport = PipeTransport;

    fn in_directory(path: &Path) -> PipeTransport {
        PipeTransport::in_directory(path)
    }
}

ipcq_core::conformance_suite!(InDirectory<Pipes>);
