//! The state of an entry, and the list of those that are free.

use std::sync::atomic::Ordering;

use super::Store;
use super::layout::{BLOCK, ENTRIES_AT, Entry, HEAP_AT, MAX_ENTRIES, PAGE};
use crate::os::refusal::Stuck;

/// Entries in a page, and places of the heap.
pub(super) const PER_PAGE: u32 = 64;
const HEAP_PER_PAGE: u32 = 1024;

/// Entries that stay when there are fewer messages.
pub(super) const KEEP: u32 = 2 * PER_PAGE;

const KIND_SHIFT: u32 = 48;
const HOLDER_SHIFT: u32 = 32;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No message.
    Free,
    /// Handed out.
    Held,
    /// It came back.
    Ready,
    /// Its holder puts it among the dead letters.
    Moving,
    /// It is there.
    Moved,
}

/// What the word `state` of an entry holds: all that changes in its life, so that each change is one store.
///
/// ```text
/// 63 .... 48   47 .... 32         31 ........ 0
/// kind         slot of the holder  redeliveries
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) kind: Kind,
    pub(super) holder: u16,
    pub(super) redeliveries: u32,
}

impl State {
    /// In place of a holder: it died, and what it had is not settled yet.
    pub(super) const NOBODY: u16 = u16::MAX;

    pub(super) const FREE: Self = Self { kind: Kind::Free, holder: 0, redeliveries: 0 };

    /// What is no state passes for a free entry, which at worst loses what a hostile peer had destroyed.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
    const fn unpack(word: u64) -> Self {
        let kind = match word >> KIND_SHIFT {
            1 => Kind::Held,
            2 => Kind::Ready,
            3 => Kind::Moving,
            4 => Kind::Moved,
            _ => Kind::Free,
        };
        Self { kind, holder: (word >> HOLDER_SHIFT) as u16, redeliveries: word as u32 }
    }

    pub(super) const fn pack(self) -> u64 {
        let kind = match self.kind {
            Kind::Free => 0,
            Kind::Held => 1,
            Kind::Ready => 2,
            Kind::Moving => 3,
            Kind::Moved => 4,
        };
        (kind << KIND_SHIFT) | ((self.holder as u64) << HOLDER_SHIFT) | self.redeliveries as u64
    }

    /// Whether a holder has it.
    pub(super) const fn is_held(self) -> bool {
        matches!(self.kind, Kind::Held | Kind::Moving | Kind::Moved)
    }

    /// Whether its holder died, and it is not settled yet.
    pub(super) const fn is_nobodys(self) -> bool {
        self.holder == Self::NOBODY
    }

    /// The slot of its holder; of nobody, one that is none.
    pub(super) const fn slot(self) -> usize {
        self.holder as usize
    }
}

impl Entry {
    pub(super) fn state(&self) -> State {
        State::unpack(self.state.load(Ordering::SeqCst)) // E1
    }

    pub(super) fn set(&self, state: State) {
        self.state.store(state.pack(), Ordering::SeqCst); // E1
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// How many blocks its message has.
    pub(super) fn blocks(&self) -> u32 {
        self.len.load(Ordering::Relaxed).div_ceil(u32::try_from(BLOCK).unwrap_or(1))
    }
}

impl Store<'_> {
    /// How many entries there are.
    pub(super) fn entries(&self) -> u32 {
        self.books().entries.load(Ordering::Relaxed).min(MAX_ENTRIES)
    }

    /// A free entry, which stays in the list of free ones until [`use_entry`](Self::use_entry) takes it off.
    pub(super) fn free_entry(&self) -> Result<u32, Stuck> {
        if self.books().free.load(Ordering::Relaxed) == 0 {
            self.add_entries()?;
        }
        let index = self.books().free.load(Ordering::Relaxed).wrapping_sub(1);
        let sound = index < self.entries() && self.entry(index).state() == State::FREE;
        if sound { Ok(index) } else { Err(Stuck::Damage) }
    }

    /// Takes the entry `index` off the list of free ones, whose first it is.
    pub(super) fn use_entry(&self, index: u32) {
        let next = self.entry(index).next_free().load(Ordering::Relaxed);
        self.books().free.store(u32::try_from(next).unwrap_or(0), Ordering::Relaxed);
    }

    /// Puts the entry `index`, which is free, on the list.
    pub(super) fn list_free(&self, index: u32) {
        let free = &self.books().free;
        self.entry(index).next_free().store(u64::from(free.load(Ordering::Relaxed)), Ordering::Relaxed);
        free.store(index + 1, Ordering::Relaxed);
    }

    /// Adds a page of entries.
    fn add_entries(&self) -> Result<(), Stuck> {
        let entries = self.entries();
        if entries >= MAX_ENTRIES {
            let text = "as many messages are in flight as there can be: acknowledge some";
            return Err(Stuck::NoRoom(std::io::Error::new(std::io::ErrorKind::OutOfMemory, text)));
        }
        self.reserve(ENTRIES_AT + entries as usize * size_of::<Entry>(), PAGE)?;
        if entries.is_multiple_of(HEAP_PER_PAGE) {
            self.reserve(HEAP_AT + entries as usize * size_of::<u32>(), PAGE)?;
        }
        for index in entries..entries + PER_PAGE {
            self.entry(index).set(State::FREE);
        }
        self.books().entries.store(entries + PER_PAGE, Ordering::Relaxed);
        self.list_free_from(entries);
        Ok(())
    }

    /// Makes the list of free entries anew, the first ones in front.
    pub(super) fn list_all_free(&self) {
        self.list_free_from(0);
    }

    /// Makes it of those from `from` on.
    fn list_free_from(&self, from: u32) {
        let mut first = 0;
        for index in (from..self.entries()).rev() {
            let entry = self.entry(index);
            if entry.state().kind == Kind::Free {
                entry.next_free().store(u64::from(first), Ordering::Relaxed);
                first = index + 1;
            }
        }
        self.books().free.store(first, Ordering::Relaxed);
    }

    /// Gives back the memory of free entries at the end.
    pub(super) fn trim_entries(&self) {
        let entries = self.entries();
        let mut end = entries;
        while end > KEEP && self.entry(end - 1).state().kind == Kind::Free {
            end -= 1;
        }
        let end = end.next_multiple_of(PER_PAGE);
        if end >= entries {
            return;
        }
        self.books().entries.store(end, Ordering::Relaxed);
        self.list_all_free();
        self.release_entries(end, entries);
    }

    /// Gives back the memory of entries from `first` to before `end`, which are none any more.
    pub(super) fn release_entries(&self, first: u32, end: u32) {
        let bytes = end.saturating_sub(first) as usize * size_of::<Entry>();
        self.release(ENTRIES_AT + first as usize * size_of::<Entry>(), bytes);
        let (first, end) = (first.next_multiple_of(HEAP_PER_PAGE), end.next_multiple_of(HEAP_PER_PAGE));
        let bytes = end.saturating_sub(first) as usize * size_of::<u32>();
        self.release(HEAP_AT + first as usize * size_of::<u32>(), bytes);
    }
}
