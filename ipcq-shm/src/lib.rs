//! ipcq over shared memory.

mod chunks;
mod error;
mod fixed;
mod layout;
mod map;
mod open_files;
mod operate;
mod position;
mod presence;
mod queue;
mod ring;
mod segment;
mod storage;
mod transport;
mod upkeep;
mod wait;

pub use ipcq_core::{Queue, QueueOptions};
pub use transport::ShmTransport;

/// The name of this transport.
const NAME: &str = "shm";
