//! Who takes part.

#[cfg(feature = "aeron")]
pub(crate) mod aeron;
#[cfg(has_boost)]
pub(crate) mod boost;
#[cfg(feature = "iceoryx2")]
pub(crate) mod iceoryx;
pub(crate) mod ipc_channels;
pub(crate) mod lanes;
pub(crate) mod lent;
#[cfg(feature = "libzmq")]
pub(crate) mod libzmq;
mod python;
mod rings;
pub(crate) mod typed;
pub(crate) mod zero_mq;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipcq_cli::measure::job::How;
use ipcq_cli::measure::raw_pipe::{self, RawPipe};
use ipcq_cli::measure::raw_socket::{self, Relay};
use ipcq_cli::measure::{Crew, Fault, Job, Measured, Shape, Work, threads};
use ipcq_core::{Channel, Transport};
use ipcq_tests::transports::transport;
use tempfile::TempDir;

use crate::scenario::Entry;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// ipcq on this transport.
    Queue(&'static str),
    /// The same with a small struct through the codec.
    Typed(&'static str),
    /// The same with messages that are built and read where they lie.
    InPlace(&'static str),
    Crossbeam,
    Rtrb,
    RawPipe,
    UnixSocket,
    RelayedSocket,
    CopyingRelay,
    RawFutex,
    IpcChannel,
    Iceoryx2,
    Iceoryx2InPlace,
    ZeroMq,
    LibZmq,
    Boost,
    Aeron,
    Python,
}

/// Who is missing, and why.
pub(crate) fn absent() -> Vec<(String, String)> {
    use Contender::{Aeron, Boost, Iceoryx2, LibZmq, Python};
    let optional = [Iceoryx2, LibZmq, Boost, Aeron, Python];
    let missing = optional.into_iter().filter_map(|one| Some((one.name(), one.absence()?)));
    missing.map(|(name, why)| (name.to_owned(), why.to_owned())).collect()
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queue(transport) => transport,
            Self::Typed("shm") => "shm, typed",
            Self::Typed("pipe") => "pipe, typed",
            Self::Typed(_) => "zmq, typed",
            Self::InPlace("shm") => "shm, in place",
            Self::InPlace("pipe") => "pipe, in place",
            Self::InPlace(_) => "zmq, in place",
            Self::Crossbeam => "crossbeam-channel, threads",
            Self::Rtrb => "rtrb, threads",
            Self::RawPipe => "raw pipe",
            Self::UnixSocket => "Unix socket",
            Self::RelayedSocket => "relayed Unix socket",
            Self::CopyingRelay => "copying relay",
            Self::RawFutex => "raw futex",
            Self::IpcChannel => "ipc-channel",
            Self::Iceoryx2 => "iceoryx2",
            Self::Iceoryx2InPlace => "iceoryx2, in place",
            Self::ZeroMq => "zeromq PUSH/PULL",
            Self::LibZmq => "libzmq PUSH/PULL",
            Self::Boost => "boost message_queue",
            Self::Aeron => "Aeron IPC",
            Self::Python => "Python mp.Queue",
        }
    }

    /// Why it cannot take part here.
    pub(crate) fn absence(self) -> Option<&'static str> {
        match self {
            Self::Iceoryx2 | Self::Iceoryx2InPlace if !cfg!(feature = "iceoryx2") => {
                Some("the benchmark was built without it; add --features iceoryx2")
            }
            Self::LibZmq if !cfg!(feature = "libzmq") => {
                Some("the benchmark was built without it; add --features libzmq")
            }
            Self::Boost if !cfg!(feature = "boost") => {
                Some("the benchmark was built without it; add --features boost")
            }
            Self::Boost if !cfg!(has_boost) => Some("boost's headers or a C++ compiler were not there"),
            Self::Aeron if !cfg!(feature = "aeron") => Some(
                "the benchmark was built without it; add --features aeron, which takes CMake 3.30 or newer",
            ),
            Self::Python if !python::is_here() => Some("there is no python3"),
            _ => None,
        }
    }

    /// Whether it can do what is measured there.
    pub(crate) fn takes(self, how: How, shape: Shape, size: usize) -> bool {
        let alone = shape.producers == 1 && shape.consumers == 1;
        let trips = matches!(how, How::RoundTrip(_));
        match self {
            Self::Queue(_) | Self::Typed(_) | Self::Crossbeam | Self::ZeroMq | Self::LibZmq | Self::Boost => {
                true
            }

            Self::RawPipe if matches!(how, How::Batches(_)) => alone,
            Self::RawPipe => raw_pipe::carries(size, shape),
            // It only spins, and is not for those who sleep.
            Self::Rtrb | Self::Iceoryx2 | Self::Aeron => alone && (!trips || how.is_busy()),
            Self::RelayedSocket => alone && raw_socket::SIZES.contains(&size),
            Self::UnixSocket
            | Self::CopyingRelay
            | Self::IpcChannel
            | Self::Iceoryx2InPlace
            | Self::InPlace(_) => alone,
            Self::RawFutex => alone && trips,
            Self::Python => alone && !how.is_busy() || matches!(shape.producers, 2 | 4) && size <= 64 << 10,
        }
    }

    /// Starts it, so that it waits for jobs.
    pub(crate) fn start(
        self,
        entry: Entry,
        shape: Shape,
        size: usize,
        patience: Duration,
    ) -> Result<Box<dyn Running>, Fault> {
        let setting = Setting::new(entry, shape, size, patience)?;
        match self {
            Self::Queue(name) => setting.queue(name),
            Self::Typed(name) => typed::start(name, setting),
            Self::InPlace(name) => lent::start(name, setting),
            Self::Crossbeam => Ok(Box::new(Threads { capacity: setting.capacity, shape })),
            Self::Rtrb => Ok(Box::new(rings::Rings { capacity: setting.capacity })),
            Self::RawPipe => setting.pipes(matches!(entry.how, How::Batches(_))),
            Self::UnixSocket => setting.sockets(),
            Self::RelayedSocket => setting.relayed_sockets(),
            Self::CopyingRelay => lanes::start(setting, "lanes"),
            Self::RawFutex => lanes::start(setting, "futex"),
            Self::IpcChannel => ipc_channels::start(setting),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx::start(setting, "iceoryx2"),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2InPlace => iceoryx::start(setting, "iceoryx2-in-place"),
            #[cfg(not(feature = "iceoryx2"))]
            Self::Iceoryx2 | Self::Iceoryx2InPlace => Err(Fault::failed("it is not built in")),
            Self::ZeroMq => zero_mq::start(setting),
            #[cfg(feature = "libzmq")]
            Self::LibZmq => libzmq::start(setting),
            #[cfg(has_boost)]
            Self::Boost => boost::start(setting),
            #[cfg(not(feature = "libzmq"))]
            Self::LibZmq => Err(Fault::failed("it is not built in")),
            #[cfg(not(has_boost))]
            Self::Boost => Err(Fault::failed("it is not built in")),
            #[cfg(feature = "aeron")]
            Self::Aeron => aeron::start(setting),
            #[cfg(not(feature = "aeron"))]
            Self::Aeron => Err(Fault::failed("it is not built in")),
            Self::Python => python::start(&setting),
        }
    }
}

