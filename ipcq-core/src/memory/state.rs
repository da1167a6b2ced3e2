//! The queue itself: a lock around the messages, and two condition variables for those who wait.

use std::collections::{BTreeMap, TryReserveError, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::deliveries::Held;
use super::{Space, lock};
use crate::deadline::Wait;
use crate::error::{BackendError, GetFault, PutFault};
use crate::identity::Identity;
use crate::name::QueueName;
use crate::stat::Stat;

/// What all handles of a queue share.
#[derive(Debug)]
pub(super) struct Shared {
    identity: Identity,
    pub(super) state: Mutex<State>,
    /// Signalled when a message leaves for good.
    pub(super) room: Condvar,
    /// Signalled when a message arrives, comes back, or cannot come back any more.
    pub(super) arrival: Condvar,
    /// Signalled when a message of an acknowledged queue leaves for good.
    pub(super) settled: Condvar,
    /// Where the queue of dead letters is looked for, by its name.
    pub(super) dead_letters: Option<(Weak<Space>, QueueName)>,
}

/// A message that is ready.
pub(super) struct Message {
    pub(super) number: u64,
    pub(super) redeliveries: u32,
    pub(super) bytes: Vec<u8>,
}

#[derive(Default)]
pub(super) struct State {
    /// In the order of their numbers.
    pub(super) messages: VecDeque<Message>,
    /// Those in flight, by their numbers.
    pub(super) held: BTreeMap<u64, Held>,
    pub(super) redelivered: u64,
    pub(super) bytes: u64,
    pub(super) puts: u64,
    gets: u64,
    bytes_put: u64,
    pub(super) closed: bool,
    removed: bool,
    /// Handles that are producers.
    producers: usize,
    putters: Sleepers,
    getters: Sleepers,
    pub(super) joiners: Sleepers,
}

/// Calls that sleep.
#[derive(Default)]
pub(super) struct Sleepers {
    pub(super) now: usize,
    ever: u64,
}

impl Shared {
    pub(super) fn new(identity: Identity, dead_letters: Option<(Weak<Space>, QueueName)>) -> Arc<Self> {
        let (state, room, arrival, settled) = Default::default();
        Arc::new(Self { identity, state, room, arrival, settled, dead_letters })
    }

    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        let message = self.identity.gather(parts)?;
        let state = lock(&self.state);
        let capacity = self.identity.capacity;
        let mut state = self
            .sleep_until(
                &self.room,
                state,
                wait,
                |state| &mut state.putters,
                |state| state.closed || state.occupied() < capacity,
            )
            .ok_or(PutFault::no_room_in(wait))?;
        if state.closed {
            return Err(PutFault::Closed);
        }
        // All that is in flight may come back, and must find room then.
        let coming_back = state.held.len();
        if let Err(error) = state.messages.try_reserve(1 + coming_back) {
            // The room that this call was woken for is still there.
            self.room.notify_one();
            return Err(self.no_room(error).into());
        }
        state.append(message);
        self.arrival.notify_one();
        Ok(())
    }

    pub(super) fn get(&self, into: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        let mut state = self.ready(wait)?;
        let message = state.messages.pop_front().ok_or(GetFault::Closed)?;
        self.count_redelivery(&mut state, &message);
        *into = message.bytes;
        self.settle(&mut state, into.len());
        Ok(())
    }

    /// Waits until there is a message, or none will come any more.
    pub(super) fn ready(&self, wait: Wait) -> Result<MutexGuard<'_, State>, GetFault> {
        self.sleep_until(
            &self.arrival,
            lock(&self.state),
            wait,
            |state| &mut state.getters,
            |state| !state.messages.is_empty() || state.closed && state.held.is_empty(),
        )
        .ok_or(GetFault::no_message_in(wait))
    }

    /// Puts a message if there is room for it now; else hands it back.
    pub(super) fn offer(&self, message: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut state = lock(&self.state);
        let takes = !state.closed && state.occupied() < self.identity.capacity;
        if !takes || state.messages.try_reserve(1).is_err() {
            return Err(message);
        }
        state.append(message);
        self.arrival.notify_one();
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
        state.held.clear();
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
            in_flight: state.held.len(),
            redelivered: state.redelivered,
            bytes_put: state.bytes_put,
            put_waits: state.putters.ever,
            get_waits: state.getters.ever,
            waiting_putters: state.putters.now,
            waiting_getters: state.getters.now,
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
        self.settled.notify_all();
    }

    pub(super) fn existing(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        let state = lock(&self.state);
        if state.removed {
            return Err(self.identity.gone());
        }
        Ok(state)
    }

    /// Sleeps until `ready`, counted by `sleepers`; `None` when the wait is over first.
    pub(super) fn sleep_until<'s>(
        &self,
        signal: &Condvar,
        mut state: MutexGuard<'s, State>,
        wait: Wait,
        sleepers: impl Fn(&mut State) -> &mut Sleepers,
        ready: impl Fn(&State) -> bool,
    ) -> Option<MutexGuard<'s, State>> {
        let mut slept = false;
        loop {
            let next_lease = self.end_leases(&mut state);
            if ready(&state) {
                return Some(state);
            }
            if wait.is_over() {
                return None;
            }
            sleepers(&mut state).now += 1;
            sleepers(&mut state).ever += u64::from(!std::mem::replace(&mut slept, true));
            state = sleep(signal, state, wait, next_lease);
            sleepers(&mut state).now -= 1;
        }
    }

    pub(super) fn no_room(&self, error: TryReserveError) -> BackendError {
        self.identity.no_memory(error)
    }
}

impl State {
    fn append(&mut self, bytes: Vec<u8>) {
        self.bytes += byte_count(bytes.len());
        self.bytes_put += byte_count(bytes.len());
        let number = self.puts;
        self.puts += 1;
        self.messages.push_back(Message { number, redeliveries: 0, bytes });
    }

    /// A message of `len` bytes leaves for good.
    pub(super) fn forget(&mut self, len: usize) {
        self.bytes -= byte_count(len);
        self.gets += 1;
    }

    /// How many messages there are, ready or in flight.
    pub(super) fn occupied(&self) -> usize {
        self.messages.len() + self.held.len()
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

fn sleep<'s>(
    signal: &Condvar,
    state: MutexGuard<'s, State>,
    wait: Wait,
    until: Option<Instant>,
) -> MutexGuard<'s, State> {
    let lease = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = wait.remaining().into_iter().chain(lease).min();
    match left {
        None => signal.wait(state).unwrap_or_else(PoisonError::into_inner),
        Some(left) => signal.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
    }
}

fn byte_count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
