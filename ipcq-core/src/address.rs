//! Where a named queue is found: what a handle turns into when it travels inside a message.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::name::QueueName;

/// Where a named queue is found: transport, directory, name, and the incarnation of that name.
///
/// An address keeps nothing alive. Opening it when the name stands for a later queue is `Gone`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueAddress {
    transport: Cow<'static, str>,
    directory: PathBuf,
    name: QueueName,
    incarnation: u128,
}

impl QueueAddress {
    /// The address of the queue `name` in `directory`.
    #[must_use]
    pub const fn new(
        transport: &'static str,
        directory: PathBuf,
        name: QueueName,
        incarnation: u128,
    ) -> Self {
        Self { transport: Cow::Borrowed(transport), directory, name, incarnation }
    }

    /// The name of the backend.
    #[must_use]
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// The directory that holds the queue.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The queue's name.
    #[must_use]
    pub const fn name(&self) -> &QueueName {
        &self.name
    }

    /// What tells this queue from others of the same name.
    #[must_use]
    pub const fn incarnation(&self) -> u128 {
        self.incarnation
    }
}

impl fmt::Display for QueueAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.name)
    }
}
