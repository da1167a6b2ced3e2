//! What a queue takes: memory when it is empty and full, and time to make, open and remove it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipcq_core::{Channel, QueueName, QueueOptions, Transport, Wait};
use ipcq_tests::transports::transport;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::interval::Interval;
use crate::options::Options;

/// How many messages fill a queue, and how long they are.
pub(crate) const CAPACITY: usize = 1000;
pub(crate) const SIZE: usize = 1 << 10;

/// What a queue of one transport takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) transport: String,
    /// Storage in use, in bytes.
    pub(crate) empty: u64,
    pub(crate) full: u64,
    pub(crate) drained: u64,
    /// In microseconds, the medians.
    pub(crate) create_us: f64,
    pub(crate) open_us: f64,
    pub(crate) remove_us: f64,
}

/// What queues of the transports take that are asked for.
pub(crate) fn measured(options: &Options) -> Result<Vec<Stored>, String> {
    options.transport.iter().map(|name| of(name, options.rounds)).collect()
}

fn of(name: &str, rounds: usize) -> Result<Stored, String> {
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let transport = transport(name, directory.path()).ok_or(format!("there is no transport {name}"))?;
    let [empty, full, drained] = memory(&*transport)?;
    let (mut creates, mut opens, mut removes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let times = life(&*transport, round)?.map(|time| time.as_secs_f64() * 1e6);
        creates.push(times[0]);
        opens.push(times[1]);
        removes.push(times[2]);
    }
    let median = |times: &[f64]| Interval::of(times).map_or(0.0, |interval| interval.median);
    Ok(Stored {
        transport: name.to_owned(),
        empty,
        full,
        drained,
        create_us: median(&creates),
        open_us: median(&opens),
        remove_us: median(&removes),
    })
}

/// What the queue says that it takes: made, with `CAPACITY` messages, and without them again.
fn memory(transport: &dyn Transport) -> Result<[u64; 3], String> {
    let queue = made(transport, "memory")?;
    let bytes = |queue: &dyn Channel| queue.stat().map(|stat| stat.bytes).map_err(|error| error.to_string());
    let (empty, message) = (bytes(&*queue)?, vec![7; SIZE]);
    for _ in 0..CAPACITY {
        queue.put(&[&message], Wait::No).map_err(|fault| fault.to_string())?;
    }
    let (full, mut came) = (bytes(&*queue)?, Vec::new());
    for _ in 0..CAPACITY {
        queue.get(&mut came, Wait::No).map_err(|fault| fault.to_string())?;
        if came != message {
            return Err("a message arrived changed".to_owned());
        }
    }
    Ok([empty, full, bytes(&*queue)?])
}

fn made(transport: &dyn Transport, name: &str) -> Result<Arc<dyn Channel>, String> {
    let options = QueueOptions::new().capacity(CAPACITY);
    transport.create(&queue_name(name)?, &options).map_err(|error| error.to_string())
}

fn queue_name(name: &str) -> Result<QueueName, String> {
    QueueName::new(name).map_err(|error| error.to_string())
}

/// How long it takes to make a queue, to open it and to remove it.
fn life(transport: &dyn Transport, round: usize) -> Result<[Duration; 3], String> {
    let name = format!("life-{round}");
    let began = Instant::now();
    let queue = made(transport, &name)?;
    let create = began.elapsed();
    let name = queue_name(&name)?;
    let began = Instant::now();
    let again = black_box(transport.open(&name).map_err(|error| error.to_string())?);
    let open = began.elapsed();
    let began = Instant::now();
    transport.remove(&name).map_err(|error| error.to_string())?;
    let remove = began.elapsed();
    drop((queue, again));
    Ok([create, open, remove])
}
