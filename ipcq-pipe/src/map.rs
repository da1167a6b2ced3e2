//! The control file as this process sees it: typed words, and raw memory behind bounds checks.
//!
//! Peers may write anything anywhere at any time. So nothing here forms a reference to bytes that are not atomic,
//! and every block number is checked against the file's length before it is used.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcq_core::os::participants::Slot;
use ipcq_core::os::refusal::Damage;
use memmap2::{MmapOptions, MmapRaw};
use nix::sys::resource::{Resource, getrlimit};

use crate::conduit::Storage;
use crate::layout::{BLOCK, Header, LENGTHS_AT, MAX_BLOCKS, MAX_CAPACITY, POOL_AT, SLOTS, SLOTS_AT, TAGS_AT};
use crate::record::Extent;

/// The mapping of a control file.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    /// Blocks that lie inside the file, as far as is known; files only grow.
    in_file: AtomicU32,
    /// Blocks that lie inside the mapping.
    limit: u32,
}

impl Map {
    /// Maps the file, with room to grow to the largest pool. A process whose address space is limited spends an
    /// eighth of it on a queue, or what the queue has by now.
    pub(crate) fn new(storage: &Storage) -> io::Result<Self> {
        let (limit, _) = getrlimit(Resource::RLIMIT_AS)?;
        let share = whole_blocks(usize::try_from(limit / 8).unwrap_or(usize::MAX));
        let now = blocks_in(storage)?.max(64);
        let mut blocks = share.max(now);
        loop {
            let len = POOL_AT + blocks as usize * BLOCK;
            match MmapOptions::new().len(len).no_reserve_swap().map_raw(storage.as_raw_fd()) {
                Ok(raw) => {
                    let map = Self { raw, in_file: AtomicU32::new(0), limit: blocks };
                    map.measure(storage)?;
                    return Ok(map);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && blocks > now => {
                    blocks = (blocks / 2).max(now);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks how many blocks lie inside the file by now.
    #[cold]
    fn measure(&self, storage: &Storage) -> io::Result<u32> {
        let blocks = blocks_in(storage)?.min(self.limit);
        self.in_file.store(blocks, Ordering::Relaxed);
        Ok(blocks)
    }

    /// How many of `blocks` lie inside the file and the mapping.
    pub(crate) fn bounded(&self, blocks: u32, storage: &Storage) -> u32 {
        let in_file = self.in_file.load(Ordering::Relaxed);
        if blocks <= in_file {
            return blocks;
        }
        blocks.min(self.measure(storage).unwrap_or(in_file))
    }

    /// Whether the file has grown beyond what this process could map.
    pub(crate) fn is_outgrown(&self, storage: &Storage) -> bool {
        blocks_in(storage).is_ok_and(|blocks| blocks > self.limit)
    }

    /// How many blocks this process can reach.
    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the mapping is longer than the header, aligned to a page, and lives as long as `self`; the
        // header consists of atomics only, and the first page of the file is always there.
        unsafe { &*self.raw.as_ptr().cast::<Header>() }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        // SAFETY: `SLOTS_AT` lies inside the mapping.
        let first = unsafe { self.raw.as_ptr().add(SLOTS_AT) };
        // SAFETY: the slots lie inside the mapping (checked in `layout`), aligned to a page, and consist of
        // atomics only; their memory was reserved when the queue was made.
        unsafe { slice::from_raw_parts(first.cast::<Slot>(), SLOTS) }
    }

    /// Place `index` of the lengths, taken modulo their number.
    #[inline]
    pub(crate) fn length(&self, index: usize) -> &AtomicU32 {
        self.word(LENGTHS_AT, index % MAX_CAPACITY)
    }

    /// The tag of `block`, taken modulo the number of blocks.
    #[inline]
    pub(crate) fn tag(&self, block: u32) -> &AtomicU32 {
        self.word(TAGS_AT, (block % MAX_BLOCKS) as usize)
    }

    /// Word `index` of those at `at`, which must lie before the pool.
    #[inline]
    fn word(&self, at: usize, index: usize) -> &AtomicU32 {
        debug_assert!(at + (index + 1) * size_of::<AtomicU32>() <= POOL_AT);
        // SAFETY: lengths and tags lie between `LENGTHS_AT` and `POOL_AT`, inside the mapping, and the callers took
        // the index modulo their number.
        let word = unsafe { self.raw.as_ptr().add(at + index * size_of::<AtomicU32>()) };
        // SAFETY: in bounds as above, aligned to 4, and used as an atomic by everybody.
        unsafe { &*word.cast::<AtomicU32>() }
    }

    /// The memory of `extent`, all of which lies inside the file.
    fn memory(&self, extent: Extent, storage: &Storage) -> Result<NonNull<u8>, Damage> {
        let end = extent.first.checked_add(extent.blocks).ok_or(Damage)?;
        if self.bounded(end, storage) < end {
            return Err(Damage);
        }
        // SAFETY: the blocks were just found to lie inside the file and inside the mapping.
        let memory = unsafe { self.raw.as_mut_ptr().add(POOL_AT + extent.first as usize * BLOCK) };
        NonNull::new(memory).ok_or(Damage)
    }

    /// Copies `bytes` to the place `at` in `extent`.
    pub(crate) fn write(
        &self,
        extent: Extent,
        at: usize,
        bytes: &[u8],
        storage: &Storage,
    ) -> Result<(), Damage> {
        let fits = at.checked_add(bytes.len()).is_some_and(|end| end <= extent.blocks as usize * BLOCK);
        if !fits {
            return Err(Damage);
        }
        let memory = self.memory(extent, storage)?;
        // SAFETY: `at` lies inside the extent.
        let to = unsafe { memory.add(at) };
        // SAFETY: the bytes end inside the extent, and no reference to the mapping's bytes exists anywhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Appends the first `len` bytes of `extent` to `buffer`, which has room for them.
    pub(crate) fn read(
        &self,
        extent: Extent,
        len: usize,
        buffer: &mut Vec<u8>,
        storage: &Storage,
    ) -> Result<(), Damage> {
        let fits = len <= extent.blocks as usize * BLOCK && len <= buffer.capacity() - buffer.len();
        if !fits {
            return Err(Damage);
        }
        let from = self.memory(extent, storage)?;
        let old_len = buffer.len();
        // SAFETY: the length is at most the capacity.
        let to = unsafe { buffer.as_mut_ptr().add(old_len) };
        // SAFETY: `len` bytes lie inside the extent, and inside the spare capacity, which nobody else can reach.
        // Peers may write the source meanwhile: the bytes are copied, never looked at here.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, len) };
        // SAFETY: `len` bytes behind `old_len` were just written, within the capacity.
        unsafe { buffer.set_len(old_len + len) };
        Ok(())
    }
}

/// How many blocks lie inside the file, whether or not this process could map them: tags are mapped always.
pub(crate) fn blocks_in(storage: &Storage) -> io::Result<u32> {
    Ok(whole_blocks(storage.len()?))
}

/// How many whole blocks a control file of `len` bytes has.
fn whole_blocks(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(POOL_AT) / BLOCK).map_or(MAX_BLOCKS, |blocks| blocks.min(MAX_BLOCKS))
}
