//! A lock between the threads of one process that the child of a fork finds usable.
//!
//! An ordinary mutex that some thread holds while another one forks stays locked in the child for ever: its holder
//! does not exist there. Here the lock word is the [epoch](super::process::epoch) of the holder's process, so that
//! the child knows better. What such a holder was changing may be half changed, and the child starts with a new
//! value in its place.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::process;

/// A value that one thread of the process at a time may use; for sections of a few system calls at most.
pub struct ForkLock<T> {
    /// The epoch of the process of which a thread holds the lock; 0 for none.
    holder: AtomicU64,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a guard, and there is one guard at a time.
unsafe impl<T: Send> Sync for ForkLock<T> {}

impl<T> ForkLock<T> {
    /// A lock that nobody holds.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self { holder: AtomicU64::new(0), value: UnsafeCell::new(value) }
    }
}

impl<T: Default> ForkLock<T> {
    /// Takes the lock.
    ///
    /// # Blocking
    /// While another thread of this process holds it.
    pub fn lock(&self) -> ForkGuard<'_, T> {
        let epoch = process::epoch();
        for attempt in 0_u32.. {
            let holder = self.holder.load(Ordering::Relaxed);
            let free = holder != epoch;
            if free
                && self.holder.compare_exchange(holder, epoch, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                if holder != 0 {
                    // SAFETY: the lock is held. What was there is half changed by a thread that does not exist
                    // here, so it is neither used nor dropped.
                    unsafe { self.value.get().write(T::default()) };
                }
                break;
            }
            if attempt < 100 {
                thread::yield_now();
            } else {
                thread::sleep(Duration::from_micros(50));
            }
        }
        ForkGuard { lock: self }
    }
}

impl<T: Default> Default for ForkLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for ForkLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkLock").finish_non_exhaustive()
    }
}

/// The lock, held until this is dropped.
pub struct ForkGuard<'a, T> {
    lock: &'a ForkLock<T>,
}

impl<T> Deref for ForkGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only one, and is borrowed.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for ForkGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only one, and is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for ForkGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.holder.store(0, Ordering::Release);
    }
}

impl<T> fmt::Debug for ForkGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns() {
        let lock = ForkLock::new(0_u32);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(*lock.lock(), 4000);
    }

    #[test]
    fn what_a_thread_of_the_parent_holds_is_free_in_the_child_and_new() {
        let lock = ForkLock::new(vec![1]);
        // As a fork child finds it: held, by the epoch of another process.
        lock.holder.store(process::epoch() + 1, Ordering::Relaxed);
        assert!(lock.lock().is_empty());
        lock.lock().push(2);
        assert_eq!(*lock.lock(), [2]);
    }
}
