//! What identifies a message that was handed out.

/// Identifies a message that a [`Channel`](crate::Channel) has handed out, and to whom.
///
/// It is no right by itself: a tag that is not this process's, or not any more, is an error to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeliveryTag {
    /// The message's put number: how many were put before it since the queue was made.
    pub number: u64,
    /// How often it had been put back before.
    pub redeliveries: u32,
    /// Where the backend keeps it.
    pub place: u32,
    /// The process that holds it, as the backend knows it.
    pub holder: u64,
}

impl DeliveryTag {
    /// The tag of message `number`, which had come back `redeliveries` times.
    #[must_use]
    pub const fn new(number: u64, redeliveries: u32) -> Self {
        Self { number, redeliveries, place: 0, holder: 0 }
    }

    /// The same, for what the backend finds at `place` and has handed out to `holder`.
    #[must_use]
    pub const fn at(self, place: u32, holder: u64) -> Self {
        Self { place, holder, ..self }
    }
}
