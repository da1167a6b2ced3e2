//! What the processes of a benchmark do: they take a job, do it, report, and wait for the next.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipcq_core::{Batch, Channel, GetFault, Limit, PutFault, Transport, Wait};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::content::{Checker, Maker};
use super::placement::{Pair, Place};
use super::spread::{Spread, percentiles, spread};
use super::{raw_pipe, raw_socket};
use crate::args::Role;
use crate::backend::label;
use crate::failure::Failure;

/// The numbers under which a process inherits its queues: jobs come by the first, which is its own, and reports go by
/// the second. Messages go through the third (and in a round trip back through the fourth), unless they go through
/// pipes.
const JOBS: usize = 0;
const REPORTS: usize = 1;
const FORTH: usize = 2;
const BACK: usize = 3;

/// How long a call comes after the one before, if both sides are to have fallen asleep.
const PAUSE: Duration = Duration::from_micros(300);

/// What one process, or all together, are to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) how: How,
    /// The length of each message, in bytes.
    pub(super) size: usize,
    /// How many are put or got.
    pub(super) messages: usize,
    /// Where the two sides run, if that matters.
    pub(super) pair: Option<Pair>,
}

/// How messages move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum How {
    OneByOne,
    /// This many in each call.
    Batches(usize),
    /// One by one, by this many threads in each process.
    Threads(usize),
    /// There and back, before the next one.
    RoundTrip(Waiting),
    /// One put, with its reply, before the next one.
    Call(Waiting),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundTrip(waiting) => write!(f, "{} round trips", waiting.as_str()),
            Self::Call(waiting) => write!(f, "{} puts with their replies", waiting.as_str()),
            Self::Threads(threads) => write!(f, "{threads} threads"),
            Self::Batches(batch) => write!(f, "batches of {batch}"),
            Self::OneByOne => write!(f, "one by one"),
        }
    }
}

impl How {
    /// Whether somebody asks again at once, and nobody sleeps.
    pub(super) const fn is_busy(self) -> bool {
        matches!(self, Self::RoundTrip(Waiting::Busy) | Self::Call(Waiting::Busy))
    }
}

/// How both sides of a round trip wait for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Waiting {
    /// They ask again at once: nobody sleeps.
    Busy,
    /// They wait as `get` does, and may fall asleep.
    Blocking,
}

impl Waiting {
    /// Its name in results.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Blocking => "blocking",
        }
    }

    /// Where both sides may fall asleep, lets them.
    pub(super) fn pause(self) {
        if self == Self::Blocking {
            std::thread::sleep(PAUSE);
        }
    }
}

/// What one process did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// Whether it put the messages that are counted.
    pub(super) put: bool,
    /// When it began and ended, in nanoseconds of the clock that all processes share.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) messages: usize,
    pub(super) sum: u64,
    /// How long each round trip took, sorted by length, in nanoseconds: the median and the 99th percentile.
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) spread: Spread,
    pub(super) fault: Option<String>,
}

/// The queues of one process.
struct Queues {
    forth: Arc<dyn Channel>,
    back: Arc<dyn Channel>,
}

/// Does jobs until there are no more.
pub(crate) fn work(transport: &dyn Transport, role: Role, number: u32) -> Result<(), Failure> {
    match role {
        Role::RawProducer | Role::RawConsumer => {
            let puts = role == Role::RawProducer;
            let raw = if raw_socket::is_stdin() { raw_socket::run } else { raw_pipe::run };
            serve(transport, puts, |job| raw(puts, number, job))
        }
        _ => {
            let queues = Queues { forth: transport.inherited(FORTH)?, back: transport.inherited(BACK)? };
            let puts = role == Role::BenchProducer;
            serve(transport, puts, |job| queues.run(puts, number, job))
        }
    }
}

fn serve(
    transport: &dyn Transport,
    puts: bool,
    run: impl Fn(Job) -> Result<Report, String>,
) -> Result<(), Failure> {
    let (jobs, reports) = (transport.inherited(JOBS)?, transport.inherited(REPORTS)?);
    let (place, mut text) = (Place::here(), Vec::new());
    loop {
        match jobs.get(&mut text, Wait::Forever) {
            Err(GetFault::Closed) => return Ok(()),
            got => got.map_err(|fault| Failure::get(&label(&*jobs), &fault))?,
        }
        let job: Job = serde_json::from_slice(&text).map_err(|error| Failure::failed(error.to_string()))?;
        place.settle(job.pair, puts);
        let report = run(job).unwrap_or_else(|fault| Report { fault: Some(fault), ..Report::default() });
        let report = Report { put: puts, messages: job.messages, ..report };
        let report = serde_json::to_vec(&report).map_err(|error| Failure::failed(error.to_string()))?;
        let put = reports.put(&[&report], Wait::Forever);
        put.map_err(|fault| Failure::put(&label(&*reports), &fault))?;
    }
}

