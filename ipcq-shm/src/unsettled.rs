//! What can be seen of an acknowledged queue: what has left it, what is in flight, and what is ready.

use std::sync::atomic::Ordering;

use ipcq_core::BackendError;
use ipcq_core::os::deliveries::Ledger;
use ipcq_core::os::ends::Ends;
use ipcq_core::os::shared_queue::SharedQueue;
use ipcq_core::os::waiting::TwoSided;

use crate::position::{MAX_CAPACITY, Position, REMOVED};
use crate::segment::Segment;

/// How often a look at all counts is repeated until they hold still; so many in a row mean that something other than a
/// queue writes there.
const LOOKS: u32 = 1 << 20;

impl Segment {
    /// What putters count from: where everything before has left for good.
    pub(crate) fn left(&self) -> Position {
        match self.deliveries() {
            None => self.head(),
            Some(deliveries) => Position::new(deliveries.ledger().left(), 0, 0),
        }
    }

    /// How many messages have been handed out and neither left nor come back.
    pub(crate) fn in_flight(&self) -> Result<usize, BackendError> {
        let (ledger, head, _) = self.counts()?;
        self.unless_removed(ledger.in_flight(head.count()) as usize)
    }

    /// How many messages left for good since the queue was made.
    pub(crate) fn left_in_all(&self) -> Result<u64, BackendError> {
        let (ledger, head, _) = self.counts()?;
        Ok(self.header().totals().1.saturating_sub(u64::from(ledger.unsettled(head.count()))))
    }

    /// The ledger, the head and the tail, all at one instant inside the call. First repairs what a dead one left in the
    /// middle of a step; never waits.
    pub(crate) fn counts(&self) -> Result<(Ledger, Position, Position), BackendError> {
        let Some(deliveries) = self.deliveries() else { return Err(self.not_acknowledged()) };
        if self.header().get.0.lock.is_orphaned() {
            self.look_after_deliveries();
        }
        for _ in 0..LOOKS {
            let (ledger, head) = (deliveries.ledger(), self.head());
            let tail = self.tail();
            if self.head() == head && deliveries.ledger() == ledger {
                return Ok((ledger, head, tail));
            }
        }
        Err(self.damaged())
    }

    pub(crate) fn tail(&self) -> Position {
        Position(self.header().tail_word().load(Ordering::SeqCst))
    }

    pub(crate) fn head(&self) -> Position {
        Position(self.header().head_word().load(Ordering::SeqCst))
    }

    /// Whether there is room, at the instant at which it is read what has left: the tail only moves away from it. One
    /// that has overtaken the tail by then says that there was room meanwhile.
    pub(crate) fn has_room_beside_deliveries(&self) -> bool {
        let tail = self.tail();
        let len = tail.since(self.left());
        !(self.identity().capacity..=MAX_CAPACITY).contains(&len)
    }

    /// Whether anything is in the queue or in flight.
    pub(crate) fn may_come_back(&self) -> bool {
        let is_removed = self.header().tail_word().load(Ordering::SeqCst) & REMOVED != 0;
        self.deliveries().is_some() && !is_removed && self.tail().since(self.left()) > 0
    }
}
