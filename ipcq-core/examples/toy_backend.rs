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
    BackendError, BackendErrorKind, Capabilities, Channel, CreateError, GetFault, Identity, Lifetime,
    OpenError, PutFault, Queue, QueueAddress, QueueName, QueueOptions, RemoveError, Stat, Transport, Wait,
    register_transport,
};

const NAME: &str = "toy";

/// All queues with a name, so that a handle inside a message is found.
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

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Vec<u8>>,
    closed: bool,
    removed: bool,
    puts: u64,
    bytes_put: u64,
    /// Calls that sleep, and all that ever did: of putters and of getters.
    waiting: [usize; 2],
    waits: [u64; 2],
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Toy {
    fn existing(&self) -> Result<MutexGuard<'_, State>, BackendError> {
        let state = lock(&self.state);
        if state.removed { Err(self.error(BackendErrorKind::Gone, "it was removed")) } else { Ok(state) }
    }

    fn error(&self, kind: BackendErrorKind, what: &str) -> BackendError {
        BackendError::new(kind, &self.identity, what.to_owned())
    }

    /// Waits until `ready`; nothing when `wait` is over first.
    fn wait(&self, wait: Wait, side: usize, ready: impl Fn(&State) -> bool) -> Option<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        if !ready(&state) && !wait.is_over() {
            state.waits[side] += 1;
        }
        while !ready(&state) {
            if wait.is_over() {
                return None;
            }
            let left = wait.remaining().unwrap_or(Duration::from_secs(3600));
            state.waiting[side] += 1;
            state = self.change.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting[side] -= 1;
        }
        Some(state)
    }

    fn end(&self, mut state: MutexGuard<'_, State>, removed: bool) {
        state.closed = true;
        if removed {
            state.removed = true;
            state.messages.clear();
        }
        self.change.notify_all();
    }
}

impl Channel for Toy {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        let (len, max) = (parts.iter().map(|part| part.len()).sum(), self.identity.max_message);
        if len > max {
            return Err(PutFault::TooLong { len, max });
        }
        let mut message = Vec::new();
        message
            .try_reserve_exact(len)
            .map_err(|_| self.error(BackendErrorKind::NoRoom, "there is no memory"))?;
        parts.iter().for_each(|part| message.extend_from_slice(part));
        let ready = |state: &State| state.closed || state.messages.len() < self.identity.capacity;
        let no_time = if wait == Wait::No { PutFault::Full } else { PutFault::Timeout };
        let mut state = self.wait(wait, 0, ready).ok_or(no_time)?;
        if state.closed {
            return Err(PutFault::Closed);
        }
        state.messages.push_back(message);
        (state.puts, state.bytes_put) = (state.puts + 1, state.bytes_put + len as u64);
        self.change.notify_all();
        Ok(())
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        let no_time = if wait == Wait::No { GetFault::Empty } else { GetFault::Timeout };
        let mut state =
            self.wait(wait, 1, |state| state.closed || !state.messages.is_empty()).ok_or(no_time)?;
        *message = state.messages.pop_front().ok_or(GetFault::Closed)?;
        self.change.notify_all();
        Ok(())
    }

    fn len(&self) -> Result<usize, BackendError> {
        Ok(self.existing()?.messages.len())
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        Ok(self.existing()?.closed)
    }

    fn close(&self) -> Result<(), BackendError> {
        self.end(self.existing()?, false);
        Ok(())
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let state = self.existing()?;
        let mut stat = Stat::new(state.messages.len(), state.closed, "this process".to_owned());
        (stat.puts, stat.gets) = (state.puts, state.puts - state.messages.len() as u64);
        (stat.bytes_put, [stat.put_waits, stat.get_waits]) = (state.bytes_put, state.waits);
        [stat.waiting_putters, stat.waiting_getters] = state.waiting;
        Ok(stat)
    }
}

impl ToyTransport {
    fn new() -> Self {
        register_transport(NAME, |address: &QueueAddress| {
            Self(address.directory().to_owned()).open(address.name())
        });
        Self(PathBuf::from(format!("toy-{}", NUMBER.fetch_add(1, Ordering::Relaxed))))
    }

    fn make(&self, name: Option<&QueueName>, options: &QueueOptions) -> Result<Arc<Toy>, CreateError> {
        let capacity = options.settle(NAME, &self.capabilities())?;
        let incarnation = NUMBER.fetch_add(1, Ordering::Relaxed).into();
        let identity = Identity::new(
            NAME,
            name.map(|name| (name.clone(), self.0.clone())),
            incarnation,
            capacity,
            options,
        );
        Ok(Arc::new(Toy { identity, state: Mutex::default(), change: Condvar::new() }))
    }
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
        toy.map(|toy| toy as Arc<dyn Channel>)
            .ok_or_else(|| OpenError::missing(format_args!("{NAME}:{name}")))
    }

    fn remove(&self, name: &QueueName) -> Result<(), RemoveError> {
        let toy = lock(&TOYS).remove(&(self.0.clone(), name.clone()));
        let toy = toy.ok_or_else(|| RemoveError::missing(format_args!("{NAME}:{name}")))?;
        toy.end(lock(&toy.state), true);
        Ok(())
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        Ok(lock(&TOYS).keys().filter(|(place, _)| *place == self.0).map(|(_, name)| name.clone()).collect())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let toy = ToyTransport::new();
    let jobs = Queue::<String>::create(&toy, "jobs", &QueueOptions::new().capacity(2))?;
    jobs.put("sweep".to_owned())?;
    assert_eq!(Queue::<String>::open(&toy, "jobs")?.get()?, "sweep");
    Queue::<String>::remove(&toy, "jobs")?;
    Ok(())
}

#[cfg(test)]
mod conformance {
    use super::ToyTransport;

    #[derive(Debug)]
    struct Toys(ToyTransport);

    impl ipcq_core::conformance::Harness for Toys {
        type Transport = ToyTransport;

        fn new() -> Self {
            Self(ToyTransport::new())
        }

        fn transport(&self) -> &ToyTransport {
            &self.0
        }
    }

    ipcq_core::conformance_suite!(Toys);
}
