//! What consumers have in their hands: messages that are out of the queue and not yet in anybody's pipe.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ipcq_core::{Batch, Limit};

/// What all consumers have in their hands. A message that one could not hand over goes to another.
#[derive(Debug, Default)]
pub(super) struct Hands {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many consumers have messages that they may yet give back.
    holding: usize,
    returned: VecDeque<Vec<u8>>,
}

impl Hands {
    /// Says that a consumer is about to take messages.
    pub(super) fn take(&self) {
        self.lock().holding += 1;
    }

    /// Says that a consumer has handed over what it took, but for `rest`.
    pub(super) fn done(&self, rest: impl Iterator<Item = Vec<u8>>) {
        let mut state = self.lock();
        state.holding -= 1;
        state.returned.extend(rest);
        drop(state);
        self.changed.notify_all();
    }

    /// Fills `batch` with messages that were given back, up to `limit`; one may be longer than that.
    pub(super) fn returned(&self, batch: &mut Batch, limit: Limit) {
        let mut state = self.lock();
        for _ in 0..limit.max_messages() {
            let fits = |message: &mut Vec<u8>| batch.byte_len() + message.len() <= limit.max_bytes();
            let all = batch.is_empty();
            let Some(message) = state.returned.pop_front_if(|message| all || fits(message)) else { return };
            batch.push(&message);
        }
    }

    /// Once the queue is closed and drained: waits until there is something that was given back, or nothing can be any
    /// more. Returns whether there is.
    pub(super) fn wait_for_returned(&self) -> bool {
        let more_may_come = |state: &mut State| state.returned.is_empty() && state.holding > 0;
        let state = self.changed.wait_while(self.lock(), more_may_come);
        !state.unwrap_or_else(PoisonError::into_inner).returned.is_empty()
    }

    /// How many were given back and taken by nobody.
    pub(super) fn left(&self) -> usize {
        self.lock().returned.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_goes_to_whoever_waits() {
        let hands = &Hands::default();
        hands.take();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| hands.wait_for_returned());
            hands.done([b"a".to_vec(), b"b".to_vec()].into_iter());
            assert!(waiter.join().unwrap());
        });
        let mut batch = Batch::new();
        hands.returned(&mut batch, Limit::messages(1));
        assert_eq!((batch.get(0), batch.len(), hands.left()), (Some(&b"a"[..]), 1, 1));
        hands.returned(&mut batch, Limit::messages(9));
        assert_eq!((batch.len(), hands.left()), (2, 0));
        assert!(!hands.wait_for_returned());
    }
}
