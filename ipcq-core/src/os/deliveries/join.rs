//! Waiting for the end of messages: whether any of those before a number is still here.

use std::sync::atomic::Ordering;

use super::Store;
use super::entry::Kind;
use super::layout::Entry;

impl Store<'_> {
    /// The first entry from `from` on with a message whose number is below `end`. Needs no lock: it may be called once
    /// the backend has handed out all messages below `end`, and then an entry that has none never gets one again.
    #[must_use]
    pub fn first_below(&self, end: u64, from: u32) -> Option<u32> {
        (from..self.entries()).find(|index| {
            let entry = self.entry(*index);
            entry.state().kind != Kind::Free && entry.number() < end
        })
    }

    /// Asks whoever ends the message in the entry `index` to wake those who [sleep](super::Deliveries::settled) for it.
    /// The caller has announced that it is about to sleep, and looks once more afterwards. Needs no lock.
    pub fn watch(&self, index: u32) {
        self.entry(index).watched.store(1, Ordering::SeqCst);
    }

    /// Wakes who waits for the end of the message that `entry` had.
    pub(super) fn wake_joins(&self, entry: &Entry) {
        if entry.watched.load(Ordering::SeqCst) != 0 {
            entry.watched.store(0, Ordering::Relaxed);
            self.deliveries.settled().wake_all();
        }
    }
}
