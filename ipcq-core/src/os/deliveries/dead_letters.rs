//! Dead letters: a message that came back too often is moved to another queue, by whoever has it in its hands.
//!
//! While it puts the message there, under that queue's lock, it leaves a note ([`MoveNote`]) of what
//! it moves and of the number that the message will have. The tail says whether the message arrived: see
//! [`moving`](super::moving). Who finds the note of one that died, and the message not arrived, takes the
//! note away before anything else is put; so a note whose number the tail has passed is true.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::acknowledge::{Calls, explain};
use super::acknowledging::Acknowledging;
use super::{Movable, Store};
use crate::error::DeliveryFault;
use crate::os::ends::Ends;
use crate::os::fork_lock::ForkLock;
use crate::os::handle::Handle;
use crate::os::participants::Side;
use crate::os::shared_queue::SharedQueue;
use crate::{DeliveryTag, Identity, QueueName, Wait};

/// Where the dead letters of a queue go.
#[derive(Debug)]
pub struct DeadLetters<Q: SharedQueue> {
    directory: PathBuf,
    name: QueueName,
    /// After how many redeliveries.
    most: u32,
    /// The queue that had the name when it was looked for last. It is held, so that it does not end before this one.
    queue: ForkLock<Option<Handle<Q>>>,
}

/// What a putter notes, under its lock, that moves a message from another queue. All zeroes outside of that, unless it
/// died.
#[derive(Debug, Default)]
#[repr(C)]
pub struct MoveNote {
    /// The number that the message will have here, plus 1.
    number: AtomicU64,
    /// Which queue it comes from.
    source: AtomicU64,
    /// The number that it has there.
    source_number: AtomicU64,
    /// Its entry there.
    place: AtomicU32,
}

/// Which message is being moved.
#[derive(Clone, Copy)]
struct Note {
    source: u64,
    number: u64,
    place: u32,
}

impl<Q: Acknowledging> DeadLetters<Q> {
    /// Those of the queue `identity`, if it has some and they can be found by its name.
    #[must_use]
    pub fn of(identity: &Identity) -> Option<Self> {
        let most = identity.max_redeliveries?;
        let name = identity.name.as_ref()?.of_dead_letters().ok()?;
        let directory = identity.directory.clone()?;
        Some(Self { directory, name, most, queue: ForkLock::default() })
    }

    /// Whether a message that comes back again after so many redeliveries has come back too often.
    pub(super) const fn are_due(&self, redeliveries: u32) -> bool {
        redeliveries > self.most
    }

    /// Holds `queue`, which has the name, as long as it is not removed; or nothing.
    pub fn hold(&self, queue: Option<Arc<Q>>) {
        let held = queue.map(Handle::new);
        let before = std::mem::replace(&mut *self.queue.lock(), held);
        // Not under the lock: it may be the last that holds its queue.
        drop(before);
    }

    /// The queue that has the name now, if it can be had; it is held from now on.
    pub fn queue(&self) -> Option<Arc<Q>> {
        let known = self.queue.lock().as_ref().map(|held| Arc::clone(held.queue()));
        if let Some(queue) = known
            && !queue.words().is_removed()
        {
            return Some(queue);
        }
        let found = Q::find(&self.directory, &self.name);
        self.hold(found.clone());
        found
    }

    /// Moves the message of `tag`, which this process holds, from `source`; returns whether it did. If not, the message
    /// is still held.
    pub(super) fn take(
        &self,
        source: &Q,
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
        let note = Note { source: mark(source), number: tag.number, place: tag.place };
        let has_moved = put_moved(&*queue, message, note, store);
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

    /// Settles what movers left that died, unless somebody has the lock of `source`; never waits. Returns `false` where
    /// it cannot be told yet what has arrived: somebody else is finding it out.
    #[cold]
    pub(super) fn settle_moves(&self, source: &Q) -> bool {
        let queue = self.queue();
        if let Some(queue) = &queue
            && !queue.puts_are_settled()
        {
            queue.settle_orphans();
        }
        let Some((guard, store)) = source.try_lock_deliveries() else { return true };
        let settled = store.settle_moves(|place, number| {
            let note = Note { source: mark(source), number, place };
            queue.as_ref().map_or(Some(false), |queue| has_arrived(&**queue, note))
        });
        guard.unlock_and_wake(source.event(Side::Get));
        source.one_has_left();
        settled
    }
}

/// Tells `queue` from others in a note.
#[expect(clippy::cast_possible_truncation, reason = "half of a random number will do")]
fn mark<Q: Acknowledging>(queue: &Q) -> u64 {
    queue.identity().incarnation as u64
}

/// Puts a message that is moved to `queue` from `source`; returns whether it did. Does not wait for room.
fn put_moved<Q: Acknowledging>(queue: &Q, message: &[u8], note: Note, source: Store<'_>) -> bool {
    if queue.check_length(message.len()).is_err() {
        return false;
    }
    let Ok(guard) = queue.lock_put(Wait::No) else { return false };
    settle_note_of(queue, note.source, source);
    let words = queue.note();
    let outcome = queue.put_noted(message, |before| {
        words.source.store(note.source, Ordering::Relaxed);
        words.source_number.store(note.number, Ordering::Relaxed);
        words.place.store(note.place, Ordering::Relaxed);
        words.number.store(before + 1, Ordering::Release);
    });
    if outcome.is_ok() {
        // From here on the entry says so, and the note need not any more.
        source.mark_moved(note.place, note.number);
    }
    words.number.store(0, Ordering::Release);
    guard.unlock_and_wake(queue.event(Side::Get));
    outcome.is_ok()
}

/// Whether the message that a note is about has arrived in `queue`.
fn is_passed<Q: Acknowledging>(queue: &Q, noted: u64) -> bool {
    noted != 0 && queue.words().totals().0 >= noted
}

/// See [`Acknowledging::settle_note`].
pub(super) fn settle_note<Q: Acknowledging>(queue: &Q) {
    let number = &queue.note().number;
    if !is_passed(queue, number.load(Ordering::Acquire)) {
        number.store(0, Ordering::Release);
    }
}

/// Tells the queue `mark`, whose store is `source`, of the message that has arrived in `queue` from there with a mover
/// that died; then there is room for another note.
fn settle_note_of<Q: Acknowledging>(queue: &Q, mark: u64, source: Store<'_>) {
    let words = queue.note();
    let noted = words.number.load(Ordering::Acquire);
    if noted == 0 {
        return;
    }
    if is_passed(queue, noted) && words.source.load(Ordering::Relaxed) == mark {
        let number = words.source_number.load(Ordering::Relaxed);
        source.mark_moved(words.place.load(Ordering::Relaxed), number);
    }
    words.number.store(0, Ordering::Release);
}

/// Whether the message that the note is about, whose mover died, has arrived in `queue`, if that can be told yet. If
/// another one moved something since, it has told so.
fn has_arrived<Q: Acknowledging>(queue: &Q, note: Note) -> Option<bool> {
    if !queue.puts_are_settled() {
        return None;
    }
    let words = queue.note();
    let noted = words.number.load(Ordering::Acquire);
    let is_the_one = words.source.load(Ordering::Relaxed) == note.source
        && words.source_number.load(Ordering::Relaxed) == note.number
        && words.place.load(Ordering::Relaxed) == note.place;
    // Who puts after the note was taken away shows in the tail only after that.
    Some(is_the_one && is_passed(queue, noted) && words.number.load(Ordering::Acquire) == noted)
}