impl Queues {
    fn run(&self, puts: bool, number: u32, job: Job) -> Result<Report, String> {
        let put = |queue: &dyn Channel, message: &[u8]| {
            queue.put(&[message], Wait::Forever).map_err(|fault| fault.to_string())
        };
        let (forth, back) = (&*self.forth, &*self.back);
        match (job.how, puts) {
            (How::OneByOne, true) => put_each(number, job, |message| put(forth, message)),
            (How::OneByOne, false) => get_each(job, |message| receive(forth, message, Waiting::Blocking)),
            (How::Batches(batch), true) => self.put_batches(number, job, batch),
            (How::Batches(batch), false) => self.get_batches(job, batch),
            (How::RoundTrip(waiting), true) => {
                ping(number, job, |message| put(forth, message), |message| receive(back, message, waiting))
            }
            (How::RoundTrip(waiting), false) => {
                pong(job, |message| put(back, message), |message| receive(forth, message, waiting))
            }
            (How::Threads(threads), true) => by_threads(threads, job, |at, part| {
                put_each(number * u32::try_from(threads).unwrap_or(1) + at, part, |message| {
                    put(forth, message)
                })
            }),
            (How::Threads(threads), false) => by_threads(threads, job, |_, part| {
                get_each(part, |message| receive(forth, message, Waiting::Blocking))
            }),
            (How::Call(waiting), true) => self.put_with_reply(number, job, waiting),
            // The one that puts takes its messages out itself.
            (How::Call(_), false) => Ok(Report { began: now(), ended: now(), ..Report::default() }),
        }
    }

    /// Puts one message after the other, each into the empty queue.
    fn put_with_reply(&self, number: u32, job: Job, waiting: Waiting) -> Result<Report, String> {
        let (queue, mut got) = (&*self.forth, Vec::with_capacity(job.size));
        let drain = |got: &mut Vec<u8>| match queue.get(got, Wait::No) {
            Ok(()) | Err(GetFault::Empty) => Ok(()),
            Err(fault) => Err(fault.to_string()),
        };
        time_each(
            number,
            job,
            || drain(&mut got).map(|()| waiting.pause()),
            |message, _| queue.put(&[message], Wait::Forever).map_err(|fault| fault.to_string()),
        )
    }

    fn put_batches(&self, number: u32, job: Job, size: usize) -> Result<Report, String> {
        let (mut maker, mut batch) = (Maker::new(number, job.size), Batch::new());
        let (mut left, began) = (job.messages, now());
        while left > 0 {
            batch.clear();
            for _ in 0..size.min(left) {
                maker.append(&mut batch);
            }
            let (count, end) = self.forth.put_many(&batch, 0, Wait::Forever);
            end.map_err(|fault: PutFault| fault.to_string())?;
            left -= count;
        }
        Ok(Report { began, ended: now(), sum: maker.sum(), ..Report::default() })
    }

    fn get_batches(&self, job: Job, size: usize) -> Result<Report, String> {
        let (mut checker, mut batch) = (Checker::new(job.size), Batch::new());
        let (mut left, began) = (job.messages, now());
        while left > 0 {
            batch.clear();
            let limit = Limit::messages(size.min(left));
            left -=
                self.forth.get_many(&mut batch, limit, Wait::Forever).map_err(|fault| fault.to_string())?;
            for message in batch.iter() {
                ensure(checker.check(message))?;
            }
        }
        Ok(Report { began, ended: now(), sum: checker.sum(), ..Report::default() })
    }
}

