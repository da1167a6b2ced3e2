//! A queue inside a message: it travels as its address.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};

use super::Queue;
use crate::address::QueueAddress;
use crate::codec::Codec;

/// Writes the [address](Queue::address) of a named queue, which keeps nothing alive. An anonymous queue has
/// none, and serialising it is an error that says so.
impl<T, C> Serialize for Queue<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let address = self.address().ok_or_else(|| {
            let label = &self.label;
            S::Error::custom(format_args!(
                "queue {label} has no name to be found by; share it with a child process, or make it with a name"
            ))
        })?;
        address.serialize(serializer)
    }
}

/// Opens the queue that was serialised: the very one, not a later one of its name. Its transport must be in use
/// in this program.
impl<'de, T, C: Codec<T>> Deserialize<'de> for Queue<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let address = QueueAddress::deserialize(deserializer)?;
        Self::open_address(&address).map_err(D::Error::custom)
    }
}