/// Somebody who has been started.
pub(crate) trait Running {
    /// Does `job`, and says how fast that was.
    fn measure(&mut self, job: Job) -> Result<Measured, Fault>;

    /// Ends it.
    fn finish(self: Box<Self>) -> Result<(), Fault>;
}

/// What is to be started.
pub(crate) struct Setting {
    pub(crate) shape: Shape,
    pub(crate) size: usize,
    pub(crate) capacity: usize,
    pub(crate) patience: Duration,
    /// A directory of its own.
    pub(crate) directory: TempDir,
}

impl Setting {
    fn new(entry: Entry, shape: Shape, size: usize, patience: Duration) -> Result<Self, Fault> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix("ipcq-bench-").tempdir_in(parent);
        let directory = directory.map_err(|error| Fault::system("a directory could not be made", error))?;
        Ok(Self { shape, size, capacity: entry.capacity, patience, directory })
    }

    /// The transport by which jobs come.
    pub(crate) fn control(&self) -> Result<Box<dyn Transport>, Fault> {
        self.transport("shm")
    }

    pub(crate) fn transport(&self, name: &str) -> Result<Box<dyn Transport>, Fault> {
        transport(name, self.directory.path())
            .ok_or_else(|| Fault::failed(format!("there is no transport {name}")))
    }

    /// Starts processes that are workers of this `kind`, with `place` to find what they share.
    pub(crate) fn crew(
        &self,
        transport: &dyn Transport,
        kind: &str,
        place: &str,
        queues: &[&dyn Channel],
    ) -> Result<Crew, Fault> {
        Crew::assemble(transport, self.shape, self.patience, queues, |puts, number| {
            let mut command = worker(kind, transport.name(), puts, number);
            command.args([place, &self.shape.consumers.to_string()]);
            Ok(command)
        })
    }

    /// Keeps the directory for as long as the processes run.
    pub(crate) fn run(self, crew: Crew) -> Box<dyn Running> {
        Box::new(Processes { crew, relay: None, _directory: self.directory })
    }

    fn queue(self, name: &str) -> Result<Box<dyn Running>, Fault> {
        let transport = self.transport(name)?;
        let launch = launch(&*transport);
        let crew = Crew::start(&*transport, self.shape, self.size, self.capacity, self.patience, &launch)?;
        Ok(self.run(crew))
    }

    fn pipes(self, buffered: bool) -> Result<Box<dyn Running>, Fault> {
        let control = self.control()?;
        let pipe = || if buffered { RawPipe::buffered() } else { RawPipe::new(self.size) };
        let failed = |error| Fault::system("a pipe could not be made", error);
        let pipes = [pipe().map_err(failed)?, pipe().map_err(failed)?];
        let crew = Crew::start_on_pipes(&*control, pipes, self.shape, self.patience, &launch(&*control))?;
        Ok(self.run(crew))
    }

    fn sockets(self) -> Result<Box<dyn Running>, Fault> {
        let control = self.control()?;
        let sockets =
            raw_socket::direct().map_err(|error| Fault::system("no socket could be made", error))?;
        let crew = Crew::start_on_sockets(&*control, sockets, self.patience, &launch(&*control))?;
        Ok(self.run(crew))
    }

    fn relayed_sockets(self) -> Result<Box<dyn Running>, Fault> {
        let control = self.control()?;
        let (relay, sockets) =
            Relay::start().map_err(|error| Fault::system("no socket could be made", error))?;
        let crew = Crew::start_on_sockets(&*control, sockets, self.patience, &launch(&*control))?;
        Ok(Box::new(Processes { crew, relay: Some(relay), _directory: self.directory }))
    }
}