/// Puts as many messages as `job` says, one by one.
pub(super) fn put_each(
    number: u32,
    job: Job,
    mut put: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Report, String> {
    let mut maker = Maker::new(number, job.size);
    let began = now();
    for _ in 0..job.messages {
        put(maker.make())?;
    }
    Ok(Report { began, ended: now(), sum: maker.sum(), ..Report::default() })
}

/// Gets as many messages as `job` says, one by one.
pub(super) fn get_each(
    job: Job,
    mut get: impl FnMut(&mut Vec<u8>) -> Result<(), String>,
) -> Result<Report, String> {
    let (mut checker, mut message) = (Checker::new(job.size), Vec::with_capacity(job.size));
    let began = now();
    for _ in 0..job.messages {
        get(&mut message)?;
        ensure(checker.check(&message))?;
    }
    Ok(Report { began, ended: now(), sum: checker.sum(), ..Report::default() })
}

/// Puts each message once the one before it came back.
pub(super) fn ping(
    number: u32,
    job: Job,
    mut put: impl FnMut(&[u8]) -> Result<(), String>,
    mut get: impl FnMut(&mut Vec<u8>) -> Result<(), String>,
) -> Result<Report, String> {
    let mut came = Vec::with_capacity(job.size);
    time_each(
        number,
        job,
        || Ok(()),
        |message, checker| {
            put(message)?;
            get(&mut came)?;
            ensure(checker.check(&came))
        },
    )
}

/// Does `exchange` with each message, and measures how long that took; calls `before` each one, outside of that.
pub(super) fn time_each(
    number: u32,
    job: Job,
    mut before: impl FnMut() -> Result<(), String>,
    mut exchange: impl FnMut(&[u8], &mut Checker) -> Result<(), String>,
) -> Result<Report, String> {
    let (mut maker, mut checker) = (Maker::new(number, job.size), Checker::new(job.size));
    let mut times = Vec::with_capacity(job.messages);
    let began = now();
    for _ in 0..job.messages {
        before()?;
        let message = maker.make();
        let start = now();
        exchange(message, &mut checker)?;
        times.push(now() - start);
    }
    let (p50, p99) = percentiles(&mut times);
    Ok(Report {
        began,
        ended: now(),
        sum: maker.sum(),
        p50,
        p99,
        spread: spread(&times),
        ..Report::default()
    })
}

/// Divides `job` among as many threads; `run` is told which one it is.
fn by_threads(
    threads: usize,
    job: Job,
    run: impl Fn(u32, Job) -> Result<Report, String> + Sync,
) -> Result<Report, String> {
    let part = |at: usize| job.messages * (at + 1) / threads - job.messages * at / threads;
    let run = &run;
    let reports: Result<Vec<Report>, String> = std::thread::scope(|scope| {
        let numbers = (0..threads).zip(0_u32..);
        let started: Vec<_> = numbers
            .map(|(at, number)| scope.spawn(move || run(number, Job { messages: part(at), ..job })))
            .collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended.map(|report| report.map_err(|_| "a thread of the benchmark failed".to_owned())?).collect()
    });
    let reports = reports?;
    Ok(Report {
        began: reports.iter().map(|report| report.began).min().unwrap_or(0),
        ended: reports.iter().map(|report| report.ended).max().unwrap_or(0),
        sum: reports.iter().fold(0, |sum, report| sum.wrapping_add(report.sum)),
        ..Report::default()
    })
}

/// Sends each message back.
pub(super) fn pong(
    job: Job,
    mut put: impl FnMut(&[u8]) -> Result<(), String>,
    mut get: impl FnMut(&mut Vec<u8>) -> Result<(), String>,
) -> Result<Report, String> {
    let (mut checker, mut message) = (Checker::new(job.size), Vec::with_capacity(job.size));
    let began = now();
    for _ in 0..job.messages {
        get(&mut message)?;
        put(&message)?;
        ensure(checker.check(&message))?;
    }
    Ok(Report { began, ended: now(), sum: checker.sum(), ..Report::default() })
}

fn receive(queue: &dyn Channel, message: &mut Vec<u8>, waiting: Waiting) -> Result<(), String> {
    let wait = if waiting == Waiting::Busy { Wait::No } else { Wait::Forever };
    let mut spin = Spin::default();
    loop {
        match queue.get(message, wait) {
            Ok(()) => return Ok(()),
            Err(GetFault::Empty | GetFault::Busy) => spin.turn(),
            Err(fault) => return Err(fault.to_string()),
        }
    }
}

/// Waits busily, and lets others run now and then: where both sides share a processor, the one that asks would else
/// keep the other from answering for all of its time slice.
#[derive(Debug, Default)]
pub(super) struct Spin {
    turns: u32,
}

impl Spin {
    /// How often to ask before others may run: longer than an answer from another processor takes.
    const TURNS: u32 = 1000;

    #[inline]
    pub(super) fn turn(&mut self) {
        self.turns += 1;
        if self.turns.is_multiple_of(Self::TURNS) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

fn ensure(sound: bool) -> Result<(), String> {
    if sound { Ok(()) } else { Err("a message arrived changed, twice, or out of order".to_owned()) }
}

/// The time in nanoseconds, from a clock that runs alike in all processes; 0 where there is none.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
