//! A segment as this process sees it: typed words, and raw memory behind bounds checks.
//!
//! Peers may write anything anywhere at any time. So nothing here forms a reference to bytes that are not atomic,
//! and every chunk number is checked against the file's length before it is used.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use ipcq_core::os::participants::Slot;
use ipcq_core::os::refusal::Damage;
use memmap2::{MmapOptions, MmapRaw};
use nix::sys::resource::{Resource, getrlimit};

use crate::layout::{CHUNKS_AT, Header, LINKS_AT, SLOTS, SLOTS_AT};
use crate::position::{CHUNK, MAX_CHUNKS};
use crate::storage::Storage;

/// The mapping of a segment.
#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
    /// Chunks that lie inside the file, as far as is known; files only grow.
    in_file: AtomicU32,
    /// Chunks that lie inside the mapping.
    limit: u32,
}

impl Map {
    /// Maps the file, with room to grow to the largest segment. A process whose address space is limited spends an
    /// eighth of it on a queue, or what the queue has by now.
    pub(crate) fn new(storage: &Storage) -> io::Result<Self> {
        let (limit, _) = getrlimit(Resource::RLIMIT_AS)?;
        let share = whole_chunks(usize::try_from(limit / 8).unwrap_or(usize::MAX));
        let now = chunks_in(storage)?.max(1);
        Self::between(storage, now, share.max(now))
    }

    /// Maps `most` chunks, or as many as can be had, but not fewer than `least`.
    pub(crate) fn between(storage: &Storage, least: u32, most: u32) -> io::Result<Self> {
        let mut chunks = most;
        loop {
            let len = CHUNKS_AT + chunks as usize * CHUNK;
            match MmapOptions::new().len(len).no_reserve_swap().map_raw(storage.as_raw_fd()) {
                Ok(raw) => {
                    let map = Self { raw, in_file: AtomicU32::new(0), limit: chunks };
                    map.measure(storage)?;
                    return Ok(map);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && chunks > least => {
                    chunks = (chunks / 2).max(least);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks how many chunks lie inside the file by now.
    #[cold]
    fn measure(&self, storage: &Storage) -> io::Result<u32> {
        let chunks = chunks_in(storage)?.min(self.limit);
        self.in_file.store(chunks, Ordering::Relaxed);
        Ok(chunks)
    }

    /// Whether a message of `len` bytes can be in the file: nobody is believed to have sent more than there is.
    #[cold]
    pub(crate) fn holds(&self, len: usize, storage: &Storage) -> bool {
        let needed = len / CHUNK;
        let in_file = self.in_file.load(Ordering::Relaxed) as usize;
        needed <= in_file || chunks_in(storage).is_ok_and(|chunks| needed <= chunks as usize)
    }

    /// Whether the file has grown beyond what this process could map.
    pub(crate) fn is_outgrown(&self, storage: &Storage) -> bool {
        chunks_in(storage).is_ok_and(|chunks| chunks > self.limit)
    }

    /// How many chunks this process can reach.
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

    /// The link of chunk `chunk`, which must be below [`MAX_CHUNKS`].
    #[inline]
    pub(crate) fn link(&self, chunk: u32) -> &AtomicU32 {
        let index = (chunk % MAX_CHUNKS) as usize;
        // SAFETY: the index is below `MAX_CHUNKS`, so the link lies between `LINKS_AT` and `CHUNKS_AT`, inside
        // the mapping.
        let link = unsafe { self.raw.as_ptr().add(LINKS_AT + index * size_of::<AtomicU32>()) };
        // SAFETY: in bounds as above, aligned to 4, and used as an atomic by everybody.
        unsafe { &*link.cast::<AtomicU32>() }
    }

    /// The memory of chunk `chunk`: [`CHUNK`] bytes inside the file.
    #[inline]
    pub(crate) fn chunk(&self, chunk: u32, storage: &Storage) -> Result<NonNull<u8>, Damage> {
        if chunk >= self.in_file.load(Ordering::Relaxed) {
            let in_file = self.measure(storage).map_err(|_| Damage)?;
            if chunk >= in_file {
                return Err(Damage);
            }
        }
        // SAFETY: the chunk was just found to lie inside the file and inside the mapping.
        let memory = unsafe { self.raw.as_mut_ptr().add(CHUNKS_AT + chunk as usize * CHUNK) };
        NonNull::new(memory).ok_or(Damage)
    }
}

/// How many chunks lie inside the file, whether or not this process could map them: links are mapped always.
pub(crate) fn chunks_in(storage: &Storage) -> io::Result<u32> {
    Ok(whole_chunks(storage.len()?))
}

/// How many whole chunks a segment of `len` bytes has.
fn whole_chunks(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(CHUNKS_AT) / CHUNK).map_or(MAX_CHUNKS, |chunks| chunks.min(MAX_CHUNKS))
}
