//! This process's side of a queue: its connections, of which each call uses one by itself.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ipcq_core::os::directory::FileId;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::fork_lock::{ForkGuard, ForkLock};
use ipcq_core::os::process as core_process;
use ipcq_core::{BackendError, BackendErrorKind, Identity, Wait};

use crate::address::{Address, Host};
use crate::combine::Combiner;
use crate::connection::Connection;
use crate::put;
use crate::server::Control;
use crate::tcp::Probe;
use crate::together::{GetJob, PutJob};
use crate::welcome::Welcome;

/// How many connections are kept for later calls.
const IDLE_MAX: usize = 64;
/// How long a call that does not wait for the queue lets a host that is stopped take for its answer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);

/// A queue, as this process uses it.
#[derive(Debug)]
pub(crate) struct Client {
    identity: Identity,
    pub(crate) address: Address,
    /// The process that hosts it, if it is on this machine.
    pub(crate) host: Option<Host>,
    /// How it is known that nobody does, if it is not.
    pub(crate) probe: Option<Probe>,
    /// Where it listens for others, if it does; else 0.
    pub(crate) port: u16,
    /// The broker, and the epoch of the process that runs it, when that is this one.
    hosted: Option<(u64, Arc<Control>)>,
    pool: ForkLock<Pool>,
    /// Puts and gets that wait for ever.
    pub(crate) puts: Combiner<PutJob>,
    pub(crate) gets: Combiner<GetJob>,
    /// The epoch of the process, and how many of its handles are producers.
    producers: ForkLock<(u64, usize)>,
    /// Whether the process was registered before it opened the queue, and no handle stands for that yet.
    expected: AtomicBool,
    removed: AtomicBool,
}

/// Idle connections, and the epoch of the process that made them.
#[derive(Debug, Default)]
struct Pool {
    epoch: u64,
    idle: Vec<Connection>,
}

/// Why a request has no reply.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It did not take effect, and the broker, which is stopped, will not let it later.
    GivenUp,
    Backend(BackendError),
}

/// What tells queues apart that this process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    File(FileId),
    /// Where it is reached, and its incarnation.
    Remote(Option<SocketAddr>, u128),
}

static CLIENTS: ForkLock<BTreeMap<Key, Weak<Client>>> = ForkLock::new(BTreeMap::new());

/// The queue whose socket is the file `id`, if this process uses it already.
pub(crate) fn known(id: FileId) -> Option<Arc<Client>> {
    CLIENTS.lock().get(&Key::File(id)).and_then(Weak::upgrade)
}

impl Client {
    /// Enters a queue into the table of those that this process uses; another thread may have been faster.
    pub(crate) fn new(
        identity: Identity,
        address: Address,
        welcome: Welcome,
        hosted: Option<Arc<Control>>,
    ) -> Arc<Self> {
        let client = Arc::new(Self {
            identity,
            probe: address.tcp().map(Probe::new),
            host: welcome.host,
            port: welcome.port,
            hosted: hosted.map(|control| (core_process::epoch(), control)),
            pool: ForkLock::default(),
            puts: Combiner::new(put::REQUEST),
            gets: Combiner::new(usize::MAX),
            producers: ForkLock::default(),
            expected: AtomicBool::new(welcome.producer && welcome.options.closes_by_itself()),
            removed: AtomicBool::new(false),
            address,
        });
        let mut clients = CLIENTS.lock();
        if let Some(other) = clients.get(&client.key()).and_then(Weak::upgrade) {
            return other;
        }
        clients.retain(|_, other| other.strong_count() > 0);
        clients.insert(client.key(), Arc::downgrade(&client));
        client
    }

    /// The broker, where this process runs it.
    pub(crate) fn control(&self) -> Option<Arc<Control>> {
        let (epoch, control) = self.hosted.as_ref()?;
        (*epoch == core_process::epoch()).then(|| Arc::clone(control))
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn id(&self) -> Option<FileId> {
        self.address.id()
    }

    fn key(&self) -> Key {
        match (self.address.id(), self.address.tcp()) {
            (Some(id), None) => Key::File(id),
            (_, address) => Key::Remote(address, self.identity.incarnation),
        }
    }

    /// The descriptor of the socket's file, where there is one.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.address.file()
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn note_removal(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// Whether the process was registered before it opened the queue; says so once.
    pub(crate) fn take_expected(&self) -> bool {
        self.expected.swap(false, Ordering::AcqRel)
    }

    /// How many handles of this process are producers; none right after a fork.
    pub(crate) fn producers(&self) -> ForkGuard<'_, (u64, usize)> {
        let mut producers = self.producers.lock();
        if producers.0 != core_process::epoch() {
            *producers = (core_process::epoch(), 0);
        }
        producers
    }

    /// Runs `call` with a connection that nobody else uses meanwhile. It is kept for later if all went well.
    ///
    /// A thread that is inside a runtime already may not drive another one, which a connection over the network has:
    /// there, a thread of its own does.
    pub(crate) fn with_connection<R: Send>(
        &self,
        wait: Wait,
        call: impl FnOnce(&mut Connection) -> Result<R, Failed> + Send,
    ) -> Result<R, Failed> {
        if self.address.tcp().is_none() || tokio::runtime::Handle::try_current().is_err() {
            return self.run(wait, call);
        }
        let helped = std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().spawn_scoped(scope, || self.run(wait, call));
            helper.map(std::thread::ScopedJoinHandle::join)
        });
        match helped {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Err(self.failed("no thread could be started for a call", error)),
        }
    }

    fn run<R>(
        &self,
        wait: Wait,
        call: impl FnOnce(&mut Connection) -> Result<R, Failed>,
    ) -> Result<R, Failed> {
        let idle = self.pool().idle.pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect(wait)?,
        };
        let result = call(&mut connection)?;
        let mut pool = self.pool();
        if pool.idle.len() < IDLE_MAX && !connection.is_spent {
            pool.idle.push(connection);
        } else {
            drop(pool);
            drop(connection);
        }
        Ok(result)
    }

    /// The connections of this process. What a parent left in its child is neither used nor closed: the runtimes
    /// in it belong to the parent.
    fn pool(&self) -> ForkGuard<'_, Pool> {
        let mut pool = self.pool.lock();
        let epoch = core_process::epoch();
        if pool.epoch != epoch {
            std::mem::forget(std::mem::replace(&mut *pool, Pool { epoch, idle: Vec::new() }));
        }
        pool
    }

    pub(crate) fn gone(&self) -> BackendError {
        let what = if self.is_removed() { "it was removed" } else { "the process that hosted it has ended" };
        self.error(BackendErrorKind::Gone, what).with_advice("make it again to go on")
    }

    pub(crate) fn error(&self, kind: BackendErrorKind, what: impl Into<String>) -> BackendError {
        BackendError::new(kind, &self.identity, what)
    }

    pub(crate) fn failed(&self, what: &str, error: io::Error) -> Failed {
        Failed::Backend(Failure::new(what, error).into_backend(&self.identity))
    }

    /// What an observer says when the broker does not answer.
    pub(crate) fn plain(&self, failed: Failed) -> BackendError {
        match failed {
            Failed::Backend(error) => error,
            Failed::GivenUp => self
                .error(BackendErrorKind::Other, "the process that hosts it is stopped and does not answer")
                .with_advice("let it go on, or end it"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.pool());
        let idle = std::mem::take(&mut self.pool().idle);
        drop(idle);
        if let Some((epoch, control)) = &self.hosted
            && *epoch == core_process::epoch()
        {
            control.disown();
        }
    }
}
