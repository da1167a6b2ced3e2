//! The reference transport: queues inside one process.
//!
//! It keeps the contract by the simplest means there are, a lock and two condition variables, and is what the
//! examples of this crate run on and what the conformance suite itself is tested with. It is no way to reach
//! another process.

mod channel;
mod deliveries;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use self::channel::MemoryChannel;
use self::state::Shared;
use crate::address::QueueAddress;
use crate::capabilities::{Capabilities, Lifetime};
use crate::error::{BackendError, CreateError, OpenError, RemoveError};
use crate::identity::Identity;
use crate::name::QueueName;
use crate::options::QueueOptions;
use crate::registry::register_transport;
use crate::transport::{Channel, Transport};

const NAME: &str = "memory";

/// A transport whose queues live in this process.
///
/// Each [`new`](Self::new) stands for a directory of its own, which clones share: names in one mean nothing in
/// another. Its queues last until they are removed, or until the transport, its clones and all handles are gone.
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Queue, QueueOptions};
///
/// let transport = MemoryTransport::new();
/// let numbers = Queue::<u32>::create(&transport, "numbers", &QueueOptions::new())?;
/// let doubler = std::thread::spawn({
///     let transport = transport.clone();
///     move || -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(2 * Queue::<u32>::open(&transport, "numbers")?.get()?)
///     }
/// });
/// numbers.put(21)?;
/// assert_eq!(doubler.join().unwrap().unwrap(), 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryTransport {
    space: Arc<Space>,
}

/// What stands in for a directory.
#[derive(Debug)]
struct Space {
    directory: PathBuf,
    queues: Mutex<BTreeMap<QueueName, Arc<Shared>>>,
}

/// Every space that is in use, so that an address can be opened.
static SPACES: Mutex<Vec<Weak<Space>>> = Mutex::new(Vec::new());

impl MemoryTransport {
    /// A transport with no queues yet.
    #[must_use]
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        register_transport(NAME, open_address);
        // The number only has to differ from all others.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("memory-{number}"));
        let space = Arc::new(Space { directory, queues: Mutex::default() });
        let mut spaces = lock(&SPACES);
        spaces.retain(|space| space.strong_count() > 0);
        spaces.push(Arc::downgrade(&space));
        Self { space }
    }
}

impl Default for MemoryTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for MemoryTransport {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Lifetime::UntilRemoved, usize::MAX >> 1, isize::MAX.cast_unsigned())
            .with_acknowledged()
    }

    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let capacity = options.settle(NAME, &self.capabilities())?;
        let dead_letters = options.dead_letter_name(name)?;
        let identity = |name: &QueueName, options: &QueueOptions| {
            let place = Some((name.clone(), self.space.directory.clone()));
            Identity::new(NAME, place, incarnation(), capacity, options)
        };
        let mut queues = lock(&self.space.queues);
        if queues.contains_key(name) {
            return Err(CreateError::exists(format_args!("{NAME}:{name}")));
        }
        if let Some(dead) = &dead_letters {
            let made = || Shared::new(identity(dead, &options.of_dead_letters()), None);
            queues.entry(dead.clone()).or_insert_with(made);
        }
        let dead_letters = dead_letters.map(|dead| (Arc::downgrade(&self.space), dead));
        let shared = Shared::new(identity(name, options), dead_letters);
        queues.insert(name.clone(), shared.clone());
        Ok(Arc::new(MemoryChannel::new(shared, Some(self.clone()))))
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let capacity = options.settle_anonymous(NAME, &self.capabilities())?;
        let shared = Shared::new(Identity::new(NAME, None, incarnation(), capacity, options), None);
        Ok(Arc::new(MemoryChannel::new(shared, None)))
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        let shared = lock(&self.space.queues).get(name).cloned();
        let shared = shared.ok_or_else(|| OpenError::missing(format_args!("{NAME}:{name}")))?;
        Ok(Arc::new(MemoryChannel::new(shared, Some(self.clone()))))
    }

    /// Always missing: no other process can share a queue of this transport.
    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        Err(OpenError::not_shared(NAME, number))
    }

    fn remove(&self, name: &QueueName) -> Result<(), RemoveError> {
        let shared = lock(&self.space.queues).remove(name);
        let shared = shared.ok_or_else(|| RemoveError::missing(format_args!("{NAME}:{name}")))?;
        shared.remove();
        Ok(())
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        Ok(lock(&self.space.queues).keys().cloned().collect())
    }

    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        Ok(Vec::new())
    }
}

fn open_address(address: &QueueAddress) -> Result<Arc<dyn Channel>, OpenError> {
    let space = lock(&SPACES).iter().filter_map(Weak::upgrade).find(|s| s.directory == address.directory());
    let space = space.ok_or_else(|| OpenError::missing(address))?;
    MemoryTransport { space }.open(address.name())
}

/// Tells a queue from all others of this process.
fn incarnation() -> u128 {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    // The number only has to differ from all others.
    NUMBER.fetch_add(1, Ordering::Relaxed).into()
}

/// No code of users runs under these locks, and what they guard is sound at every instant.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
