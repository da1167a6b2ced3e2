//! The side of a benchmark that measures: it starts the processes, gives them jobs and adds up their reports.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipcq_core::{Channel, GetFault, QueueOptions, Transport, Wait};

use super::job::{How, Job, Report};
use super::raw_pipe::RawPipe;
use super::spread::Spread;
use crate::args::Role;
use crate::backend::label;
use crate::commands::worker::Team;
use crate::failure::Failure;

/// How often it is checked that all processes are alive while their reports are awaited.
const CHECK: Duration = Duration::from_millis(100);

/// How many processes put and get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) producers: usize,
    pub(super) consumers: usize,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Messages in a second.
    pub(super) rate: f64,
    /// How long it took, in seconds.
    pub(super) seconds: f64,
    /// Of round trips, in nanoseconds: median and 99th percentile.
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) spread: Spread,
}

impl Measured {
    pub(super) fn new(messages: usize, time: Duration, p50: u64, p99: u64) -> Self {
        let seconds = time.as_secs_f64().max(1e-9);
        let rate = f64::from(u32::try_from(messages).unwrap_or(u32::MAX)) / seconds;
        Self { rate, seconds, p50, p99, spread: Spread::default() }
    }
}

/// The processes of one benchmark, waiting for jobs.
pub(super) struct Crew {
    shape: Shape,
    team: Team,
    /// One for each process, the producers' first.
    jobs: Vec<Arc<dyn Channel>>,
    reports: Arc<dyn Channel>,
    patience: Duration,
}

impl Crew {
    /// Starts the processes for messages of up to `size` bytes, in a queue of `capacity`; none may take longer
    /// than `patience` for one job.
    pub(super) fn start(
        transport: &dyn Transport,
        shape: Shape,
        size: usize,
        capacity: usize,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let options = QueueOptions::new().capacity(capacity);
        let options = options.max_message(size.max(QueueOptions::DEFAULT_MAX_MESSAGE));
        let (forth, back) = (transport.create_anonymous(&options)?, transport.create_anonymous(&options)?);
        Self::assemble(transport, shape, patience, |team, [jobs, reports], puts, number| {
            let role = if puts { Role::BenchProducer } else { Role::BenchConsumer };
            team.start(transport, &[jobs, reports, &*forth, &*back], role, number, 0)
        })
    }

    /// Starts processes between which messages go forth and back through pipes. Jobs come by queues of `transport`.
    pub(super) fn start_on_pipes(
        transport: &dyn Transport,
        [forth, back]: [RawPipe; 2],
        shape: Shape,
        patience: Duration,
    ) -> Result<Self, Failure> {
        Self::assemble(transport, shape, patience, |team, queues, puts, number| {
            let (role, [from, to]) = match puts {
                true => (Role::RawProducer, [&back, &forth]),
                false => (Role::RawConsumer, [&forth, &back]),
            };
            let streams = RawPipe::streams(from, to)
                .map_err(|error| Failure::system("a process could not be started", &error))?;
            team.start_between(streams, transport, &queues, role, number, 0)
        })
    }

    /// Starts a process on either of two `sockets`. Jobs come by queues of `transport`.
    pub(super) fn start_on_sockets(
        transport: &dyn Transport,
        sockets: [Stdio; 2],
        patience: Duration,
    ) -> Result<Self, Failure> {
        let mut sockets = sockets.into_iter();
        let shape = Shape { producers: 1, consumers: 1 };
        Self::assemble(transport, shape, patience, |team, queues, puts, number| {
            let role = if puts { Role::RawProducer } else { Role::RawConsumer };
            let streams = [sockets.next().unwrap_or_else(Stdio::null), Stdio::inherit()];
            team.start_between(streams, transport, &queues, role, number, 0)
        })
    }

    /// Calls `start` for each process, with the queues for its jobs and reports, whether it puts, and its number.
    fn assemble(
        transport: &dyn Transport,
        shape: Shape,
        patience: Duration,
        mut start: impl FnMut(&mut Team, [&dyn Channel; 2], bool, usize) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let reports = transport.create_anonymous(&QueueOptions::new())?;
        let (mut team, mut jobs) = (Team::default(), Vec::new());
        let producers = (0..shape.producers).map(|number| (true, number));
        let consumers = (0..shape.consumers).map(|number| (false, number));
        for (puts, number) in producers.chain(consumers) {
            let own = transport.create_anonymous(&QueueOptions::new().capacity(1))?;
            start(&mut team, [&*own, &*reports], puts, number)?;
            jobs.push(own);
        }
        Ok(Self { shape, team, jobs, reports, patience })
    }

    /// Does `job` with all processes together, and says how fast that was.
    pub(super) fn measure(&mut self, job: Job) -> Result<Measured, Failure> {
        let (put, got) = (job.messages / self.shape.producers, job.messages / self.shape.consumers);
        for (number, jobs) in self.jobs.iter().enumerate() {
            let messages = if number < self.shape.producers { put } else { got };
            let own = serde_json::to_vec(&Job { messages, ..job });
            let own = own.map_err(|error| Failure::failed(error.to_string()))?;
            jobs.put(&[&own], Wait::timeout(self.patience))
                .map_err(|fault| Failure::put(&label(&**jobs), &fault))?;
        }
        let deadline = Instant::now() + self.patience;
        let reports: Result<Vec<_>, _> = (0..self.jobs.len()).map(|_| self.report(deadline)).collect();
        summarise(job.how, &reports?)
    }

    /// The next report of any process.
    fn report(&mut self, deadline: Instant) -> Result<Report, Failure> {
        let mut text = Vec::new();
        while let Err(fault) = self.reports.get(&mut text, Wait::timeout(CHECK)) {
            if !matches!(fault, GetFault::Timeout) {
                return Err(Failure::get(&label(&*self.reports), &fault));
            }
            self.team.check()?;
            if Instant::now() > deadline {
                return Err(Failure::failed(
                    "a process of the benchmark does not finish; try fewer messages",
                ));
            }
        }
        serde_json::from_slice(&text).map_err(|error| Failure::failed(error.to_string()))
    }

    /// Lets the processes end.
    pub(super) fn finish(self) -> Result<(), Failure> {
        for jobs in &self.jobs {
            jobs.close()?;
        }
        self.team.wait()
    }
}

/// Checks that everything that was put arrived, and adds up.
fn summarise(how: How, reports: &[Report]) -> Result<Measured, Failure> {
    if let Some(fault) = reports.iter().find_map(|report| report.fault.as_ref()) {
        return Err(Failure::failed(format!("a process of the benchmark failed: {fault}")));
    }
    let total = |put: bool| {
        let side = reports.iter().filter(|report| report.put == put);
        side.fold((0, 0), |(count, sum): (usize, u64), report| {
            (count + report.messages, sum.wrapping_add(report.sum))
        })
    };
    // In a call, the one that puts takes its messages out itself.
    if total(true) != total(false) && !matches!(how, How::Call(_)) {
        return Err(Failure::failed("the messages that arrived are not those that were put"));
    }
    let began = reports.iter().map(|report| report.began).min().unwrap_or(0);
    let ended = reports.iter().map(|report| report.ended).max().unwrap_or(0);
    let longest = |of: fn(&Report) -> u64| reports.iter().map(of).max().unwrap_or(0);
    let (p50, p99) = (longest(|report| report.p50), longest(|report| report.p99));
    // Only one of them measures.
    let spread = reports.iter().map(|report| report.spread).max().unwrap_or_default();
    Ok(Measured { spread, ..Measured::new(total(true).0, Duration::from_nanos(ended - began), p50, p99) })
}
