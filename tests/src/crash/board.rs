//! Words that this process shares with the forks it makes.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// `words` zeroed words that this process and all its later forks share, for as long as any of them lives.
///
/// # Panics
/// When the system has no memory.
#[must_use]
pub fn board(words: usize) -> &'static [AtomicU64] {
    let bytes = NonZeroUsize::new(words * size_of::<AtomicU64>()).expect("a board has at least one word");
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at an address that the system chooses takes nothing from anyone.
    let memory = unsafe { mmap_anonymous(None, bytes, access, MapFlags::MAP_SHARED) };
    let first = memory.expect("a few pages of memory").cast::<AtomicU64>();
    // SAFETY: the mapping is that long, zeroed, aligned to a page, never unmapped, and only used atomically.
    unsafe { std::slice::from_raw_parts(first.as_ptr(), words) }
}
