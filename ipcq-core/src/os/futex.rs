//! The futex calls that are needed, on words that processes share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The low 30 bits hold the id of the owning thread.
pub(super) const OWNER: u32 = 0x3fff_ffff;
/// The kernel sets this bit when the owner died.
pub(super) const OWNER_DIED: u32 = 0x4000_0000;
/// Somebody may be asleep on the word.
pub(super) const WAITERS: u32 = crate::readiness::ASLEEP;

/// Sleeps while `word` holds `expected`, for `time` at most. Returns when woken, when the word differs, when a
/// signal came, or when the time is over: the caller looks again in each case. Returns whether it was not the time.
pub(super) fn wait(word: &AtomicU32, expected: u32, time: Duration) -> bool {
    let time = timespec(time);
    // SAFETY: the word is a live atomic for the whole call, and the kernel only reads it and the time.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            &raw const time,
            std::ptr::null::<u32>(),
            0,
        )
    };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ETIMEDOUT)
}

/// As [`wait`], for threads that are told apart by `bits`.
pub(super) fn wait_in(word: &AtomicU32, expected: u32, bits: u32, time: Duration) -> bool {
    // This call takes the instant at which it shall end.
    let end = instant_after(time);
    // SAFETY: the word is a live atomic for the whole call, and the kernel only reads it and the time.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            &raw const end,
            std::ptr::null::<u32>(),
            bits,
        )
    };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ETIMEDOUT)
}

/// The time on the clock that never jumps, `time` from now.
fn instant_after(time: Duration) -> libc::timespec {
    timespec(
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(time, |now| Duration::from(now).saturating_add(time)),
    )
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(time.subsec_nanos()),
    }
}

/// What `futex_waitv(2)` takes for each word.
#[repr(C)]
#[derive(Clone, Copy)]
struct Waited {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// A word of 32 bits that processes share.
const SHARED_32: u32 = 2;

/// Sleeps until one of `words`, 128 at most, changes, for `time` at most, if each has all bits of `asleep` to begin with;
/// returns whether it was not the time that ended it, or nothing where the system does not let it sleep so.
pub(super) fn wait_many(words: &[&AtomicU32], asleep: u32, time: Duration) -> Option<bool> {
    if let [word] = words {
        let expected = word.load(Ordering::SeqCst);
        return Some(expected & asleep != asleep || wait(word, expected, time));
    }
    let unused = Waited { value: 0, address: 0, flags: 0, reserved: 0 };
    let mut waited = [unused; super::sleep_on_many::MOST];
    for (entry, word) in waited.iter_mut().zip(words) {
        let expected = word.load(Ordering::SeqCst);
        if expected & asleep != asleep {
            return Some(true);
        }
        let address = word.as_ptr().expose_provenance() as u64;
        *entry = Waited { value: expected.into(), address, flags: SHARED_32, reserved: 0 };
    }
    let end = instant_after(time);
    // SAFETY: the words are live atomics for the whole call, and the kernel only reads them, the entries and the time.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waited.as_ptr(),
            words.len().min(waited.len()),
            0,
            &raw const end,
            libc::CLOCK_MONOTONIC,
        )
    };
    if answer >= 0 {
        return Some(true);
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::ETIMEDOUT) => Some(false),
        Some(libc::EAGAIN | libc::EINTR) => Some(true),
        _ => None,
    }
}

/// Wakes up to `most` threads that sleep on `word`; returns whether there was one.
pub(super) fn wake(word: &AtomicU32, most: i32) -> bool {
    // SAFETY: the kernel uses the address as a key and does not write through it.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, most) };
    woken > 0
}

/// As [`wake`], those that sleep with one of `bits`.
pub(super) fn wake_in(word: &AtomicU32, most: i32, bits: u32) -> bool {
    let (no_time, no_word) = (std::ptr::null::<libc::timespec>(), std::ptr::null::<u32>());
    // SAFETY: the kernel uses the address as a key and does not write through it.
    let woken = unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE_BITSET, most, no_time, no_word, bits)
    };
    woken > 0
}

/// Whether no thread of this id exists that this process could know of.
pub(super) fn thread_is_dead(id: u32) -> bool {
    let Ok(id) = libc::pid_t::try_from(id) else { return true };
    // SAFETY: signal 0 only asks whether the thread exists.
    let answer = unsafe { libc::syscall(libc::SYS_tkill, id, 0) };
    answer == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}
