//! The backends under test, by name.

use std::path::Path;

use ipcq_core::Transport;
use ipcq_pipe::PipeTransport;
use ipcq_shm::ShmTransport;
use ipcq_zmq::ZmqTransport;

/// The backend `name`, with its queues in `directory`; `None` when there is none of that name.
#[must_use]
pub fn transport(name: &str, directory: &Path) -> Option<Box<dyn Transport>> {
    match name {
        "pipe" => Some(Box::new(PipeTransport::in_directory(directory))),
        "shm" => Some(Box::new(ShmTransport::in_directory(directory))),
        "zmq" => Some(Box::new(ZmqTransport::in_directory(directory))),
        _ => None,
    }
}
