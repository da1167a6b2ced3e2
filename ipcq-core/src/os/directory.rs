//! The directory where the files of queues live.
//!
//! A file is reached only through the descriptor of its directory, so that a name can lead nowhere else, paths of
//! any length work, and what was checked is what is used. A new file has no name until it is complete: its maker
//! can be killed at any instruction and leaves nothing.

mod files;
mod location;

pub use self::files::{FileId, Found, HoldOff, QueueDirectory, Removal, above_stdio};
pub use self::location::Location;
