//! What is measured: each scenario once, with all that take part in it.

use bytesize::ByteSize;
use ipcq_cli::measure::Shape;
use ipcq_cli::measure::job::{How, Waiting};
use ipcq_core::QueueOptions;

use crate::contender::Contender;
use crate::contender::Contender::{
    Aeron, Boost, CopyingRelay, Crossbeam, Iceoryx2, Iceoryx2InPlace, InPlace, IpcChannel, LibZmq, Python,
    Queue, RawFutex, RawPipe, RelayedSocket, Rtrb, Typed, UnixSocket, ZeroMq,
};
use crate::options::Options;

pub(crate) const SIZES: [usize; 5] = [8, 64, 1 << 10, 64 << 10, 1 << 20];
pub(crate) const TRANSPORTS: [&str; 3] = ["shm", "pipe", "zmq"];
/// How many messages a batch has.
pub(crate) const BATCH: usize = 64;
/// How many threads of a process call at a time where a broker answers each call.
pub(crate) const CALLERS: usize = 16;
/// What the small struct of typed messages takes as bytes.
pub(crate) const TYPED_SIZE: usize = 32;
/// The messages in a queue take no more memory than this, in bytes.
const MOST_MEMORY: usize = 256 << 20;
const ALONE: Shape = Shape { producers: 1, consumers: 1 };

/// Somebody who takes part in a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) contender: Contender,
    pub(crate) how: How,
    pub(crate) capacity: usize,
}

impl Entry {
    /// What results call it: alike in all scenarios.
    pub(crate) fn label(&self) -> String {
        let mut label = self.contender.name().to_owned();
        if let How::Threads(threads) = self.how {
            label += &format!(", {threads} callers");
        }
        if self.capacity <= 16 {
            label += &format!(", capacity {}", self.capacity);
        }
        label
    }
}

/// One scenario.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    kind: &'static str,
    pub(crate) shape: Shape,
    pub(crate) size: usize,
    pub(crate) entries: Vec<Entry>,
}

impl Scenario {
    fn new(
        kind: &'static str,
        how: How,
        shape: Shape,
        size: usize,
        contenders: impl IntoIterator<Item = Contender>,
    ) -> Self {
        let capacity = QueueOptions::DEFAULT_CAPACITY.min(MOST_MEMORY / size.max(1)).max(2);
        let entry = |contender| Entry { contender, how: own_way(contender, how), capacity };
        let takes = |contender: &Contender| contender.takes(how, shape, size);
        let entries = contenders.into_iter().filter(takes).map(entry).collect();
        Self { kind, shape, size, entries }
    }

    fn with(mut self, contender: Contender, how: How, capacity: Option<usize>) -> Self {
        let usual = QueueOptions::DEFAULT_CAPACITY.min(MOST_MEMORY / self.size.max(1));
        self.entries.push(Entry { contender, how, capacity: capacity.unwrap_or(usual) });
        self
    }

    /// Its name: kind, processes and size.
    pub(crate) fn id(&self) -> String {
        id(self.kind, self.shape.producers, self.size)
    }
}

/// The name of a scenario between as many producers as consumers.
pub(crate) fn id(kind: &str, processes: usize, size: usize) -> String {
    format!("{kind}/{processes}x{processes}/{}", size_name(size))
}

/// A size as people write it.
pub(crate) fn size_name(size: usize) -> String {
    ByteSize(size.try_into().unwrap_or(u64::MAX)).to_string().replace(' ', "").replace(".0", "")
}

/// How a contender takes part that knows no batches: one by one, which is all that it offers.
fn own_way(contender: Contender, how: How) -> How {
    let has_batches = matches!(contender, Queue(_) | RawPipe);
    if matches!(how, How::Batches(_)) && !has_batches { How::OneByOne } else { how }
}