/// What starts processes whose queues, pipes or sockets are inherited.
fn launch(transport: &dyn Transport) -> impl Fn(Work, bool, usize) -> Command + '_ {
    move |work, puts, number| {
        let kind = if work == Work::Queues { "queues" } else { "raw" };
        worker(kind, transport.name(), puts, number)
    }
}

/// This program again, as a worker.
fn worker(kind: &str, transport: &str, puts: bool, number: usize) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let side = if puts { "put" } else { "get" };
    command.args(["worker", &std::process::id().to_string(), kind, transport, side, &number.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Processes, with what they need.
struct Processes {
    crew: Crew,
    relay: Option<Relay>,
    _directory: TempDir,
}

impl Running for Processes {
    fn measure(&mut self, job: Job) -> Result<Measured, Fault> {
        let set_busy = |busy: bool| self.relay.iter().for_each(|relay| relay.set_busy(busy));
        set_busy(job.how.is_busy());
        let measured = self.crew.measure(job);
        set_busy(false);
        measured
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        self.crew.finish()
    }
}

/// `crossbeam-channel` between threads of this process.
struct Threads {
    capacity: usize,
    shape: Shape,
}

impl Running for Threads {
    fn measure(&mut self, job: Job) -> Result<Measured, Fault> {
        threads::measure(self.shape, self.capacity, job)
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }
}
