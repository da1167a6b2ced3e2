//! The contract of ipcq: an inter-process queue.
#![deny(unsafe_code)]

mod address;
mod deadline;
pub mod error;
mod message;
mod name;
mod options;
#[cfg(feature = "os")]
pub mod os;
mod transport;

pub use address::QueueAddress;
pub use deadline::Wait;
pub use error::{BackendError, BackendErrorKind, CreateError, GetFault, OpenError, PutFault, RemoveError};
pub use message::{Batch, Limit};
pub use name::{NameError, QueueName};
pub use options::{Capacity, QueueOptions};
pub use transport::{Capabilities, Channel, Identity, Lifetime, Stat, Transport};
