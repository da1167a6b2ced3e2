//! Making, finding and removing ZeroMQ queues.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipcq_core::os::directory::{FileId, Found, Location};
use ipcq_core::os::failure::Failure;
use ipcq_core::os::fork_lock::ForkLock;
use ipcq_core::os::home::{Home, Unopened};
use ipcq_core::os::inherit::Inherited;
use ipcq_core::{
    BackendError, BackendErrorKind, Capabilities, Channel, CreateError, Identity, Lifetime, OpenError,
    QueueName, QueueOptions, RemoveError, Transport, register_transport,
};

use crate::NAME;
use crate::address::{Address, NewSocket, PATIENCE, TEMPORARY};
use crate::broker::Settings;
use crate::client::{self, Client};
use crate::dead_letters::DeadLetters;
use crate::queue::ZmqChannel;
use crate::server::{self, Control};
use crate::stream::Listener;
use crate::tcp::Listen;
use crate::welcome::{self, Unwelcome, Welcome};

/// The largest capacity; nothing is reserved for it.
const MAX_CAPACITY: usize = (1 << 31) - 1;
/// The longest message.
const MAX_MESSAGE: usize = 16 << 30;
/// How often a name is cleared of what a dead host left before giving up.
const TRIES: usize = 8;
/// A socket without a queue is garbage when it is older than that: its maker has died.
const STALE: Duration = Duration::from_secs(10);

/// The named queues that this process hosts: they last as long as it does.
static HOSTED: ForkLock<BTreeMap<FileId, Arc<Client>>> = ForkLock::new(BTreeMap::new());

/// The broker of the queue whose socket is the file `id`, if this process runs it.
pub(crate) fn hosted(id: FileId) -> Option<Arc<Control>> {
    HOSTED.lock().get(&id).and_then(|client| client.control())
}

/// Queues whose brokers listen on ZeroMQ sockets in one directory.
///
/// Cheap to make and to clone; nothing is opened before a queue is made or looked for.
#[derive(Clone, Debug)]
pub struct ZmqTransport {
    pub(crate) home: Home,
    /// Where queues that it makes listen, besides.
    pub(crate) listen: Option<Listen>,
    /// Whether queues are reached over TCP that listen there.
    pub(crate) over_tcp: bool,
}

