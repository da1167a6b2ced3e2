//! Where the pieces are noted: a chunk of its own, which a queue takes with its first loan.
//!
//! ```text
//! 0         slots of the processes that have loans
//! 16 KiB    entries, one for each piece
//! ```

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::Ordering;

use ipcq_core::os::mapping::SLOTS;
use ipcq_core::os::participants::Slot;
use ipcq_core::os::refusal::Damage;

use super::entry::Entry;
use crate::layout::Books;
use crate::map::Map;
use crate::position::CHUNK;
use crate::storage::Storage;

const ENTRIES_AT: usize = SLOTS * size_of::<Slot>();

/// The most pieces that there can be: more messages than that are not in place at a time.
pub(crate) const MAX_ENTRIES: u32 = 1536;

const _: () = assert!(ENTRIES_AT + MAX_ENTRIES as usize * size_of::<Entry>() <= CHUNK);

/// The table of a queue that has one.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    chunk: u32,
    memory: NonNull<u8>,
    books: &'a Books,
    mapped: PhantomData<&'a Map>,
}

impl<'a> Table<'a> {
    /// The table of the queue, if it has one.
    pub(crate) fn find(map: &'a Map, storage: &Storage) -> Result<Option<Self>, Damage> {
        let books = &map.header().loans.0;
        let Some(chunk) = books.table.load(Ordering::Acquire).checked_sub(1) else { return Ok(None) };
        Ok(Some(Self { chunk, memory: map.chunk(chunk, storage)?, books, mapped: PhantomData }))
    }

    /// Makes the chunk `chunk`, which has memory and is in use by nobody, the table of the queue.
    pub(crate) fn make(map: &'a Map, storage: &Storage, chunk: u32) -> Result<Self, Damage> {
        let books = &map.header().loans.0;
        let memory = map.chunk(chunk, storage)?;
        // SAFETY: the chunk lies inside the mapping and the file; no reference to its bytes exists anywhere.
        unsafe { memory.write_bytes(0, CHUNK) };
        books.entries.store(0, Ordering::Relaxed);
        books.table.store(chunk + 1, Ordering::Release);
        Ok(Self { chunk, memory, books, mapped: PhantomData })
    }

    /// The chunk that it is.
    pub(crate) const fn chunk(&self) -> u32 {
        self.chunk
    }

    pub(crate) const fn books(&self) -> &'a Books {
        self.books
    }

    /// The slots of the processes that have loans.
    pub(crate) fn slots(&self) -> &'a [Slot] {
        // SAFETY: the slots lie inside the chunk, which is mapped for as long as the map; it is aligned to a page, and they
        // consist of atomics only.
        unsafe { slice::from_raw_parts(self.memory.cast::<Slot>().as_ptr(), SLOTS) }
    }

    /// How many entries have been used.
    pub(crate) fn len(&self) -> u32 {
        self.books.entries.load(Ordering::Relaxed).min(MAX_ENTRIES)
    }

    /// The entry `index`, or another one where there is none of that number.
    pub(crate) fn entry(&self, index: u32) -> &'a Entry {
        let at = ENTRIES_AT + (index % MAX_ENTRIES) as usize * size_of::<Entry>();
        // SAFETY: the index is below `MAX_ENTRIES`, whose entries lie inside the chunk.
        let entry = unsafe { self.memory.add(at) };
        // SAFETY: in bounds as above, aligned to 32, mapped for as long as the map, and it consists of atomics only.
        unsafe { entry.cast::<Entry>().as_ref() }
    }

    /// All that have been used, with their numbers.
    pub(crate) fn entries(self) -> impl Iterator<Item = (u32, &'a Entry)> {
        (0..self.len()).map(move |index| (index, self.entry(index)))
    }
}
