//! The side of a benchmark that measures: it starts the processes, gives them jobs and adds up their reports.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipcq_core::{Channel, GetFault, QueueOptions, Transport, Wait};

use super::job::{How, Job, Report};
use super::raw_pipe::RawPipe;
use super::serve::Work;
use super::spread::Spread;
use super::{Fault, Team};

/// How often it is checked that all processes are alive while their reports are awaited.
const CHECK: Duration = Duration::from_millis(100);

/// How many processes put and get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many put.
    pub producers: usize,
    /// How many get.
    pub consumers: usize,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Messages in a second.
    pub rate: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Of round trips, in nanoseconds: the median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// More of them.
    pub spread: Spread,
    /// How long processors were busy with it, of all processes together, in nanoseconds.
    pub busy: u64,
}

impl Measured {
    /// That so many messages took so long.
    #[must_use]
    pub fn new(messages: usize, time: Duration, p50: u64, p99: u64) -> Self {
        let seconds = time.as_secs_f64().max(1e-9);
        let rate = f64::from(u32::try_from(messages).unwrap_or(u32::MAX)) / seconds;
        Self { rate, seconds, p50, p99, spread: Spread::default(), busy: 0 }
    }
}

/// The processes of one benchmark, waiting for jobs.
#[derive(Debug)]
pub struct Crew {
    shape: Shape,
    team: Team,
    /// One for each process, the producers' first.
    jobs: Vec<Arc<dyn Channel>>,
    reports: Arc<dyn Channel>,
    patience: Duration,
}

/// Makes the command that starts a process which does such work: whether it puts, and its number among those that do. The
/// process is to call [`work`](super::work) with the same.
pub type Launch<'a> = &'a dyn Fn(Work, bool, usize) -> Command;

impl Crew {
    /// Starts the processes for messages of up to `size` bytes, in a queue of `capacity`; none may take longer
    /// than `patience` for one job.
    ///
    /// # Errors
    /// When a queue or a process cannot be had.
    pub fn start(
        transport: &dyn Transport,
        shape: Shape,
        size: usize,
        capacity: usize,
        patience: Duration,
        launch: Launch<'_>,
    ) -> Result<Self, Fault> {
        let options = QueueOptions::new().capacity(capacity);
        let options = options.max_message(size.max(QueueOptions::DEFAULT_MAX_MESSAGE));
        let (forth, back) = (transport.create_anonymous(&options)?, transport.create_anonymous(&options)?);
        Self::assemble(transport, shape, patience, &[&*forth, &*back], |puts, number| {
            Ok(launch(Work::Queues, puts, number))
        })
    }

    /// Starts processes between which messages go forth and back through pipes. Jobs come by queues of `transport`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on_pipes(
        transport: &dyn Transport,
        [forth, back]: [RawPipe; 2],
        shape: Shape,
        patience: Duration,
        launch: Launch<'_>,
    ) -> Result<Self, Fault> {
        Self::assemble(transport, shape, patience, &[], |puts, number| {
            let [from, to] = if puts { [&back, &forth] } else { [&forth, &back] };
            let streams = RawPipe::streams(from, to);
            let [stdin, stdout] =
                streams.map_err(|error| Fault::system("a process could not be started", error))?;
            let mut command = launch(Work::Raw, puts, number);
            command.stdin(stdin).stdout(stdout);
            Ok(command)
        })
    }

    /// Starts a process on either of two `sockets`. Jobs come by queues of `transport`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on_sockets(
        transport: &dyn Transport,
        sockets: [Stdio; 2],
        patience: Duration,
        launch: Launch<'_>,
    ) -> Result<Self, Fault> {
        let mut sockets = sockets.into_iter();
        let shape = Shape { producers: 1, consumers: 1 };
        Self::assemble(transport, shape, patience, &[], |puts, number| {
            let mut command = launch(Work::Raw, puts, number);
            command.stdin(sockets.next().unwrap_or_else(Stdio::null));
            Ok(command)
        })
    }

    /// Starts processes by the commands that `command` makes, told whether the process puts, and its number. They inherit
    /// `queues` after those of `transport` for jobs and reports, and are to call [`serve`](super::serve()).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn assemble(
        transport: &dyn Transport,
        shape: Shape,
        patience: Duration,
        queues: &[&dyn Channel],
        mut command: impl FnMut(bool, usize) -> Result<Command, Fault>,
    ) -> Result<Self, Fault> {
        let reports = transport.create_anonymous(&QueueOptions::new())?;
        let (mut team, mut jobs) = (Team::default(), Vec::new());
        let producers = (0..shape.producers).map(|number| (true, number));
        let consumers = (0..shape.consumers).map(|number| (false, number));
        for (puts, number) in producers.chain(consumers) {
            let own = transport.create_anonymous(&QueueOptions::new().capacity(1))?;
            let mut command = command(puts, number)?;
            for queue in [&*own, &*reports].iter().chain(queues) {
                queue.share_with(&mut command)?;
            }
            team.start(&mut command)?;
            jobs.push(own);
        }
        Ok(Self { shape, team, jobs, reports, patience })
    }

    /// Does `job` with all processes together, and says how fast that was.
    ///
    /// # Errors
    /// When a process fails, ends, or takes longer than the crew's patience, and when a message was lost or changed. What
    /// the others do then is not waited for: they may wait for messages that do not come, so the crew is of no more use
    /// and should be dropped, not finished.
    ///
    /// # Blocking
    /// Until all have done it, or one has failed.
    pub fn measure(&mut self, job: Job) -> Result<Measured, Fault> {
        let (put, got) = (job.messages / self.shape.producers, job.messages / self.shape.consumers);
        for (number, jobs) in self.jobs.iter().enumerate() {
            let messages = if number < self.shape.producers { put } else { got };
            let own = serde_json::to_vec(&Job { messages, ..job });
            let own = own.map_err(|error| Fault::failed(error.to_string()))?;
            jobs.put(&[&own], Wait::timeout(self.patience))
                .map_err(|fault| Fault::Put { queue: jobs.identity().to_string(), fault })?;
        }
        let deadline = Instant::now() + self.patience;
        let reports: Result<Vec<_>, _> = (0..self.jobs.len()).map(|_| self.report(deadline)).collect();
        combined(job.how, &reports?)
    }

    /// The next report of any process.
    fn report(&mut self, deadline: Instant) -> Result<Report, Fault> {
        let mut text = Vec::new();
        while let Err(fault) = self.reports.get(&mut text, Wait::timeout(CHECK)) {
            if !matches!(fault, GetFault::Timeout) {
                return Err(Fault::Get { queue: self.reports.identity().to_string(), fault });
            }
            self.team.check()?;
            if Instant::now() > deadline {
                return Err(Fault::failed("a process of the benchmark does not finish; try fewer messages"));
            }
        }
        let report: Report =
            serde_json::from_slice(&text).map_err(|error| Fault::failed(error.to_string()))?;
        report.fault.as_deref().map_or(Ok(()), failed)?;
        Ok(report)
    }

    /// Lets the processes end.
    ///
    /// # Errors
    /// When one fails.
    ///
    /// # Blocking
    /// Until they have ended.
    pub fn finish(self) -> Result<(), Fault> {
        for jobs in &self.jobs {
            jobs.close()?;
        }
        self.team.wait()
    }
}

