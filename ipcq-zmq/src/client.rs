//! This process's side of a queue: its connections, of which each call uses one by itself, and what a call does when
//! a connection, or the broker, is lost.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipcq_core::os::directory::FileId;
use ipcq_core::os::failure::Failure;
use ipcq_core::os::fork_lock::{ForkGuard, ForkLock};
use ipcq_core::os::{machine, process as core_process};
use ipcq_core::{BackendError, BackendErrorKind, Identity, OpenError, Wait};

use crate::address::{Address, Host};
use crate::clock;
use crate::combine::Combiner;
use crate::put;
use crate::server::Control;
use crate::socket::{ANOTHER, Connection, NoReply, Remote, Reply};
use crate::tcp::{self, Probe};
use crate::together::{GetJob, PutJob};
use crate::welcome::{self, Unwelcome, Welcome};
use crate::wire::{NO_WAIT, Op, Request};

/// How many connections are kept for later calls.
const IDLE_MAX: usize = 64;
/// How often one call comes back to a broker that lives and loses its connection.
const LOSSES_MAX: usize = 100;
/// How long a call tries to reach a broker that lives.
const TROUBLE: Duration = Duration::from_secs(10);
/// How long a call that does not wait for the queue lets a host that is stopped take for its answer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);
/// When such a call must not take effect any more, in nanoseconds from its beginning.
const STALE: u64 = 10_000_000_000;

/// A queue, as this process uses it.
#[derive(Debug)]
pub(crate) struct Client {
    identity: Identity,
    address: Address,
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
    /// A thread that is inside a runtime already may not drive another one: there, a thread of its own does.
    pub(crate) fn with_connection<R: Send>(
        &self,
        wait: Wait,
        call: impl FnOnce(&mut Connection) -> Result<R, Failed> + Send,
    ) -> Result<R, Failed> {
        if tokio::runtime::Handle::try_current().is_err() {
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

    /// A new connection. A host that is stopped is waited for as `wait` says, or for a moment.
    fn connect(&self, wait: Wait) -> Result<Connection, Failed> {
        let token =
            machine::random_u128().map_err(|error| self.failed("no random number could be had", error))?;
        let start = Instant::now();
        let patience = match wait {
            Wait::Until(end) => {
                end.saturating_duration_since(start).saturating_add(self.grace()).clamp(PATIENCE, TROUBLE)
            }
            Wait::No | Wait::Forever => TROUBLE,
        };
        loop {
            if self.host_is_dead() {
                return Err(Failed::Backend(self.gone()));
            }
            if self.host_is_stopped() {
                if wait.is_over() && start.elapsed() > PATIENCE {
                    return Err(Failed::GivenUp);
                }
                std::thread::sleep(PATIENCE);
                continue;
            }
            let left = patience.saturating_sub(start.elapsed()).max(PATIENCE);
            let endpoint = self.address.endpoint();
            match Connection::open(&endpoint, token.to_ne_bytes(), self.remote()?, left) {
                Ok(connection) => return Ok(connection),
                Err(error) if error.kind() == ANOTHER => return Err(Failed::Backend(self.gone())),
                Err(error) if is_loss(&error) && start.elapsed() < patience => self.ask_why(left)?,
                Err(error) if is_loss(&error) && matches!(wait, Wait::Until(_)) => {
                    return Err(Failed::GivenUp);
                }
                Err(error) => return Err(self.failed("its broker could not be reached", error)),
            }
        }
    }

    /// What a session over TCP says and expects.
    fn remote(&self) -> Result<Option<Remote>, Failed> {
        if self.address.tcp().is_none() {
            return Ok(None);
        }
        let party = tcp::party().map_err(|error| self.failed("no random number could be had", error))?;
        Ok(Some(Remote { party, incarnation: self.identity.incarnation }))
    }

    /// Fails if the broker did not take a connection because it has no room for it; otherwise waits for a moment.
    fn ask_why(&self, patience: Duration) -> Result<(), Failed> {
        std::thread::sleep(PATIENCE);
        let why = match welcome::ask_within(&self.address, patience) {
            Err(why @ Unwelcome::NoRoom(_)) => why.into_open(&self.identity.to_string()),
            _ => return Ok(()),
        };
        match why {
            OpenError::Backend(error) => Err(Failed::Backend(error)),
            _ => Ok(()),
        }
    }

    /// A request of `connection` with the deadline of `wait`.
    pub(crate) fn request(connection: &mut Connection, op: Op, wait: Wait) -> Request {
        let mut request = Request::new(op, connection.next_id());
        request.ack = connection.acknowledged;
        (request.flags, request.expires) = match wait {
            Wait::No => (NO_WAIT, clock::now().saturating_add(STALE)),
            Wait::Until(instant) => (0, clock::at(instant)),
            Wait::Forever => (0, 0),
        };
        if connection.is_remote() && request.expires != 0 {
            // Its clock is another one.
            request.expires = request.expires.saturating_sub(clock::now()).max(1);
        }
        request
    }

    /// Sends `request` and waits for its reply, over as many connections as it takes.
    pub(crate) fn exchange(
        &self,
        connection: &mut Connection,
        request: &Request,
        content: Bytes,
    ) -> Result<Reply, Failed> {
        let is_over = |waited: Duration| self.should_give_up(request, waited);
        for _ in 0..LOSSES_MAX {
            match connection.call(request, content.clone(), is_over) {
                Ok(reply) => return Ok(reply),
                Err(NoReply::GivenUp) if self.host_is_dead() => return Err(Failed::Backend(self.gone())),
                Err(NoReply::GivenUp) => return Err(Failed::GivenUp),
                Err(NoReply::Refused(why)) => {
                    let what = format!("its broker refused a request: {why}");
                    return Err(Failed::Backend(self.error(BackendErrorKind::Other, what)));
                }
                Err(NoReply::Lost(_)) => self.come_back(connection, request)?,
            }
        }
        let what = "its broker loses every connection";
        Err(Failed::Backend(self.error(BackendErrorKind::Other, what)))
    }

    /// Connects anew, to the same session, for `request` to be repeated.
    fn come_back(&self, connection: &mut Connection, request: &Request) -> Result<(), Failed> {
        let start = Instant::now();
        loop {
            if self.host_is_dead() {
                return Err(Failed::Backend(self.gone()));
            }
            if self.host_is_stopped() {
                if self.should_give_up(request, start.elapsed()) {
                    return Err(Failed::GivenUp);
                }
                std::thread::sleep(PATIENCE);
                continue;
            }
            match connection.resume(&self.address.endpoint()) {
                Err(error) if error.kind() == ANOTHER => return Err(Failed::Backend(self.gone())),
                Ok(false) if matches!(request.op, Op::Put | Op::Part) => {
                    let what = "its broker has lost this session, and whether the put took effect is unknown";
                    return Err(Failed::Backend(self.error(BackendErrorKind::Other, what)));
                }
                Ok(_) => return Ok(()),
                Err(error) if is_loss(&error) && start.elapsed() < TROUBLE => std::thread::sleep(PATIENCE),
                Err(error) => return Err(self.failed("its broker could not be reached again", error)),
            }
        }
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

/// Whether it may be otherwise the next time.
fn is_loss(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotFound
            | io::ErrorKind::TimedOut
            // More wait to be accepted than the kernel lets.
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::Other
    )
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
