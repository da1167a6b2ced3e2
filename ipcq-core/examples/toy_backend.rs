//! A complete backend: queues in this process, by a lock and a condition variable for each.
//!
//! It supplies what `Transport` and `Channel` require and nothing more, and passes the conformance suite:
//! `cargo test -p ipcq-core --example toy_backend`.

use std::collections::{BTreeMap, VecDeque, btree_map::Entry};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipcq_core::{
    BackendError, Capabilities, Channel, CreateError, GetFault, Identity, Lifetime, OpenError, PutFault,
    Queue, QueueName, QueueOptions, RemoveError, Side, Stat, Transport, Wait, register_transport,
};

const NAME: &str = "toy";
/// All queues with a name, by place, so that a handle inside a message is found.
static TOYS: Mutex<BTreeMap<(PathBuf, QueueName), Arc<Toy>>> = Mutex::new(BTreeMap::new());
/// Tells queues, and places for them, from all others.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Queues in one place.
#[derive(Clone, Debug)]
struct ToyTransport(PathBuf);

#[derive(Debug)]
struct Toy {
    identity: Identity,
    state: Mutex<State>,
    change: Condvar,
}

#[derive(Debug)]
struct State {
    messages: VecDeque<Vec<u8>>,
    removed: bool,
    /// What is known of it; whether it is closed is here.
    stat: Stat,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Toy {
    fn existing(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        Some(lock(&self.state)).filter(|state| !state.removed).ok_or_else(|| self.identity.gone())
    }

    /// Waits until `ready`; nothing when `wait` is over first.
    fn wait(&self, side: Side, wait: Wait, ready: impl Fn(&State) -> bool) -> Option<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        let mut sleeps = 0;
        while !ready(&state) && !wait.is_over() {
            let (waiting, slept) = state.stat.waits_mut(side);
            (*waiting, *slept, sleeps) = (*waiting + 1, *slept + u64::from(sleeps == 0), sleeps + 1);
            let left = wait.remaining().unwrap_or(Duration::from_secs(3600));
            state = self.change.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            *state.stat.waits_mut(side).0 -= 1;
        }
        Some(state).filter(|state| ready(state))
    }
}

impl Channel for Toy {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        let message = self.identity.gather(parts)?;
        let ready = |state: &State| state.stat.closed || state.messages.len() < self.identity.capacity;
        let mut state = self.wait(Side::Put, wait, ready).ok_or(PutFault::no_room_in(wait))?;
        if state.stat.closed {
            return Err(PutFault::Closed);
        }
        let stat = &mut state.stat;
        (stat.puts, stat.bytes_put) = (stat.puts + 1, stat.bytes_put + message.len() as u64);
        state.messages.push_back(message);
        state.stat.len = state.messages.len();
        self.change.notify_all();
        Ok(())
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        let ready = |state: &State| state.stat.closed || !state.messages.is_empty();
        let mut state = self.wait(Side::Get, wait, ready).ok_or(GetFault::no_message_in(wait))?;
        *message = state.messages.pop_front().ok_or(GetFault::Closed)?;
        (state.stat.gets, state.stat.len) = (state.stat.gets + 1, state.messages.len());
        self.change.notify_all();
        Ok(())
    }

    fn close(&self) -> Result<(), BackendError> {
        self.existing()?.stat.closed = true;
        self.change.notify_all();
        Ok(())
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        Ok(self.existing()?.stat.clone())
    }
}

impl ToyTransport {
    fn make(&self, name: Option<&QueueName>, options: &QueueOptions) -> Result<Arc<Toy>, CreateError> {
        let capacity = options.settle(NAME, &self.capabilities())?;
        let place = name.map(|name| (name.clone(), self.0.clone()));
        let identity = Identity::new(NAME, place, number().into(), capacity, options);
        let stat = Stat::new(0, false, "this process".to_owned());
        let state = Mutex::new(State { messages: VecDeque::new(), removed: false, stat });
        Ok(Arc::new(Toy { identity, state, change: Condvar::new() }))
    }
}

impl Default for ToyTransport {
    fn default() -> Self {
        register_transport(NAME, |address| Self(address.directory().into()).open(address.name()));
        Self(PathBuf::from(format!("toy-{}", number())))
    }
}

fn number() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

impl Transport for ToyTransport {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Lifetime::UntilRemoved, usize::MAX >> 1, usize::MAX >> 1).without_auto_close()
    }

    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let toy = self.make(Some(name), options)?;
        match lock(&TOYS).entry((self.0.clone(), name.clone())) {
            Entry::Occupied(_) => Err(CreateError::exists(&toy.identity)),
            Entry::Vacant(vacant) => Ok(Arc::clone(vacant.insert(toy)) as Arc<dyn Channel>),
        }
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        Ok(self.make(None, options)?)
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        let toy = lock(&TOYS).get(&(self.0.clone(), name.clone())).cloned();
        Ok(toy.ok_or_else(|| OpenError::missing(format_args!("{NAME}:{name}")))?)
    }

    fn remove(&self, name: &QueueName) -> Result<(), RemoveError> {
        let toy = lock(&TOYS).remove(&(self.0.clone(), name.clone()));
        let toy = toy.ok_or_else(|| RemoveError::missing(format_args!("{NAME}:{name}")))?;
        let mut state = lock(&toy.state);
        (state.removed, state.stat.closed) = (true, true);
        state.messages.clear();
        toy.change.notify_all();
        Ok(())
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        Ok(lock(&TOYS).keys().filter(|(place, _)| *place == self.0).map(|(_, name)| name.clone()).collect())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let toy = ToyTransport::default();
    let jobs = Queue::<String>::create(&toy, "jobs", &QueueOptions::new().capacity(2))?;
    jobs.put("sweep".to_owned())?;
    assert_eq!(Queue::<String>::open(&toy, "jobs")?.get()?, "sweep");
    Ok(Queue::<String>::remove(&toy, "jobs")?)
}

#[cfg(test)]
ipcq_core::conformance_suite!(ipcq_core::conformance::InProcess<ToyTransport>);
