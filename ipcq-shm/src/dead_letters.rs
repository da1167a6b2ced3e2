//! Dead letters: a message that came back too often is moved to another queue, by whoever has it in its hands.
//!
//! While it puts the message there, under that queue's lock, it leaves a note ([`Moving`](crate::layout::Moving)) of what
//! it moves and of the number that the message will have. The tail says whether the message arrived: see
//! [`deliveries`](ipcq_core::os::deliveries). Who finds the note of one that died, and the message not arrived, takes the
//! note away before anything else is put; so a note whose number the tail has passed is true.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipcq_core::os::deliveries::{Movable, Store};
use ipcq_core::os::ends::Ends;
use ipcq_core::os::fork_lock::ForkLock;
use ipcq_core::os::refusal::PutRefusal;
use ipcq_core::os::two_lock::TwoLock;
use ipcq_core::os::waiting::TwoSided;
use ipcq_core::{DeliveryFault, DeliveryTag, Identity, QueueName, Wait};

use crate::acknowledge::explain;
use crate::position::Position;
use crate::segment::Segment;
use crate::transport::ShmTransport;
use crate::wait::Side;

/// Where the dead letters of a queue go.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    transport: ShmTransport,
    name: QueueName,
    /// After how many redeliveries.
    most: u32,
    /// The queue that had the name when it was looked for last.
    queue: ForkLock<Option<Arc<Segment>>>,
}

/// Which message is being moved.
#[derive(Clone, Copy)]
struct Note {
    source: u64,
    number: u64,
    place: u32,
}

impl DeadLetters {
    /// Those of the queue `identity`, if it has some and they can be found by its name.
    pub(crate) fn of(identity: &Identity) -> Option<Self> {
        let most = identity.max_redeliveries?;
        let name = identity.name.as_ref()?.of_dead_letters().ok()?;
        let transport = ShmTransport::in_directory(identity.directory.as_ref()?);
        Some(Self { transport, name, most, queue: ForkLock::default() })
    }

    /// Whether a message that comes back again after so many redeliveries has come back too often.
    pub(crate) const fn are_due(&self, redeliveries: u32) -> bool {
        redeliveries > self.most
    }

    /// The queue that has the name now, if it can be had.
    fn queue(&self) -> Option<Arc<Segment>> {
        let known = self.queue.lock().clone().filter(|queue| !queue.header().is_removed());
        known.or_else(|| {
            let found = self.transport.open_by_name(&self.name).ok();
            self.queue.lock().clone_from(&found);
            found
        })
    }

    /// Moves the message of `tag`, which this process holds, from `source`; returns whether it did. If not, the message
    /// is still held.
    pub(crate) fn take(
        &self,
        source: &Segment,
        tag: &DeliveryTag,
        message: &mut Vec<u8>,
    ) -> Result<bool, DeliveryFault> {
        let Some(queue) = self.queue() else { return Ok(false) };
        loop {
            let (guard, store) = source.lock_to_settle()?;
            let begun = store.begin_move(tag, message);
            drop(guard);
            match begun.map_err(explain)? {
                Movable::Begun => break,
                Movable::TooSmall(len) => {
                    if message.try_reserve_exact(len).is_err() {
                        return Ok(false);
                    }
                }
            }
        }
        let store = source.store().ok_or(DeliveryFault::Expired)?;
        let note = Note { source: source.mark(), number: tag.number, place: tag.place };
        let has_moved = queue.put_moved(message, note, store);
        let (guard, store) = source.lock_to_settle()?;
        let ended =
            if has_moved { store.end_move(tag) } else { store.cancel_move(tag, source.identity().lease) };
        guard.unlock_and_wake(source.event(Side::Put));
        ended.map_err(explain)?;
        if has_moved {
            source.one_has_left();
        }
        Ok(has_moved)
    }

