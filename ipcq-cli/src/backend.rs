//! The transports that are built into this program, and how a queue is found among them: the only place that
//! lists all backends.

use std::sync::Arc;

use ipcq_core::os::directory::{Location, QueueDirectory};
use ipcq_core::{Channel, CreateError, OpenError, QueueName, QueueOptions, RemoveError, Transport};
use ipcq_pipe::PipeTransport;
use ipcq_shm::ShmTransport;
use ipcq_zmq::ZmqTransport;

use crate::failure::Failure;
use crate::keeper;
use crate::listen::{self, Listen};

/// The transports that this version can use, the default first.
pub(crate) const BUILT_IN: &[&str] = &["shm", "pipe", "zmq"];

/// The transport of that name.
fn transport(name: &str) -> Result<Box<dyn Transport>, Failure> {
    match name {
        "shm" => Ok(Box::new(ShmTransport::new())),
        "pipe" => Ok(Box::new(PipeTransport::new())),
        "zmq" => Ok(Box::new(ZmqTransport::new())),
        _ => Err(Failure::failed(format!(
            "there is no transport {name:?}; available: {}",
            BUILT_IN.join(", ")
        ))),
    }
}

/// Whether queues of `transport` are pipes, and so to be measured beside pipes.
pub(crate) fn is_made_of_pipes(transport: &dyn Transport) -> bool {
    transport.name() == "pipe"
}

/// Whether queues of `transport` are reached over sockets, and so to be measured beside sockets.
pub(crate) fn is_made_of_sockets(transport: &dyn Transport) -> bool {
    transport.name() == "zmq"
}

/// Which transports a command works with.
#[derive(Debug)]
pub(crate) struct Backends {
    /// Named on the command line: no other is looked at.
    chosen: Option<String>,
    /// Named in the environment: the one to make queues on, and the one meant when several hold a name.
    preferred: Option<String>,
    /// Where the queue that is made is to listen.
    listen: Listen,
}

/// A queue as it was named on the command line.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    transport: Option<String>,
    name: QueueName,
}

/// What became of a queue that was to be made.
enum Made {
    Now(Arc<dyn Channel>),
    /// There is one of that name already, which is a failure where a new one was asked for.
    Before(Failure),
}

impl Backends {
    /// What the command line and the environment say.
    pub(crate) fn new(chosen: Option<&str>) -> Self {
        let preferred = match std::env::var_os("IPCQ_TRANSPORT") {
            Some(name) if !name.is_empty() => Some(name.to_string_lossy().into_owned()),
            _ => None,
        };
        Self { chosen: chosen.map(str::to_owned), preferred, listen: Listen::default() }
    }

    /// The same, for a queue that is to listen there.
    pub(crate) fn listening(self, listen: &Listen) -> Self {
        Self { listen: listen.clone(), ..self }
    }

    /// The transport to make queues on.
    pub(crate) fn default(&self) -> Result<Box<dyn Transport>, Failure> {
        let name = self.chosen.as_deref().or(self.preferred.as_deref()).unwrap_or(BUILT_IN[0]);
        transport(name)
    }

    /// The transports that a list of names stands for, as `bench --transport shm,pipe` has it.
    pub(crate) fn listed(&self) -> Result<Vec<Box<dyn Transport>>, Failure> {
        match &self.chosen {
            Some(list) => list.split(',').map(|name| transport(name.trim())).collect(),
            None => Self::built_in(),
        }
    }

    /// The transports to look for queues on.
    pub(crate) fn all(&self) -> Result<Vec<Box<dyn Transport>>, Failure> {
        match &self.chosen {
            Some(name) => Ok(vec![transport(name)?]),
            None => Self::built_in(),
        }
    }

    fn built_in() -> Result<Vec<Box<dyn Transport>>, Failure> {
        BUILT_IN.iter().map(|name| transport(name)).collect()
    }

    /// Makes `queue`, which stays until it is removed.
    pub(crate) fn create(&self, queue: &str, options: &QueueOptions) -> Result<Arc<dyn Channel>, Failure> {
        match self.make(queue, options)? {
            Made::Now(channel) => Ok(channel),
            Made::Before(failure) => Err(failure),
        }
    }

