//! Buffers that a thread uses again for every message, so that none is allocated per message.
//!
//! A buffer is taken out of its slot while it is in use: a serialiser that itself uses a queue finds the slot
//! empty and works in a buffer of its own. Those that a long message made large are not kept.

use std::cell::Cell;
use std::thread::LocalKey;

use crate::message::Batch;

/// The largest buffer that is kept, in bytes.
const KEPT: usize = 1 << 20;
/// The most messages whose ends are kept room for.
const KEPT_MESSAGES: usize = 1 << 14;

/// A buffer's place. The buffer is moved as one word: one of several words, some of which were just written, would have to
/// wait for them.
type Slot<B> = Cell<Option<Box<B>>>;

thread_local! {
    /// Of what is put: its length stays what codecs made ready, as gets do not come between.
    static PUT: Slot<Vec<u8>> = const { Cell::new(None) };
    static GET: Slot<Vec<u8>> = const { Cell::new(None) };
    static BATCH: Slot<Batch> = const { Cell::new(None) };
}

/// Does `work` with this thread's buffer for what is put, whose content is of no meaning.
#[inline]
pub(super) fn with_put_bytes<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    lend(&PUT, work, |bytes| bytes.capacity() <= KEPT)
}

/// Does `work` with this thread's buffer for what is got, whose content is of no meaning.
#[inline]
pub(super) fn with_get_bytes<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    lend(&GET, work, |bytes| bytes.capacity() <= KEPT)
}

/// Does `work` with this thread's batch, which is empty.
pub(super) fn with_batch<R>(work: impl FnOnce(&mut Batch) -> R) -> R {
    lend(&BATCH, work, |batch| {
        batch.clear();
        let (messages, bytes) = batch.spare();
        messages <= KEPT_MESSAGES && bytes <= KEPT
    })
}

#[inline]
fn lend<B: Default, R>(
    slot: &'static LocalKey<Slot<B>>,
    work: impl FnOnce(&mut B) -> R,
    keep: impl FnOnce(&mut B) -> bool,
) -> R {
    // The slot is gone when the thread is ending; a fresh buffer does as well.
    let mut buffer = slot.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = work(&mut buffer);
    if keep(&mut buffer) {
        let _ = slot.try_with(|slot| slot.set(Some(buffer)));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again() {
        let first = with_put_bytes(|bytes| {
            bytes.reserve_exact(1000);
            bytes.as_ptr()
        });
        assert_eq!(with_put_bytes(|bytes| bytes.as_ptr()), first);
    }

    #[test]
    fn what_is_got_leaves_the_buffer_for_puts_as_it_was() {
        with_put_bytes(|bytes| bytes.resize(300, 0));
        with_get_bytes(|bytes| bytes.resize(1, 0));
        assert_eq!(with_put_bytes(|bytes| bytes.len()), 300);
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        with_put_bytes(|bytes| bytes.reserve_exact(KEPT + 1));
        assert_eq!(with_put_bytes(|bytes| bytes.capacity()), 0);
        with_batch(|batch| batch.push(&vec![0; KEPT + 1]));
        assert_eq!(with_batch(|batch| batch.spare()), (0, 0));
    }

    #[test]
    fn a_buffer_in_use_is_not_lent_twice() {
        with_put_bytes(|outer| {
            outer.extend_from_slice(b"outer");
            with_put_bytes(|inner| inner.extend_from_slice(b"inner"));
            assert_eq!(outer, b"outer");
        });
    }
}
