//! What a call for many messages has so far.

use std::collections::TryReserveError;

use super::{PORTION, PORTION_BYTES, TURN_BYTES};
use crate::message::{Batch, Limit};

/// What one `get_many` has taken so far.
#[derive(Debug)]
pub struct Haul<'a> {
    /// Where messages go.
    pub batch: &'a mut Batch,
    /// How much may be taken.
    pub limit: Limit,
    /// How many messages were taken.
    pub taken: usize,
    /// How many bytes they have.
    pub bytes: usize,
    /// Whether as much was taken as the limit allows.
    pub over: bool,
}

impl Haul<'_> {
    /// Makes room for a message of `len` bytes, and for others like it.
    pub(super) fn make_room(&mut self, len: usize) -> Result<(), TryReserveError> {
        let left = self.limit.max_messages() - self.taken;
        let messages = left.min(self.taken.clamp(PORTION, 4096));
        let bytes = messages.saturating_mul(len).min(self.bytes.clamp(PORTION_BYTES, TURN_BYTES));
        let bytes = bytes.min(self.limit.max_bytes()).max(len);
        self.batch.try_reserve(messages, bytes)
    }
}
