//! What the allocator keeps, and what it could have.

use memmap2::MmapMut;

/// Whether `bytes` more could be had now. Asked of the kernel, where that can tell: the C library's allocator keeps the more of
/// what is freed, the larger a piece it ever took back.
#[must_use]
pub fn could_have(bytes: usize) -> bool {
    MmapMut::map_anon(bytes).is_ok() || Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

/// Gives the system back what the C library's allocator keeps of freed memory, wherever in its heaps that is.
///
/// On its own it gives back only what is free at a heap's end: one small piece that is still in use keeps all before it. It
/// takes some milliseconds for each 100 MiB, in which other threads wait that want memory of the same heap. Nothing is
/// done where the C library is another than GNU's.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the function touches free memory of the allocator only, under the allocator's own locks.
        unsafe { libc::malloc_trim(0) };
    }
}