impl ZmqTransport {
    /// Queues in the directory that the environment variable `IPCQ_DIR` names, or else in the user's own:
    /// `/dev/shm/ipcq-UID`.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Location::from_env())
    }

    /// Queues in the directory `path`, which is made with the first queue.
    #[must_use]
    pub fn in_directory(path: impl Into<PathBuf>) -> Self {
        Self::at(Location::at(path))
    }

    fn at(location: Location) -> Self {
        register_transport(NAME, |address| Self::at(Location::at(address.directory())).open(address.name()));
        Self { home: Home::new(NAME, location), listen: None, over_tcp: false }
    }

    fn client_of(&self, name: &QueueName, found: Found) -> Result<Arc<Client>, OpenError> {
        let label = self.home.label(name);
        let known = if self.over_tcp { None } else { client::known(found.id()) };
        if let Some(client) = known.filter(|client| !client.host_is_dead()) {
            return Ok(client);
        }
        if !found.is_socket() {
            let what = "what has its name is no socket";
            let error = BackendError::new(BackendErrorKind::Damaged, &label, what);
            return Err(error.with_advice("something else made it: remove it, or use another name").into());
        }
        let (address, welcome) = meet(found.into_descriptor(), &label)?;
        if welcome.name != name.as_str() {
            return Err(OpenError::mismatch(&label, "name", &welcome.name, name));
        }
        let identity = welcome.identity(Some(self.home.place(name)));
        Ok(self.reach(identity, address, welcome, None))
    }

    /// Makes a queue; a named one gets its name last, when its broker answers.
    fn make(&self, name: Option<&QueueName>, options: &QueueOptions) -> Result<Arc<Client>, CreateError> {
        let can = self.capabilities();
        let (capacity, dead_letters) = match name {
            Some(name) => (options.settle(NAME, &can)?, self.make_dead_letters(name, options)?),
            None => (options.settle_anonymous(NAME, &can)?, None),
        };
        let identity = self.home.new_identity(name, capacity, options)?;
        let label = identity.to_string();
        let failed = |failure: Failure| CreateError::Backend(failure.into_backend(&label));
        let directory = self.home.location().open_or_create().map_err(failed)?;
        if name.is_some_and(|name| !self.is_free(name)) {
            return Err(CreateError::exists(&label));
        }
        let mode = options.mode_bits();
        let (socket, listener, address) = NewSocket::listen(&directory, mode).map_err(failed)?;
        let mut listeners = vec![Listener::Unix(listener)];
        listeners.extend(self.listen().map_err(failed)?);
        let control =
            server::start(listeners, settings(&identity), dead_letters, mode != 0o600).map_err(failed)?;
        let welcome = match welcome::ask(&address) {
            Ok(welcome) => welcome,
            Err(unwelcome) => {
                control.disown();
                return Err(unwelcome.into_create(&label));
            }
        };
        let client = self.reach(identity, address, welcome, Some(control));
        let Some(name) = name else { return Ok(client) };
        for _ in 0..TRIES {
            match socket.publish(&self.home.file_name(name)) {
                Ok(()) => {
                    let mut hosted = HOSTED.lock();
                    hosted.extend(client.id().map(|id| (id, Arc::clone(&client))));
                    return Ok(client);
                }
                Err(failure) if failure.exists() && self.is_free(name) => {}
                Err(failure) if failure.exists() => break,
                Err(failure) => return Err(failed(failure)),
            }
        }
        Err(CreateError::exists(&label))
    }

    /// Makes the queue of dead letters of the queue `name`, if it is to have one, unless there is one.
    fn make_dead_letters(
        &self,
        name: &QueueName,
        options: &QueueOptions,
    ) -> Result<Option<DeadLetters>, CreateError> {
        let Some(dead) = options.dead_letter_name(name)? else { return Ok(None) };
        if !self.is_free(name) {
            return Err(CreateError::exists(self.home.label(name)));
        }
        // It listens nowhere else: an address is one queue's.
        let here = Self { listen: None, ..self.clone() };
        match here.create(&dead, &options.of_dead_letters()) {
            Ok(_) | Err(CreateError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.home.find(&dead).is_ok_and(|(_, found)| hosted(found.id()).is_none()) {
            let what = format!("the queue of its dead letters, {dead}, is hosted by another process");
            let error = BackendError::new(BackendErrorKind::Unsupported, self.home.label(name), what);
            return Err(error.with_advice("get what is in that, and remove it").into());
        }
        Ok(Some(DeadLetters { home: self.home.clone(), name: dead }))
    }

    /// Whether no queue has the name; what a dead host or a remover that died left there is taken away.
    fn is_free(&self, name: &QueueName) -> bool {
        let Ok((directory, found)) = self.home.find(name) else { return true };
        let id = found.id();
        if !found.is_socket() {
            return false;
        }
        let ended = match meet(found.into_descriptor(), NAME) {
            Ok((_, welcome)) => welcome.removed,
            Err(error) => error.is_missing(),
        };
        ended && self.home.unlink(&directory, name, id).is_ok()
    }
}

fn settings(identity: &Identity) -> Settings {
    Settings {
        capacity: identity.capacity,
        max_message: identity.max_message,
        auto_close: identity.auto_close,
        incarnation: identity.incarnation,
        codec: identity.codec.clone(),
        name: identity.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
        acknowledged: identity.acknowledged,
        max_redeliveries: identity.max_redeliveries,
        lease: identity.lease.map(|lease| u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX)),
    }
}

/// Asks the broker behind a socket's file what queue it has.
fn meet(file: OwnedFd, label: &str) -> Result<(Address, Welcome), OpenError> {
    let failed = |error| Failure::new("its socket could not be reached", error).into_backend(label);
    let address = Address::new(file).map_err(failed)?;
    let welcome = welcome::ask(&address).map_err(|unwelcome| unwelcome.into_open(label))?;
    Ok((address, welcome))
}

