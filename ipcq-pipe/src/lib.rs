//! ipcq over kernel pipes.

mod conduit;
mod explain;
mod flow;
mod kernel;
mod layout;
mod map;
mod names;
mod operate;
mod pages;
mod pool;
mod queue;
mod record;
mod recover;
mod size;
mod transport;
mod upkeep;
mod wait;

pub use ipcq_core::codec;
pub use ipcq_core::error;
pub use ipcq_core::{
    Batch, Bincode, Bytes, Capacity, Channel, Codec, Limit, Queue, QueueAddress, QueueName, QueueOptions,
    Stat, Transport, Wait,
};
pub use transport::PipeTransport;

/// The name of this transport.
const NAME: &str = "pipe";
/// What the pipe of a queue is called when a child inherits it, beside the control file.
const CARRIER_NAME: &str = "pipe_carrier";
