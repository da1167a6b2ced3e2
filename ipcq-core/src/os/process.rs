//! Who this thread is: its id, its robust list, and whether the process has forked since.
//!
//! All of it is asked of the kernel once per thread and process, and cached. A page that the kernel wipes in the
//! child of a fork (`MADV_WIPEONFORK`) tells the child that what it inherited in its caches is about its parent.

use std::cell::Cell;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, compiler_fence};

/// The head of a thread's list of robust locks, as `set_robust_list(2)` lays it out.
#[repr(C)]
struct RobustListHead {
    list: AtomicUsize,
    futex_offset: isize,
    list_op_pending: AtomicUsize,
}

/// A number that no other process on the way from here to the first ancestor has: it differs in the child of a
/// fork. Never 0.
#[must_use]
pub fn epoch() -> u64 {
    let page = EPOCH_PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: a page once published stays mapped for the life of the process.
        let epoch = unsafe { &*page }.load(Ordering::Relaxed);
        if epoch != 0 {
            return epoch;
        }
    }
    new_epoch()
}

/// The page that the kernel wipes on fork; its first word holds the epoch.
static EPOCH_PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
/// The last epoch given out; ordinary memory, so that a fork child goes on counting from its parent's.
static LAST_EPOCH: AtomicU64 = AtomicU64::new(0);

#[cold]
fn new_epoch() -> u64 {
    static PAGE: OnceLock<usize> = OnceLock::new();
    let address = *PAGE.get_or_init(map_wiped_page);
    let page: *mut AtomicU64 = ptr::with_exposed_provenance_mut(address);
    EPOCH_PAGE.store(page, Ordering::Release);
    // SAFETY: the page was mapped readable and writable, is never unmapped, and is used as this atomic only.
    let word = unsafe { &*page };
    let next = LAST_EPOCH.fetch_add(1, Ordering::Relaxed) + 1;
    match word.compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => next,
        Err(set_by_another_thread) => set_by_another_thread,
    }
}

/// A zeroed page that a fork child finds zeroed again. Where the kernel cannot promise that (before Linux 4.14)
/// there is no safe way on, and contract and documentation ask for 5.16.
fn map_wiped_page() -> usize {
    const LEN: usize = 4096;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe { libc::mmap(ptr::null_mut(), LEN, protection, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED, "one page of memory is needed to notice forks");
    // SAFETY: the range is the mapping just made.
    let wiped = unsafe { libc::madvise(page, LEN, libc::MADV_WIPEONFORK) };
    assert_eq!(wiped, 0, "the kernel must support MADV_WIPEONFORK (Linux 4.14)");
    page.expose_provenance()
}

/// What the kernel knows of this thread.
#[derive(Clone, Copy)]
pub(super) struct CurrentThread {
    /// The id that lock words hold.
    pub(super) id: u32,
    head: *const RobustListHead,
}

thread_local! {
    static CURRENT: Cell<(u64, Option<CurrentThread>)> = const { Cell::new((0, None)) };
}

/// The calling thread.
#[inline]
pub(super) fn current_thread() -> CurrentThread {
    let epoch = epoch();
    match CURRENT.get() {
        (cached, Some(thread)) if cached == epoch => thread,
        _ => ask_kernel(epoch),
    }
}

#[cold]
fn ask_kernel(epoch: u64) -> CurrentThread {
    // SAFETY: gettid has no preconditions.
    let id = unsafe { libc::gettid() };
    let thread = CurrentThread { id: id.unsigned_abs(), head: robust_list_head() };
    CURRENT.set((epoch, Some(thread)));
    thread
}

/// The head that the C library registered for this thread, or one of our own where it registered none.
fn robust_list_head() -> *const RobustListHead {
    let mut head: *const RobustListHead = ptr::null();
    let mut len = 0_usize;
    // SAFETY: the kernel writes one pointer and one length into the two places given.
    let answer = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    if answer == 0 && !head.is_null() {
        return head;
    }
    // Leaked on purpose: the kernel reads it when the thread ends, after every destructor of ours.
    let own: &'static RobustListHead = Box::leak(Box::new(RobustListHead {
        list: AtomicUsize::new(0),
        futex_offset: 0,
        list_op_pending: AtomicUsize::new(0),
    }));
    own.list.store(ptr::from_ref(&own.list).expose_provenance(), Ordering::Relaxed);
    // SAFETY: the head lives for ever and is an empty list, which points at itself.
    unsafe {
        libc::syscall(libc::SYS_set_robust_list, ptr::from_ref(own), size_of::<RobustListHead>());
    }
    own
}

impl CurrentThread {
    /// Tells the kernel that an operation on the lock or sleep word at `address` is under way: should the thread
    /// die, the kernel gives the lock back, or passes the wake on. Returns what was under way before.
    #[inline]
    pub(super) fn begin(self, address: *const u32) -> usize {
        let before = self.pending().load(Ordering::Relaxed);
        self.point_at(address);
        before
    }

    /// Points the pending operation at another word.
    #[inline]
    pub(super) fn point_at(self, address: *const u32) {
        // SAFETY: the head lives as long as its thread, which is this one, and its offset never changes.
        let offset = unsafe { (*self.head).futex_offset };
        let entry = address.addr().wrapping_sub(offset.cast_unsigned());
        // The kernel reads this when the thread dies; to it, stores happen in program order.
        compiler_fence(Ordering::SeqCst);
        self.pending().store(entry, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// Ends what [`begin`](Self::begin) began.
    #[inline]
    pub(super) fn end(self, before: usize) {
        compiler_fence(Ordering::SeqCst);
        self.pending().store(before, Ordering::Relaxed);
    }

    #[inline]
    fn pending(&self) -> &AtomicUsize {
        // SAFETY: the head lives as long as its thread, which is this one; the field is one aligned word that
        // only this thread and, after its death, the kernel use.
        unsafe { &(*self.head).list_op_pending }
    }
}