/// What the reports of all processes, or threads, come to.
///
/// # Errors
/// When one failed, and when what arrived is not what was put.
pub fn combined(how: How, reports: &[Report]) -> Result<Measured, Fault> {
    reports.iter().find_map(|report| report.fault.as_deref()).map_or(Ok(()), failed)?;
    let total = |put: bool| {
        let side = reports.iter().filter(|report| report.put == put);
        side.fold((0, 0), |(count, sum): (usize, u64), report| {
            (count + report.messages, sum.wrapping_add(report.sum))
        })
    };
    // In a call, the one that puts takes its messages out itself.
    if total(true) != total(false) && !matches!(how, How::Call(_)) {
        return Err(Fault::failed("the messages that arrived are not those that were put"));
    }
    let began = reports.iter().map(|report| report.began).min().unwrap_or(0);
    let ended = reports.iter().map(|report| report.ended).max().unwrap_or(0);
    let longest = |of: fn(&Report) -> u64| reports.iter().map(of).max().unwrap_or(0);
    let (p50, p99) = (longest(|report| report.p50), longest(|report| report.p99));
    // Only one of them measures.
    let spread = reports.iter().map(|report| report.spread).max().unwrap_or_default();
    let busy = reports.iter().map(|report| report.busy).sum();
    Ok(Measured {
        spread,
        busy,
        ..Measured::new(total(true).0, Duration::from_nanos(ended - began), p50, p99)
    })
}

/// That a process could not do its job.
fn failed(fault: &str) -> Result<(), Fault> {
    Err(Fault::failed(format!("a process of the benchmark failed: {fault}")))
}

#[cfg(test)]
mod tests {
    use ipcq_core::memory::MemoryTransport;

    use super::*;

    /// One of two processes says that its job went wrong, and the other waits for what that one was to put.
    #[test]
    fn a_fault_is_known_before_all_have_reported() -> Result<(), Box<dyn std::error::Error>> {
        let transport = MemoryTransport::new();
        let queue = || transport.create_anonymous(&QueueOptions::new());
        let (jobs, reports) = (vec![queue()?, queue()?], queue()?);
        let faulty = Report { put: true, fault: Some("it broke".to_owned()), ..Report::default() };
        reports.put(&[&serde_json::to_vec(&faulty)?], Wait::No)?;
        let shape = Shape { producers: 1, consumers: 1 };
        let patience = Duration::from_millis(1);
        let mut crew = Crew { shape, team: Team::default(), jobs, reports, patience };
        let job = Job { how: How::OneByOne, size: 8, messages: 1, pair: None };
        let fault = crew.measure(job).expect_err("one of them failed").to_string();
        assert!(fault.contains("it broke"), "{fault}");
        Ok(())
    }
}
