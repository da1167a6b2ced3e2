//! Which backends are in use in this program, so that an address can be opened.

use std::sync::{Arc, PoisonError, RwLock};

use crate::address::QueueAddress;
use crate::error::OpenError;
use crate::transport::Channel;

/// How a backend opens the queue of an address.
pub type OpenAddress = fn(&QueueAddress) -> Result<Arc<dyn Channel>, OpenError>;

static TRANSPORTS: RwLock<Vec<(&'static str, OpenAddress)>> = RwLock::new(Vec::new());

/// Makes the backend `name` known, so that [`QueueAddress::open`] and handles that arrive inside messages find
/// it. Backends call this when a transport is made; calling it again is cheap and changes nothing.
///
/// `open` opens the queue `address.name()` in `address.directory()`; whether it is the very queue of the address
/// is checked by the caller.
pub fn register_transport(name: &'static str, open: OpenAddress) {
    if find(name).is_some() {
        return;
    }
    let mut transports = TRANSPORTS.write().unwrap_or_else(PoisonError::into_inner);
    if transports.iter().all(|(known, _)| *known != name) {
        transports.push((name, open));
    }
}

fn find(name: &str) -> Option<OpenAddress> {
    let transports = TRANSPORTS.read().unwrap_or_else(PoisonError::into_inner);
    transports.iter().find(|(known, _)| *known == name).map(|(_, open)| *open)
}

impl QueueAddress {
    /// Opens the queue that this address stands for.
    ///
    /// # Errors
    /// [`OpenError::UnknownTransport`] when no transport of that name was made in this program,
    /// [`OpenError::Gone`] when the queue was removed, whether or not a later one has its name, and as
    /// [`Transport::open`](crate::Transport::open).
    pub fn open(&self) -> Result<Arc<dyn Channel>, OpenError> {
        let open = find(self.transport())
            .ok_or_else(|| OpenError::UnknownTransport { transport: self.transport().to_owned() })?;
        let gone = || OpenError::Gone { queue: self.to_string() };
        let channel = open(self).map_err(|error| if error.is_missing() { gone() } else { error })?;
        if channel.identity().incarnation == self.incarnation() { Ok(channel) } else { Err(gone()) }
    }
}