/// All scenarios that `options` ask for, with the contenders that are here.
pub(crate) fn all(options: &Options) -> Vec<Scenario> {
    let wanted = |contender: &Contender| match *contender {
        Queue(transport) | Typed(transport) | InPlace(transport) => {
            options.transport.iter().any(|name| name == transport)
        }
        peer => {
            options.peer.is_empty() || options.peer.iter().any(|part| peer.name().contains(part.as_str()))
        }
    };
    let mut scenarios = round_trips();
    scenarios.extend(streams());
    scenarios.extend(batches());
    scenarios.extend([1, 4].map(capacities));
    scenarios.push(typed());
    scenarios.push(in_place());
    scenarios.retain(|scenario| options.wants(&scenario.id()));
    for scenario in &mut scenarios {
        scenario.entries.retain(|entry| wanted(&entry.contender) && entry.contender.absence().is_none());
    }
    scenarios.retain(|scenario| !scenario.entries.is_empty());
    scenarios
}

fn queues() -> impl Iterator<Item = Contender> {
    TRANSPORTS.into_iter().map(Queue)
}

fn round_trips() -> Vec<Scenario> {
    let peers = [
        Crossbeam,
        Rtrb,
        RawPipe,
        UnixSocket,
        RelayedSocket,
        RawFutex,
        IpcChannel,
        Iceoryx2,
        ZeroMq,
        LibZmq,
        Boost,
        Aeron,
        Python,
    ];
    let kinds = [("roundtrip-busy", Waiting::Busy), ("roundtrip-asleep", Waiting::Asleep)];
    let of = |(kind, waiting)| {
        [64, 64 << 10]
            .map(move |size| Scenario::new(kind, How::RoundTrip(waiting), ALONE, size, queues().chain(peers)))
    };
    kinds.into_iter().flat_map(of).collect()
}

fn streams() -> Vec<Scenario> {
    let peers = [
        Crossbeam,
        Rtrb,
        RawPipe,
        UnixSocket,
        RelayedSocket,
        CopyingRelay,
        IpcChannel,
        Iceoryx2,
        ZeroMq,
        LibZmq,
        Boost,
        Aeron,
        Python,
    ];
    let of = |processes| {
        let shape = Shape { producers: processes, consumers: processes };
        SIZES.map(|size| {
            let scenario = Scenario::new("stream", How::OneByOne, shape, size, queues().chain(peers));
            let few = processes == 1 && size <= 1 << 10;
            if few { scenario.with(Queue("zmq"), How::Threads(CALLERS), None) } else { scenario }
        })
    };
    [1, 2, 4, 8].into_iter().flat_map(of).collect()
}

fn batches() -> Vec<Scenario> {
    let of = |processes| {
        let shape = Shape { producers: processes, consumers: processes };
        let peers = [Crossbeam, RawPipe, ZeroMq, LibZmq, Boost, Aeron];
        SIZES.map(|size| {
            let batch = BATCH.min(MOST_MEMORY / size);
            Scenario::new("batch", How::Batches(batch), shape, size, queues().chain(peers))
        })
    };
    [1, 2, 4, 8].into_iter().flat_map(of).collect()
}

/// Small queues beside one that is not.
fn capacities(processes: usize) -> Scenario {
    let shape = Shape { producers: processes, consumers: processes };
    let mut scenario = Scenario::new("capacity", How::OneByOne, shape, 64, queues());
    for transport in TRANSPORTS {
        for capacity in [1, 16] {
            scenario = scenario.with(Queue(transport), How::OneByOne, Some(capacity));
        }
    }
    scenario
}

/// A small struct through the codec beside as many bytes as they are.
fn typed() -> Scenario {
    let contenders = queues().chain(TRANSPORTS.into_iter().map(Typed));
    Scenario::new("typed", How::OneByOne, ALONE, TYPED_SIZE, contenders)
}

/// Long messages that are built and read where they lie, beside those that are copied in and out.
fn in_place() -> Scenario {
    let contenders = [Queue("shm"), InPlace("shm"), Iceoryx2InPlace, Iceoryx2, CopyingRelay];
    Scenario::new("in-place", How::OneByOne, ALONE, 1 << 20, contenders)
}
