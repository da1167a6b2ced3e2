//! What one process of a benchmark is told to do, how it does that with whatever puts and gets messages, and its report.

use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::content::{Checker, Maker};
use super::placement::Pair;
use super::spread::{Spread, percentiles, spread};

/// How long a call comes after the one before, if both sides are to have fallen asleep.
const PAUSE: Duration = Duration::from_micros(300);

/// What one process, or all together, are to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Job {
    /// How messages move.
    pub how: How,
    /// The length of each message, in bytes.
    pub size: usize,
    /// How many are put or got.
    pub messages: usize,
    /// Where the two sides run, if that matters.
    pub pair: Option<Pair>,
}

/// How messages move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// A message in each call.
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
    /// Where both sides are to fall asleep before each message, lets them.
    pub fn pause(self) {
        if matches!(self, Self::RoundTrip(Waiting::Asleep) | Self::Call(Waiting::Asleep | Waiting::Blocking))
        {
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether somebody asks again at once, and nobody sleeps.
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::RoundTrip(Waiting::Busy) | Self::Call(Waiting::Busy))
    }
}

/// How both sides of a round trip wait for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// They ask again at once: nobody sleeps.
    Busy,
    /// They wait as `get` does, and may fall asleep.
    Blocking,
    /// The same, and each message comes so long after the one before that both have fallen asleep.
    Asleep,
}

impl Waiting {
    /// Its name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Blocking => "blocking",
            Self::Asleep => "asleep",
        }
    }
}

/// What one process did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Whether it put the messages that are counted.
    pub put: bool,
    /// When it began, in nanoseconds of the clock that all processes share.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// How many messages it put or got.
    pub messages: usize,
    /// What the numbers of its messages come to.
    pub sum: u64,
    /// Of the times that its round trips took, the median, in nanoseconds.
    pub p50: u64,
    /// The 99th percentile of them.
    pub p99: u64,
    /// More of them.
    pub spread: Spread,
    /// How long processors were busy with it, in nanoseconds.
    pub busy: u64,
    /// Why it could not be done.
    pub fault: Option<String>,
}

/// Puts as many messages as `job` says, one by one.
///
/// # Errors
/// What it is done with failed with, or that a message came changed, twice, or out of order.
pub fn put_each(
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
///
/// # Errors
/// What it is done with failed with, or that a message came changed, twice, or out of order.
pub fn get_each(job: Job, mut get: impl FnMut(&mut Vec<u8>) -> Result<(), String>) -> Result<Report, String> {
    let (mut checker, mut message) = (Checker::new(job.size), Vec::with_capacity(job.size));
    let began = now();
    for _ in 0..job.messages {
        get(&mut message)?;
        ensure(checker.check(&message))?;
    }
    Ok(Report { began, ended: now(), sum: checker.sum(), ..Report::default() })
}

/// Puts each message once the one before it came back.
///
/// # Errors
/// What `put` or `get` failed with, or that a message came back changed.
pub fn ping(
    number: u32,
    job: Job,
    mut put: impl FnMut(&[u8]) -> Result<(), String>,
    mut get: impl FnMut(&mut Vec<u8>) -> Result<(), String>,
) -> Result<Report, String> {
    let mut came = Vec::with_capacity(job.size);
    time_each(
        number,
        job,
        || {
            job.how.pause();
            Ok(())
        },
        |message, checker| {
            put(message)?;
            get(&mut came)?;
            ensure(checker.check(&came))
        },
    )
}

/// Does `exchange` with each message, and measures how long that took; calls `before` each one, outside of that.
///
/// # Errors
/// What one of them failed with.
pub fn time_each(
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
///
/// # Errors
/// What one of them failed with.
pub fn by_threads(
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
///
/// # Errors
/// What it is done with failed with, or that a message came changed, twice, or out of order.
pub fn pong(
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

/// Waits busily, and lets others run now and then: where both sides share a processor, the one that asks would else
/// keep the other from answering for all of its time slice.
#[derive(Debug, Default)]
pub struct Spin {
    turns: u32,
}

impl Spin {
    /// How often to ask before others may run: longer than an answer from another processor takes.
    const TURNS: u32 = 1000;

    /// Waits a little.
    #[inline]
    pub fn turn(&mut self) {
        self.turns += 1;
        if self.turns.is_multiple_of(Self::TURNS) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// That a message was as it should be.
///
/// # Errors
/// When it was not.
pub fn ensure(sound: bool) -> Result<(), String> {
    if sound { Ok(()) } else { Err("a message arrived changed, twice, or out of order".to_owned()) }
}

/// The time in nanoseconds, from a clock that runs alike in all processes; 0 where there is none.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
