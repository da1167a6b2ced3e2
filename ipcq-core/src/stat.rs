//! What is known of a queue, for people to read.

use crate::readiness::Side;

/// Everything that is known of a queue, for people to read. Each number is exact at an instant inside the call,
/// not all at the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Messages in the queue.
    pub len: usize,
    /// Whether it is closed.
    pub closed: bool,
    /// Memory or disk in use for it, in bytes.
    pub bytes: u64,
    /// Messages put since it was made.
    pub puts: u64,
    /// Messages that left since it was made: taken, and where that is to be acknowledged, acknowledged or dead-lettered.
    pub gets: u64,
    /// Messages that are handed out and not acknowledged.
    pub in_flight: usize,
    /// How often a message was handed out again, which had come back.
    pub redelivered: u64,
    /// Bytes of the messages put since it was made. Those of a message whose putter was killed the moment it had put it may
    /// be missing.
    pub bytes_put: u64,
    /// Calls that slept because there was no room, since it was made. Who waits for several queues, or in a future, is
    /// not counted.
    pub put_waits: u64,
    /// Calls that slept because there was no message; as [`put_waits`](Self::put_waits).
    pub get_waits: u64,
    /// How often a participant died inside a call, and the next one put right what that may have left.
    pub recoveries: u64,
    /// Calls of living processes that wait for room.
    pub waiting_putters: usize,
    /// Calls of living processes that wait for a message.
    pub waiting_getters: usize,
    /// Where it lives.
    pub location: String,
}

impl Stat {
    /// The counts of calls on `side` that wait, and of those that ever slept: for a backend that keeps its counts here.
    pub const fn waits_mut(&mut self, side: Side) -> (&mut usize, &mut u64) {
        match side {
            Side::Put => (&mut self.waiting_putters, &mut self.put_waits),
            Side::Get => (&mut self.waiting_getters, &mut self.get_waits),
        }
    }

    /// The numbers of a queue with `len` messages, with nothing in flight, nobody waiting and no storage.
    #[must_use]
    pub fn new(len: usize, closed: bool, location: String) -> Self {
        Self {
            len,
            closed,
            bytes: 0,
            puts: 0,
            gets: 0,
            in_flight: 0,
            redelivered: 0,
            bytes_put: 0,
            put_waits: 0,
            get_waits: 0,
            recoveries: 0,
            waiting_putters: 0,
            waiting_getters: 0,
            location,
        }
    }
}
