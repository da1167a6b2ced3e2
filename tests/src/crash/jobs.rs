//! Workers that hold jobs, of which one is killed every 20 ms (Q20, Q21): every job is done, none is lost, and those
//! that no killed worker held are done exactly once.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::{
    Channel, DeliveryFault, GetFault, JoinFault, PutFault, QueueName, QueueOptions, Transport, Wait,
};
use memmap2::{MmapOptions, MmapRaw};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::watchdog::stage;

const WORKERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);
/// The most deliveries that a worker holds at once.
const HANDFUL: usize = 3;
/// How long the queue may stand still.
const LIMIT: u32 = 20;

/// How often each job was done, in a file that all workers map.
struct Tally {
    raw: MmapRaw,
    jobs: usize,
}

impl Tally {
    fn open(directory: &Path, jobs: usize) -> std::io::Result<Self> {
        let path = directory.join("tally");
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(4 * jobs.max(1) as u64)?;
        Ok(Self { raw: MmapOptions::new().len(4 * jobs.max(1)).map_raw(&file)?, jobs })
    }

    fn job(&self, number: usize) -> &AtomicU32 {
        assert!(number < self.jobs, "a job that was never put");
        // SAFETY: the number was just checked, and the mapping has a word for each.
        let word = unsafe { self.raw.as_ptr().add(4 * number) };
        // SAFETY: in bounds as above, aligned to 4, and used as an atomic by everybody.
        unsafe { &*word.cast::<AtomicU32>() }
    }
}

fn name() -> QueueName {
    QueueName::new("jobs").expect("a legal name")
}

/// Has `jobs` done by workers in the subdirectory `queues` of `directory`, which are killed all the time.
///
/// # Errors
/// What is wrong.
pub fn jobs(transport: &dyn Transport, directory: &Path, jobs: usize) -> Result<String, String> {
    let options = QueueOptions::new().capacity(1000).acknowledged(true);
    let queue = transport.create(&name(), &options).map_err(|error| error.to_string())?;
    let tally = Tally::open(directory, jobs).map_err(|error| error.to_string())?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(start(transport, directory, jobs)?);
    }
    let (mut put, mut kills, mut next) = (0, 0_usize, Instant::now() + PAUSE);
    // Killing goes on until all is done.
    loop {
        stage(kills, LIMIT);
        let until = Wait::Until(next);
        if put < jobs {
            match queue.put(&[&put.to_le_bytes()], until) {
                Ok(()) => put += 1,
                Err(PutFault::Timeout) => {}
                Err(fault) => return Err(format!("a put says: {fault}")),
            }
        } else {
            match queue.join(until) {
                Ok(()) => break,
                Err(JoinFault::Timeout) => {}
                Err(fault) => return Err(format!("a join says: {fault}")),
            }
        }
        if Instant::now() >= next {
            let mut victim = workers.remove(0);
            victim.kill().and_then(|()| victim.wait()).map_err(|error| error.to_string())?;
            workers.push(start(transport, directory, jobs)?);
            (kills, next) = (kills + 1, Instant::now() + PAUSE);
        }
    }
    queue.close().map_err(|error| error.to_string())?;
    for mut worker in workers {
        let status = worker.wait().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("a worker ended with {status}"));
        }
    }
    audit(&*queue, &tally, kills)
}

fn audit(queue: &dyn Channel, tally: &Tally, kills: usize) -> Result<String, String> {
    let done: Vec<u32> = (0..tally.jobs).map(|job| tally.job(job).load(Ordering::Relaxed)).collect();
    let never = done.iter().filter(|times| **times == 0).count();
    let again: usize = done.iter().map(|times| times.saturating_sub(1) as usize).sum();
    let stat = queue.stat().map_err(|error| error.to_string())?;
    let jobs = tally.jobs as u64;
    if never > 0 {
        return Err(format!("{never} jobs were never done"));
    }
    if again > kills * HANDFUL {
        return Err(format!("{again} jobs were done again, and {kills} workers killed"));
    }
    if (stat.puts, stat.gets, stat.len, stat.in_flight) != (jobs, jobs, 0, 0) {
        return Err(format!("all is done, and yet {stat:?}"));
    }
    Ok(format!("jobs={jobs} kills={kills} again={again} redelivered={}", stat.redelivered))
}

fn start(transport: &dyn Transport, directory: &Path, jobs: usize) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["job-worker", &jobs.to_string(), transport.name()]).arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(|error| error.to_string())
}

/// Does jobs until the queue is closed and drained.
///
/// # Errors
/// What is wrong.
pub fn do_jobs(transport: &dyn Transport, directory: &Path, jobs: usize) -> Result<String, String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| error.to_string())?;
    let tally = Tally::open(directory, jobs).map_err(|error| error.to_string())?;
    let queue = transport.open(&name()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    for round in 0.. {
        let mut held = Vec::new();
        // A few at once, of which the last may go back.
        for place in 0..=round % HANDFUL {
            match queue.get_delivery(&mut bytes, if place == 0 { Wait::Forever } else { Wait::No }) {
                Ok(tag) => held.push((tag, read(&bytes)?)),
                Err(GetFault::Closed) if held.is_empty() => return Ok(String::new()),
                Err(_) if !held.is_empty() => break,
                Err(fault) => return Err(format!("a get says: {fault}")),
            }
        }
        for (place, (tag, job)) in held.iter().enumerate() {
            let outcome = if place > 0 && tag.redeliveries == 0 && job % 7 == 0 {
                queue.give_back(tag)
            } else {
                tally.job(*job).fetch_add(1, Ordering::Relaxed);
                queue.acknowledge(tag)
            };
            outcome.map_err(|fault: DeliveryFault| format!("settling says: {fault}"))?;
        }
    }
    Ok(String::new())
}

fn read(bytes: &[u8]) -> Result<usize, String> {
    bytes.try_into().map(usize::from_le_bytes).map_err(|_| format!("a job of {} bytes", bytes.len()))
}
