//! The part of the queue's file with its deliveries, as this process sees it.
//!
//! Peers may write anything there at any time: nothing here forms a reference to bytes that are not atomic, and every
//! index is bounded before it is used.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::resource::{Resource, getrlimit};

use super::layout::{
    BLOCK, BLOCKS_AT, Books, COUNTS_AT, ENTRIES_AT, Entry, HEAP_AT, HOLDERS, MAX_BLOCKS, MAX_ENTRIES,
    SLOTS_AT, SPAN, TAGS_AT,
};
use crate::os::participants::Slot;
use crate::os::refusal::Damage;

/// The least room for content that is of use: a process with less is refused.
const LEAST: usize = 1 << 20;

/// The mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: it is memory that is shared with other processes anyway, and is reached through atomics and raw copies only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps it from `at` on, or as much of it as the address space of this process allows.
    pub(super) fn new(file: impl AsFd, at: usize) -> io::Result<Self> {
        let (limit, _) = getrlimit(Resource::RLIMIT_AS)?;
        let share = usize::try_from(limit / 8).unwrap_or(usize::MAX) & !((1 << 16) - 1);
        let least = BLOCKS_AT + LEAST;
        let mut len = SPAN.min(share.max(least));
        let offset = i64::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
        loop {
            let size = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
            let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
            // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
            match unsafe { mmap(None, size, protection, flags, &file, offset) } {
                Ok(base) => return Ok(Self { base: base.cast(), len }),
                Err(nix::errno::Errno::ENOMEM) if len > least => len = (len / 2).max(least),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// How many blocks this process can reach.
    pub(super) fn block_limit(&self) -> u32 {
        u32::try_from((self.len - BLOCKS_AT) / BLOCK).map_or(MAX_BLOCKS, |blocks| blocks.min(MAX_BLOCKS))
    }

    pub(super) fn books(&self) -> &Books {
        // SAFETY: the mapping begins with the books, aligned to a page; they consist of atomics only.
        unsafe { self.base.cast::<Books>().as_ref() }
    }

    /// How much the holder with slot `index` has; of another one where there is no such slot.
    pub(super) fn count(&self, index: usize) -> &AtomicU32 {
        // SAFETY: the index is below `HOLDERS`, whose counts lie inside the mapping.
        let count = unsafe { self.base.add(COUNTS_AT + index % HOLDERS * size_of::<AtomicU32>()) };
        // SAFETY: in bounds as above, aligned to 4, and used as an atomic by everybody.
        unsafe { count.cast::<AtomicU32>().as_ref() }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        // SAFETY: the slots lie inside the mapping.
        let first = unsafe { self.base.add(SLOTS_AT) };
        // SAFETY: all of them do (checked in `layout`), aligned to a page, and they consist of atomics only.
        unsafe { slice::from_raw_parts(first.cast::<Slot>().as_ptr(), HOLDERS) }
    }

    /// The entry `index`, or another one where there is none of that number.
    pub(super) fn entry(&self, index: u32) -> &Entry {
        let at = ENTRIES_AT + (index % MAX_ENTRIES) as usize * size_of::<Entry>();
        // SAFETY: the index is below `MAX_ENTRIES`, whose entries lie inside the mapping.
        let entry = unsafe { self.base.add(at) };
        // SAFETY: in bounds as above, aligned to 64, and it consists of atomics only.
        unsafe { entry.cast::<Entry>().as_ref() }
    }

    /// The place `index` of the heap, or another one where there is none of that number.
    pub(super) fn heap(&self, index: u32) -> &AtomicU32 {
        let at = HEAP_AT + (index % MAX_ENTRIES) as usize * size_of::<AtomicU32>();
        // SAFETY: the index is below `MAX_ENTRIES`, for which the heap has room inside the mapping.
        let place = unsafe { self.base.add(at) };
        // SAFETY: in bounds as above, aligned to 4, and used as an atomic by everybody.
        unsafe { place.cast::<AtomicU32>().as_ref() }
    }

    /// The tag of block `index`, or of another one where there is none of that number.
    pub(super) fn tag(&self, index: u32) -> &AtomicU64 {
        let at = TAGS_AT + (index % MAX_BLOCKS) as usize * size_of::<AtomicU64>();
        // SAFETY: the index is below `MAX_BLOCKS`, whose tags lie inside the mapping.
        let tag = unsafe { self.base.add(at) };
        // SAFETY: in bounds as above, aligned to 8, and used as an atomic by everybody.
        unsafe { tag.cast::<AtomicU64>().as_ref() }
    }

    /// Copies `bytes` into the blocks from `first` on.
    pub(super) fn write(&self, first: u32, bytes: &[u8]) -> Result<(), Damage> {
        let to = self.content(first, bytes.len())?;
        // SAFETY: `content` has checked the range, and no reference to the mapping's bytes exists anywhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Appends `len` bytes of the blocks from `first` on to `buffer`, which has room for them.
    pub(super) fn read(&self, first: u32, len: usize, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        let old = buffer.len();
        let Some(spare) = buffer.spare_capacity_mut().get_mut(..len) else { return Err(Damage) };
        let from = self.content(first, len)?;
        // SAFETY: `content` has checked the range, and `spare` has room for `len` bytes, which nobody else can reach.
        // Peers may write the source meanwhile: the bytes are copied, never looked at here.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), spare.as_mut_ptr().cast(), len) };
        // SAFETY: `len` bytes behind `old` were just written, within the capacity.
        unsafe { buffer.set_len(old + len) };
        Ok(())
    }

    /// `len` bytes from block `first` on, inside the mapping.
    fn content(&self, first: u32, len: usize) -> Result<NonNull<u8>, Damage> {
        let at = BLOCKS_AT + first as usize * BLOCK;
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Damage);
        }
        // SAFETY: just checked to lie inside the mapping.
        Ok(unsafe { self.base.add(at) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing borrows from it any more. A failure would leave it mapped.
        let _ = unsafe { munmap(self.base.cast(), self.len) };
    }
}