    fn make(&self, queue: &str, options: &QueueOptions) -> Result<Made, Failure> {
        let (transport, name) = self.place(queue)?;
        if keeper::is_needed(&*transport) {
            return Ok(match keeper::start(&*transport, &name, options, &self.listen.arguments())? {
                Ok(channel) => Made::Now(channel),
                Err(failure) => Made::Before(failure),
            });
        }
        match transport.create(&name, options) {
            Err(error @ CreateError::Exists { .. }) => Ok(Made::Before(error.into())),
            made => Ok(Made::Now(made?)),
        }
    }

    /// Makes `queue`, and returns when it was removed.
    pub(crate) fn keep(&self, queue: &str, options: &QueueOptions) -> Result<(), Failure> {
        let (transport, name) = self.place(queue)?;
        keeper::run(&*transport, &name, options)
    }

    /// Where `queue` is to be made.
    fn place(&self, queue: &str) -> Result<(Box<dyn Transport>, QueueName), Failure> {
        if listen::is_address(queue) {
            return Err(listen::no_name(queue));
        }
        let named = self.named(queue)?;
        let transport = named.transport.as_deref().map_or_else(|| self.default(), transport)?;
        Ok((self.listen.on(transport)?, named.name))
    }

    /// Opens `queue`, wherever it is.
    pub(crate) fn open(&self, queue: &str) -> Result<Arc<dyn Channel>, Failure> {
        self.open_existing(queue)?.ok_or_else(|| self.missing(queue))
    }

    /// Opens `queue`, and makes it if there is none.
    pub(crate) fn open_or_create(
        &self,
        queue: &str,
        options: &QueueOptions,
    ) -> Result<Arc<dyn Channel>, Failure> {
        loop {
            if let Some(channel) = self.open_existing(queue)? {
                return Ok(channel);
            }
            // Where somebody else was faster, it may even have been removed again since.
            if let Made::Now(channel) = self.make(queue, options)? {
                return Ok(channel);
            }
        }
    }

    /// Removes `queue`, which need not be sound enough to be opened; returns what messages to people call it.
    pub(crate) fn remove(&self, queue: &str) -> Result<String, Failure> {
        if listen::is_address(queue) {
            return Err(listen::no_removal(queue));
        }
        let Named { name, .. } = &self.named(queue)?;
        let mut candidates = self.candidates(&self.named(queue)?)?;
        let gone = candidates.iter().position(|transport| is_left_behind(&**transport, name));
        let gone = gone.map(|place| candidates.remove(place));
        let mut opened = Vec::new();
        candidates.retain(|transport| {
            let tried = transport.open(name);
            let is_there = !is_missing(&tried);
            opened.extend(is_there.then_some(tried));
            is_there
        });
        if opened.len() > 1 && opened.iter().all(is_unknown) {
            opened.pop().transpose()?;
        }
        match (self.the_one(queue, candidates, |transport| transport.name())?, gone) {
            (Some(transport), _) => {
                transport.remove(name)?;
                Ok(format!("{}:{name}", transport.name()))
            }
            (None, Some(transport)) => match transport.remove(name) {
                Err(RemoveError::Missing { queue }) => Err(Failure::gone_and_removed(&queue)),
                removed => Ok(removed.map(|()| format!("{}:{name}", transport.name()))?),
            },
            (None, None) => Err(RemoveError::missing(self.full_name(queue)).into()),
        }
    }

    /// Opens `queue` where it is; `None` when it is nowhere.
    fn open_existing(&self, queue: &str) -> Result<Option<Arc<dyn Channel>>, Failure> {
        if listen::is_address(queue) {
            return listen::open(queue).map(Some);
        }
        let named = self.named(queue)?;
        let found: Vec<_> = self
            .candidates(&named)?
            .iter()
            .map(|transport| (transport.name(), transport.open(&named.name)))
            .filter(|(_, opened)| !is_missing(opened))
            .collect();
        if found.len() > 1 && found.iter().all(|(_, opened)| is_unknown(opened)) {
            return Ok(found.into_iter().map(|(_, opened)| opened).next().transpose()?);
        }
        let found = self.the_one(queue, found, |(transport, _)| transport)?;
        Ok(found.map(|(_, opened)| opened).transpose()?)
    }

