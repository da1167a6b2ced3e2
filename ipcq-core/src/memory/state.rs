//! The queue itself: a lock around the messages, and two condition variables for those who wait.

use std::collections::{TryReserveError, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::lock;
use crate::deadline::Wait;
use crate::error::{BackendError, BackendErrorKind, GetFault, PutFault};
use crate::transport::{Identity, Stat};

/// What all handles of a queue share.
#[derive(Debug)]
pub(super) struct Shared {
    identity: Identity,
    state: Mutex<State>,
    /// Signalled when a message leaves.
    room: Condvar,
    /// Signalled when a message arrives.
    arrival: Condvar,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Vec<u8>>,
    bytes: u64,
    puts: u64,
    gets: u64,
    closed: bool,
    removed: bool,
    /// Handles that are producers.
    producers: usize,
    waiting_putters: usize,
    waiting_getters: usize,
}

impl Shared {
    pub(super) fn new(identity: Identity) -> Arc<Self> {
        let (state, room, arrival) = Default::default();
        Arc::new(Self { identity, state, room, arrival })
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        let (len, max) = (total(parts), self.identity.max_message);
        if len > max {
            return Err(PutFault::TooLong { len, max });
        }
        let message = joined(parts, len).map_err(|error| self.no_room(error))?;
        let state = lock(&self.state);
        let capacity = self.identity.capacity;
        let mut state = sleep_until(
            &self.room,
            state,
            wait,
            |state| &mut state.waiting_putters,
            |state| state.closed || state.messages.len() < capacity,
        )
        .ok_or(if wait == Wait::No { PutFault::Full } else { PutFault::Timeout })?;
        if state.closed {
            return Err(PutFault::Closed);
        }
        if let Err(error) = state.messages.try_reserve(1) {
            // The room that this call was woken for is still there.
            self.room.notify_one();
            return Err(self.no_room(error).into());
        }
        state.append(message);
        self.arrival.notify_one();
        Ok(())
    }

    pub(super) fn get(&self, into: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        let state = lock(&self.state);
        let mut state = sleep_until(
            &self.arrival,
            state,
            wait,
            |state| &mut state.waiting_getters,
            |state| state.closed || !state.messages.is_empty(),
        )
        .ok_or(if wait == Wait::No { GetFault::Empty } else { GetFault::Timeout })?;
        *into = state.take().ok_or(GetFault::Closed)?;
        self.room.notify_one();
        Ok(())
    }

    pub(super) fn len(&self) -> Result<usize, BackendError> {
        Ok(self.existing()?.messages.len())
    }

    pub(super) fn is_closed(&self) -> Result<bool, BackendError> {
        Ok(self.existing()?.closed)
    }

    pub(super) fn close(&self) -> Result<(), BackendError> {
        self.close_state(&mut *self.existing()?);
        Ok(())
    }

    /// Everyone wakes with `Closed`, and what was in the queue is gone.
    pub(super) fn remove(&self) {
        let mut state = lock(&self.state);
        state.removed = true;
        state.bytes = 0;
        state.messages = VecDeque::new();
        self.close_state(&mut state);
    }

    pub(super) fn stat(&self) -> Result<Stat, BackendError> {
        let state = self.existing()?;
        let location = match &self.identity.directory {
            Some(directory) => format!("this process, {}", directory.display()),
            None => "this process".to_owned(),
        };
        Ok(Stat {
            bytes: state.bytes,
            puts: state.puts,
            gets: state.gets,
            waiting_putters: state.waiting_putters,
            waiting_getters: state.waiting_getters,
            ..Stat::new(state.messages.len(), state.closed, location)
        })
    }

    pub(super) fn add_producer(&self) {
        lock(&self.state).producers += 1;
    }

    /// The last producer closes a queue that was made so.
    pub(super) fn drop_producer(&self) {
        let mut state = lock(&self.state);
        state.producers -= 1;
        if state.producers == 0 && self.identity.auto_close {
            self.close_state(&mut state);
        }
    }

    fn close_state(&self, state: &mut State) {
        state.closed = true;
        self.room.notify_all();
        self.arrival.notify_all();
    }

    fn existing(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        let state = lock(&self.state);
        if state.removed {
            let gone = BackendError::new(BackendErrorKind::Gone, &self.identity, "it was removed");
            return Err(gone.with_advice("make it again to go on"));
        }
        Ok(state)
    }

    fn no_room(&self, error: TryReserveError) -> BackendError {
        let what = "the memory for a message could not be had";
        BackendError::new(BackendErrorKind::NoRoom, &self.identity, what)
            .with_advice("free some and try again")
            .with_source(error)
    }
}

impl State {
    fn append(&mut self, message: Vec<u8>) {
        self.bytes += byte_count(&message);
        self.puts += 1;
        self.messages.push_back(message);
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.bytes -= byte_count(&message);
        self.gets += 1;
        Some(message)
    }
}

/// Says how much there is, never what.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("len", &self.messages.len())
            .field("bytes", &self.bytes)
            .field("closed", &self.closed)
            .field("removed", &self.removed)
            .finish_non_exhaustive()
    }
}

/// Sleeps until `ready`, counted by `sleepers`; `None` when the wait is over first.
fn sleep_until<'s>(
    signal: &Condvar,
    mut state: MutexGuard<'s, State>,
    wait: Wait,
    sleepers: impl Fn(&mut State) -> &mut usize,
    ready: impl Fn(&State) -> bool,
) -> Option<MutexGuard<'s, State>> {
    while !ready(&state) {
        if wait.is_over() {
            return None;
        }
        *sleepers(&mut state) += 1;
        state = sleep(signal, state, wait);
        *sleepers(&mut state) -= 1;
    }
    Some(state)
}

fn sleep<'s>(signal: &Condvar, state: MutexGuard<'s, State>, wait: Wait) -> MutexGuard<'s, State> {
    match wait.remaining() {
        None => signal.wait(state).unwrap_or_else(PoisonError::into_inner),
        Some(left) => signal.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
    }
}

fn total(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).fold(0, usize::saturating_add)
}

fn joined(parts: &[&[u8]], len: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut message = Vec::new();
    message.try_reserve_exact(len)?;
    for part in parts {
        message.extend_from_slice(part);
    }
    Ok(message)
}

fn byte_count(message: &[u8]) -> u64 {
    u64::try_from(message.len()).unwrap_or(u64::MAX)
}
