//! `bench`: throughput and round trips between real processes, beside `crossbeam-channel` between threads, or for
//! queues over pipes beside pipes without anything around them, and exchanges over sockets beside Unix sockets.
//!
//! The processes are started before anything is measured and wait for jobs; queue and reference take turns, so
//! that what else the machine does hits both; each number is the median of its repetitions, and each ratio the median
//! of the repetitions' ratios; and every message that arrives is checked.

mod picture;
mod reference;
mod report;

use std::cell::RefCell;
use std::process::Command;
use std::time::Duration;

use ipcq_cli::measure::job::{How, Waiting};
use ipcq_cli::measure::placement::{Pair, Processors};
use ipcq_cli::measure::{Crew, Fault, Job, Measured, Shape, Work, calibrated, divisible};
use ipcq_core::Transport;

use self::picture::Target;
use self::reference::Reference;
use self::report::Results;
use super::worker;
use crate::args::{BenchArgs, Format, Role};
use crate::backend::{self, Backends};
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;
use crate::output::print;
use crate::progress::Progress;

/// How many messages a batch has.
const BATCH: usize = 64;
/// How many threads of a process put or get at a time where that is measured.
const THREADS: usize = 8;
/// The messages in a queue or a batch take no more memory than this, in bytes.
const MOST_MEMORY: usize = 256 << 20;
/// How many messages, of each producer to each consumer, show roughly how fast it goes.
const FIRST_TRY: usize = 2000;

pub(super) fn run(
    backends: &Backends,
    args: &BenchArgs,
    format: Format,
    diagnostics: &Diagnostics,
) -> Result<(), Failure> {
    let transports = backends.listed()?;
    let target = args.report.as_deref().map(Target::new).transpose()?;
    let (mut results, processors) = (Results::default(), Processors::here());
    let progress = RefCell::new(Progress::of_steps(steps(&transports, args), diagnostics));
    for transport in &transports {
        for size in args.sizes() {
            let bench =
                Bench { transport: &**transport, size, args, progress: &progress, processors: &processors };
            for shape in shapes(args) {
                bench.throughput(shape, &mut results)?;
            }
            if has_broker(args, &**transport) {
                bench.threads(&mut results)?;
            }
            for how in exchanges(has_broker(args, &**transport)) {
                bench.exchange(how, &mut results)?;
            }
        }
    }
    drop(progress);
    if let Some(target) = target {
        target.write(&results)?;
    }
    print(&results.shown(format)?)
}

/// How many repetitions there are of all that is measured.
fn steps(transports: &[Box<dyn Transport>], args: &BenchArgs) -> usize {
    let of_each = transports.iter().map(|transport| {
        let broker = has_broker(args, &**transport);
        shapes(args).len() + exchanges(broker).len() + usize::from(broker)
    });
    of_each.sum::<usize>() * args.sizes().len() * args.repetitions.get()
}

/// Whether to measure what is of interest where a broker answers each call, with the shapes that are the default.
fn has_broker(args: &BenchArgs, transport: &dyn Transport) -> bool {
    args.producers.is_none() && args.consumers.is_none() && backend::is_made_of_sockets(transport)
}

/// What is measured that has an end before the next begins.
fn exchanges(has_broker: bool) -> Vec<How> {
    let both = [Waiting::Busy, Waiting::Blocking];
    let calls = both.map(How::Call).into_iter().filter(|_| has_broker);
    both.map(How::RoundTrip).into_iter().chain(calls).collect()
}

/// One producer and one consumer, then four of each, unless the user says how many. A report shows two of each as well.
fn shapes(args: &BenchArgs) -> Vec<Shape> {
    match (args.producers, args.consumers) {
        (None, None) if args.report.is_some() => {
            [1, 2, 4].map(|number| Shape { producers: number, consumers: number }).to_vec()
        }
        (None, None) => [1, 4].map(|number| Shape { producers: number, consumers: number }).to_vec(),
        (producers, consumers) => {
            vec![Shape { producers: producers.unwrap_or(1), consumers: consumers.unwrap_or(1) }]
        }
    }
}

/// What is measured with messages of one size on one transport.
struct Bench<'a> {
    transport: &'a dyn Transport,
    size: usize,
    args: &'a BenchArgs,
    progress: &'a RefCell<Progress>,
    processors: &'a Processors,
}