    /// The only one of `found`, or the one on the preferred transport.
    fn the_one<T>(
        &self,
        queue: &str,
        mut found: Vec<T>,
        transport: impl Fn(&T) -> &'static str,
    ) -> Result<Option<T>, Failure> {
        if found.len() < 2 {
            return Ok(found.pop());
        }
        let preferred = self.preferred.as_deref();
        match found.iter().position(|one| Some(transport(one)) == preferred) {
            Some(index) => Ok(Some(found.swap_remove(index))),
            None => {
                let names: Vec<_> = found.iter().map(transport).collect();
                Err(Failure::failed(format!(
                    "there is a queue {queue} on each of the transports {}; say which with -t",
                    names.join(", ")
                )))
            }
        }
    }

    /// Where a queue that was named so may be.
    fn candidates(&self, named: &Named) -> Result<Vec<Box<dyn Transport>>, Failure> {
        match &named.transport {
            Some(name) => Ok(vec![transport(name)?]),
            None => self.all(),
        }
    }

    /// Reads a queue's name with or without its transport.
    fn named(&self, queue: &str) -> Result<Named, Failure> {
        let named = named(queue)?;
        match (&self.chosen, &named.transport) {
            (Some(chosen), Some(other)) if chosen != other => Err(Failure::failed(format!(
                "the queue {queue} is on transport {other}, and -t says {chosen}; leave one of them out"
            ))),
            _ => Ok(named),
        }
    }

    /// Why `queue` cannot be opened: there never was one, or it has ended.
    fn missing(&self, queue: &str) -> Failure {
        let left_behind = self.named(queue).and_then(|named| {
            let mut candidates = self.candidates(&named)?;
            candidates.retain(|transport| is_left_behind(&**transport, &named.name));
            Ok(candidates.first().map(|transport| format!("{}:{}", transport.name(), named.name)))
        });
        match left_behind {
            Ok(Some(gone)) => Failure::gone(&gone),
            _ => Failure::missing(&self.full_name(queue)),
        }
    }

    /// `queue` with its transport, where only one was looked at.
    fn full_name(&self, queue: &str) -> String {
        match (named(queue), &self.chosen) {
            (Ok(Named { transport: None, name }), Some(chosen)) => format!("{chosen}:{name}"),
            _ => queue.to_owned(),
        }
    }
}

/// Whether there was a queue `name` on `transport` which has ended with the last process that held it, and whose
/// files are still there.
fn is_left_behind(transport: &dyn Transport, name: &QueueName) -> bool {
    let has_file = || {
        let directory = Location::from_env().open();
        directory.and_then(|at| at.find(&QueueDirectory::file_name(name, transport.name()))).is_ok()
    };
    keeper::is_needed(transport) && is_missing(&transport.open(name)) && has_file()
}

fn named(queue: &str) -> Result<Named, Failure> {
    let (transport, name) = match queue.split_once(':') {
        Some((transport, name)) => (Some(transport.to_owned()), name),
        None => (None, queue),
    };
    if let Some(name) = &transport {
        self::transport(name)?;
    }
    let name = QueueName::new(name).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Named { transport, name })
}

/// Whether nothing is known of a queue but that it could not be opened: what keeps one transport from its directory keeps
/// others from it, too.
const fn is_unknown(opened: &Result<Arc<dyn Channel>, OpenError>) -> bool {
    matches!(opened, Err(OpenError::Backend(_) | OpenError::Denied { .. }))
}

/// A transport whose queues listen at `address`, which other machines reach only if that is `public`.
pub(crate) fn listening_at(address: &str, public: bool) -> Box<dyn Transport> {
    let zmq = ZmqTransport::new();
    Box::new(if public { zmq.listening_publicly(address) } else { zmq.listening(address) })
}

/// Opens the queue that listens at `address`.
pub(crate) fn open_remote(address: &str) -> Result<Arc<dyn Channel>, OpenError> {
    ZmqTransport::open_remote(address)
}

fn is_missing(opened: &Result<Arc<dyn Channel>, OpenError>) -> bool {
    opened.as_ref().is_err_and(OpenError::is_missing)
}

/// How messages to people name a queue: `shm:jobs`.
pub(crate) fn label(channel: &dyn Channel) -> String {
    channel.identity().to_string()
}

/// The directory that holds everything that a queue's name stands for.
pub(crate) fn directory() -> std::path::PathBuf {
    Location::from_env().path().to_owned()
}