    /// Settles what movers left that died, unless somebody has the lock of `source`; never waits.
    #[cold]
    pub(crate) fn settle_moves(&self, source: &Segment) {
        let queue = self.queue();
        let Some((guard, store)) = source.try_lock_deliveries() else { return };
        store.settle_moves(|place, number| {
            let note = Note { source: source.mark(), number, place };
            queue.as_ref().is_some_and(|queue| queue.has_arrived(note))
        });
        guard.unlock_and_wake(source.event(Side::Get));
        source.one_has_left();
    }
}

impl Segment {
    /// Tells this queue from others in a note.
    #[expect(clippy::cast_possible_truncation, reason = "half of a random number will do")]
    fn mark(&self) -> u64 {
        self.identity().incarnation as u64
    }

    /// Puts a message that is moved here from `source`; returns whether it did. Does not wait for room.
    fn put_moved(&self, message: &[u8], note: Note, source: Store<'_>) -> bool {
        if self.check_length(message.len()).is_err() {
            return false;
        }
        let Ok(guard) = self.lock_put(Wait::No) else { return false };
        self.settle_note_of(note.source, source);
        let outcome = self.put_noted(message, note);
        if outcome.is_ok() {
            // From here on the entry says so, and the note need not any more.
            source.mark_moved(note.place, note.number);
        }
        self.header().moving.0.number.store(0, Ordering::Release);
        guard.unlock_and_wake(self.event(Side::Get));
        outcome.is_ok()
    }

    fn put_noted(&self, message: &[u8], note: Note) -> Result<(), PutRefusal> {
        let ring = self.ring();
        let (tail, _) = crate::operate::free_tail(&ring)?;
        let staged = ring.stage(tail, &[message], message.len())?;
        let moving = &self.header().moving.0;
        moving.source.store(note.source, Ordering::Relaxed);
        moving.source_number.store(note.number, Ordering::Relaxed);
        moving.place.store(note.place, Ordering::Relaxed);
        moving.number.store(self.put_so_far(tail) + 1, Ordering::Release);
        ring.publish(tail, staged)
    }

    /// How many messages had been put when `tail` was read.
    fn put_so_far(&self, tail: Position) -> u64 {
        tail.total(self.header().put.0.total.load(Ordering::Relaxed))
    }

    /// Whether the message that the note is about has arrived.
    fn is_passed(&self, noted: u64) -> bool {
        noted != 0 && self.put_so_far(self.tail()) >= noted
    }

    /// Takes away the note of a mover that died before its message arrived. To be called by who has got the putters'
    /// lock of one that died.
    #[cold]
    pub(crate) fn settle_note(&self) {
        let number = &self.header().moving.0.number;
        if !self.is_passed(number.load(Ordering::Acquire)) {
            number.store(0, Ordering::Release);
        }
    }

    /// Tells the queue `mark`, whose store is `source`, of the message that has arrived from there with a mover that
    /// died; then there is room for another note.
    fn settle_note_of(&self, mark: u64, source: Store<'_>) {
        let moving = &self.header().moving.0;
        let noted = moving.number.load(Ordering::Acquire);
        if noted == 0 {
            return;
        }
        if self.is_passed(noted) && moving.source.load(Ordering::Relaxed) == mark {
            let number = moving.source_number.load(Ordering::Relaxed);
            source.mark_moved(moving.place.load(Ordering::Relaxed), number);
        }
        moving.number.store(0, Ordering::Release);
    }

    /// Whether the message that the note is about, whose mover died, has arrived here. If another one moved something
    /// since, it has told so.
    fn has_arrived(&self, note: Note) -> bool {
        let moving = &self.header().moving.0;
        let noted = moving.number.load(Ordering::Acquire);
        let is_the_one = moving.source.load(Ordering::Relaxed) == note.source
            && moving.source_number.load(Ordering::Relaxed) == note.number
            && moving.place.load(Ordering::Relaxed) == note.place;
        // Who puts after the note was taken away shows in the tail only after that.
        is_the_one && self.is_passed(noted) && moving.number.load(Ordering::Acquire) == noted
    }
}