impl Unwelcome {
    fn into_create(self, label: &str) -> CreateError {
        match self.into_open(label) {
            OpenError::Backend(error) => error.into(),
            other => BackendError::new(BackendErrorKind::Other, label, "its broker did not answer")
                .with_source(other)
                .into(),
        }
    }
}

impl Default for ZmqTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for ZmqTransport {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Lifetime::WhileHost, MAX_CAPACITY, MAX_MESSAGE).with_acknowledged()
    }

    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        Ok(Arc::new(ZmqChannel::new(self.make(Some(name), options)?)))
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        Ok(Arc::new(ZmqChannel::new(self.make(None, options)?)))
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        let (_, found) = self.home.find(name)?;
        let client = self.client_of(name, found)?;
        if client.is_removed() {
            return Err(OpenError::missing(self.home.label(name)));
        }
        Ok(Arc::new(ZmqChannel::new(client)))
    }

    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        let label = format!("{NAME}:(inherited number {number})");
        let inherited = Inherited::find(NAME, number).ok_or_else(|| OpenError::missing(&label))?;
        if let Some(client) = client::known(inherited.file()) {
            return Ok(Arc::new(ZmqChannel::new(client)));
        }
        let file = crate::share::copy_of(&inherited).map_err(|error| {
            Failure::new("its descriptor could not be copied", error).into_backend(&label)
        })?;
        let (address, welcome) = meet(file, &label)?;
        let identity = welcome.identity(None);
        Ok(Arc::new(ZmqChannel::new(Client::new(identity, address, welcome, None))))
    }

    fn remove(&self, name: &QueueName) -> Result<(), RemoveError> {
        let (directory, found) = self.home.find_to_remove(name)?;
        let (id, is_socket) = (found.id(), found.is_socket());
        // Over TCP nothing can be removed.
        let here = Self { over_tcp: false, ..self.clone() };
        let existed = match here.client_of(name, found) {
            Ok(client) => client.remove()?,
            // A host that lives and does not answer would leave its users waiting for ever.
            Err(OpenError::Backend(error)) if is_socket => return Err(error.into()),
            // What a dead host left has no users, and what is no socket is no queue.
            Err(error) => Home::check_may_be_ended(error)? != Unopened::Dead,
        };
        HOSTED.lock().remove(&id);
        self.home.unlink(&directory, name, id)?;
        if existed { Ok(()) } else { Err(RemoveError::missing(self.home.label(name))) }
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        let mut names = self.home.names()?;
        names.retain(|name| self.home.find(name).is_ok_and(|(_, found)| !is_dead(found)));
        Ok(names)
    }

    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        let mut lines = Vec::new();
        for name in self.home.names()? {
            let Ok((directory, found)) = self.home.find(&name) else { continue };
            let id = found.id();
            if is_dead(found) {
                self.home.unlink(&directory, &name, id)?;
                lines.push(format!("{}: removed, because its host has ended", self.home.label(&name)));
            }
        }
        self.collect_unfinished(&mut lines);
        Ok(lines)
    }
}

impl ZmqTransport {
    /// Takes away sockets whose makers died before they had a name.
    fn collect_unfinished(&self, lines: &mut Vec<String>) {
        let Ok(directory) = self.home.location().open() else { return };
        let Ok(entries) = std::fs::read_dir(self.home.location().path()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(TEMPORARY)) else { continue };
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
            if !age.is_ok_and(|age| age > STALE) {
                continue;
            }
            let Ok(found) = directory.find(name) else { continue };
            let id = found.id();
            if is_dead(found) && directory.unlink_if(name, id).is_ok() {
                lines.push(format!("{NAME}:{name}: removed, because its maker died half-way"));
            }
        }
    }
}

/// Whether it is a socket on which nobody listens any more.
fn is_dead(found: Found) -> bool {
    if !found.is_socket() {
        return false;
    }
    Address::new(found.into_descriptor())
        .and_then(|address| address.connect(PATIENCE))
        .is_ok_and(|it| it.is_none())
}
