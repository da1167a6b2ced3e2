//! What can be seen of an acknowledged queue: what has left it, what is in flight, and what is ready.

use std::sync::atomic::Ordering;

use super::{Deliveries, Ledger};
use crate::BackendError;
use crate::os::ends::Ends;
use crate::os::mapping::Layout;
use crate::os::shared_queue::SharedQueue;

/// How often a look at all counts is repeated until they hold still; so many in a row mean that something other than a
/// queue writes there.
const LOOKS: u32 = 1 << 20;

/// How many messages were put and taken, modulo 2^30, and the ledger, all at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) ledger: Ledger,
    pub(crate) head: u32,
    pub(crate) tail: u32,
}

impl Counts {
    /// Those of `queue` at an instant inside the call.
    ///
    /// # Errors
    /// When they never hold still, which is damage.
    pub(crate) fn of<Q: SharedQueue>(queue: &Q, deliveries: &Deliveries) -> Result<Self, BackendError> {
        for _ in 0..LOOKS {
            let (ledger, head) = (deliveries.ledger(), head(queue));
            let tail = tail(queue);
            if self::head(queue) == head && deliveries.ledger() == ledger {
                return Ok(Self { ledger, head, tail });
            }
        }
        Err(queue.damage())
    }

    /// How many messages can be taken.
    pub(crate) fn ready(self) -> usize {
        since(self.tail, self.head) + self.ledger.ready() as usize
    }
}

/// Whether there is room, at the instant at which it is read what has left: the tail only moves away from it. One
/// that has overtaken the tail by then says that there was room meanwhile.
pub(crate) fn has_room<Q: SharedQueue>(queue: &Q, deliveries: &Deliveries) -> bool {
    let most = <<Q::Layout as Layout>::Header as Ends>::MAX_CAPACITY;
    !(queue.body().identity.capacity..=most).contains(&remaining(queue, deliveries))
}

/// How many messages have not left for good.
pub(crate) fn remaining<Q: SharedQueue>(queue: &Q, deliveries: &Deliveries) -> usize {
    let tail = tail(queue);
    since(tail, deliveries.ledger().left())
}

/// How many messages were taken and have not left for good: a hint.
pub(crate) fn in_hand<Q: SharedQueue>(queue: &Q, deliveries: &Deliveries) -> usize {
    let head = head(queue);
    since(head, deliveries.ledger().left())
}

fn tail<Q: SharedQueue>(queue: &Q) -> u32 {
    <Q::Layout as Layout>::Header::count(queue.words().tail_word().load(Ordering::SeqCst))
}

fn head<Q: SharedQueue>(queue: &Q) -> u32 {
    <Q::Layout as Layout>::Header::count(queue.words().head_word().load(Ordering::SeqCst))
}

/// How many messages lie between two counts.
const fn since(tail: u32, head: u32) -> usize {
    (tail.wrapping_sub(head) & Ledger::COUNT) as usize
}
