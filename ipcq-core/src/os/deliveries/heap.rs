//! The messages that came back, as a binary heap: the one with the lowest number is at the top.
//!
//! It says again, in a form that is quick to ask, what the entries say: who dies in the middle of changing it leaves it
//! to be made anew. A damaged one bounds every step by its length, and at worst hands out messages in another order.

use std::sync::atomic::Ordering;

use super::Store;

impl Store<'_> {
    /// How many entries are in the heap.
    pub(super) fn heap_len(&self) -> u32 {
        self.books().heap.load(Ordering::Relaxed).min(self.entries())
    }

    /// The entry with the lowest number.
    pub(super) fn heap_first(&self) -> Option<u32> {
        (self.heap_len() > 0).then(|| self.at(0))
    }

    /// Adds the entry `index`.
    pub(super) fn heap_push(&self, index: u32) {
        let mut place = self.heap_len();
        self.put_at(place, index);
        self.books().heap.store(place + 1, Ordering::Relaxed);
        while place > 0 {
            let above = (place - 1) / 2;
            if self.key(above) <= self.key(place) {
                break;
            }
            self.swap(above, place);
            place = above;
        }
    }

    /// Takes off the entry with the lowest number.
    pub(super) fn heap_pop(&self) {
        let Some(last) = self.heap_len().checked_sub(1) else { return };
        self.put_at(0, self.at(last));
        self.books().heap.store(last, Ordering::Relaxed);
        let mut place = 0;
        while 2 * place + 1 < last {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let below = if right < last && self.key(right) < self.key(left) { right } else { left };
            if self.key(place) <= self.key(below) {
                break;
            }
            self.swap(place, below);
            place = below;
        }
    }

    fn at(&self, place: u32) -> u32 {
        self.map().heap(place).load(Ordering::Relaxed)
    }

    fn put_at(&self, place: u32, index: u32) {
        self.map().heap(place).store(index, Ordering::Relaxed);
    }

    fn key(&self, place: u32) -> u64 {
        self.entry(self.at(place)).number()
    }

    fn swap(&self, one: u32, other: u32) {
        let (first, second) = (self.at(one), self.at(other));
        self.put_at(one, second);
        self.put_at(other, first);
    }
}