impl Bench<'_> {
    fn throughput(&self, shape: Shape, results: &mut Results) -> Result<(), Failure> {
        let (mut crew, mut beside) = (self.crew(shape)?, self.reference(shape)?);
        let (one_by_one, batches) = (self.job(How::OneByOne), self.job(self.batches()));
        let one = self.calibrated(shape, one_by_one, |job| crew.measure(job))?;
        let many = self.calibrated(shape, batches, |job| crew.measure(job))?;
        let other = match &mut beside {
            Some(beside) => self.calibrated(shape, one_by_one, |job| beside.measure(shape, job))?,
            None => one_by_one,
        };
        let (mut ones, mut manys, mut besides) = (Vec::new(), Vec::new(), Vec::new());
        for repetition in 1..=self.args.repetitions.get() {
            self.progress(&format!("{}x{}", shape.producers, shape.consumers), repetition);
            let pair = self.pair(shape, repetition);
            ones.push(crew.measure(Job { pair, ..one })?.rate);
            if let Some(beside) = &mut beside {
                besides.push(beside.measure(shape, Job { pair, ..other })?.rate);
            }
            manys.push(crew.measure(Job { pair, ..many })?.rate);
        }
        crew.finish()?;
        let name = self.transport.name();
        let reference = beside.as_ref().map(|beside| (beside.name(), &*besides));
        results.add_throughput(name, shape, one, &ones, reference);
        results.add_throughput(name, shape, many, &manys, reference);
        beside.map_or(Ok(()), Reference::finish)
    }

    /// One by one, by several threads of two processes.
    fn threads(&self, results: &mut Results) -> Result<(), Failure> {
        let shape = Shape { producers: 1, consumers: 1 };
        let mut crew = self.crew(shape)?;
        let job = self.calibrated(shape, self.job(How::Threads(THREADS)), |job| crew.measure(job))?;
        let mut rates = Vec::new();
        for repetition in 1..=self.args.repetitions.get() {
            self.progress(&format!("{THREADS} threads each"), repetition);
            rates.push(crew.measure(job)?.rate);
        }
        crew.finish()?;
        results.add_throughput(self.transport.name(), shape, job, &rates, None);
        Ok(())
    }

    fn exchange(&self, how: How, results: &mut Results) -> Result<(), Failure> {
        let shape = Shape { producers: 1, consumers: 1 };
        let mut crew = self.crew(shape)?;
        let mut beside = match self.args.no_reference {
            true => None,
            false => {
                let (capacity, patience) = (self.capacity(), self.patience());
                Some(Reference::start_for(how, self.transport, self.size, capacity, patience)?)
            }
        };
        let job = self.calibrated(shape, self.job(how), |job| crew.measure(job))?;
        let (mut own, mut besides) = (Vec::new(), Vec::new());
        for repetition in 1..=self.args.repetitions.get() {
            self.progress(&how.to_string(), repetition);
            let job = Job { pair: self.pair(shape, repetition), ..job };
            own.push(crew.measure(job)?);
            if let Some(beside) = &mut beside {
                besides.push(beside.measure(shape, job)?);
            }
        }
        crew.finish()?;
        let reference = beside.as_ref().map(|beside| (beside.name(), &*besides));
        results.add_exchange(self.transport.name(), job, &own, reference);
        beside.map_or(Ok(()), Reference::finish)
    }

    /// What one measurement does, once it is known of how many messages.
    fn job(&self, how: How) -> Job {
        Job { how, size: self.size, messages: 0, pair: None }
    }

    /// Where a repetition runs that has one process on each side.
    fn pair(&self, shape: Shape, repetition: usize) -> Option<Pair> {
        let alone = shape == Shape { producers: 1, consumers: 1 };
        alone.then(|| self.processors.pair(repetition)).flatten()
    }

    /// The job with as many messages as take about as long as the user wants; also warms everything up.
    fn calibrated(
        &self,
        shape: Shape,
        job: Job,
        measure: impl FnMut(Job) -> Result<Measured, Fault>,
    ) -> Result<Job, Failure> {
        if let Some(messages) = self.args.messages {
            return Ok(Job { messages: divisible(messages.get(), shape), ..job });
        }
        let first = FIRST_TRY.min(self.fitting()) * shape.producers * shape.consumers;
        Ok(calibrated(job, shape, first, self.args.seconds, measure)?)
    }

    /// What is measured beside the queue, unless the user does not want to know.
    fn reference(&self, shape: Shape) -> Result<Option<Reference>, Failure> {
        if self.args.no_reference {
            return Ok(None);
        }
        Reference::start(self.transport, shape, self.size, self.capacity(), self.patience()).map(Some)
    }

    fn crew(&self, shape: Shape) -> Result<Crew, Failure> {
        let launch = launch(self.transport);
        Ok(Crew::start(self.transport, shape, self.size, self.capacity(), self.patience(), &launch)?)
    }

    /// How long one measurement may take.
    fn patience(&self) -> Duration {
        match self.args.messages {
            // Nobody can know how long that takes.
            Some(_) => Duration::from_secs(24 * 3600),
            None => Duration::from_secs(60) + Duration::from_secs_f64(self.args.seconds) * 20,
        }
    }

    /// How many messages of this size fit into the memory that is used.
    fn fitting(&self) -> usize {
        (MOST_MEMORY / self.size.max(1)).max(2)
    }

    fn capacity(&self) -> usize {
        ipcq_core::QueueOptions::DEFAULT_CAPACITY.min(self.fitting())
    }

    fn batches(&self) -> How {
        How::Batches(BATCH.min(self.fitting()))
    }

    fn progress(&self, what: &str, repetition: usize) {
        let (name, all) = (self.transport.name(), self.args.repetitions);
        let mut progress = self.progress.borrow_mut();
        progress.doing(format!("{name}, {} bytes, {what}: {repetition} of {all}", self.size));
        progress.advance(1);
    }
}

/// What starts a process of a benchmark.
fn launch(transport: &dyn Transport) -> impl Fn(Work, bool, usize) -> Command + '_ {
    move |work, puts, number| {
        let role = match (work, puts) {
            (Work::Queues, true) => Role::BenchProducer,
            (Work::Queues, false) => Role::BenchConsumer,
            (Work::Raw, true) => Role::RawProducer,
            (Work::Raw, false) => Role::RawConsumer,
        };
        worker::command(transport, role, number, 0)
    }
}
