//! Runs one scenario: all that take part in it in turns, on one pair of processors after the other.

use std::time::Duration;

use ipcq_cli::measure::job::{How, Waiting};
use ipcq_cli::measure::placement::Processors;
use ipcq_cli::measure::{Fault, Job, Measured, Shape, calibrated, divisible};

use crate::contender::Running;
use crate::line;
use crate::options::Options;
use crate::results::{Entered, Outcome, Round};
use crate::scenario::{Entry, Scenario};

/// How many messages show roughly how fast it goes, and how many bytes they have at most.
const FIRST_TRY: usize = 2000;
const FIRST_BYTES: usize = 64 << 20;
/// The same where both sides fall asleep before each message.
const FIRST_ASLEEP: usize = 40;
/// How long one measurement may take, and how long when it is only tried.
const PATIENCE: Duration = Duration::from_secs(60);
const SHORT_PATIENCE: Duration = Duration::from_secs(20);

/// Somebody at the start.
struct Starter {
    entry: Entry,
    running: Box<dyn Running>,
    job: Job,
    measured: Vec<Measured>,
}

/// Measures `scenario`.
pub(crate) fn run(scenario: &Scenario, options: &Options) -> Outcome {
    let processors = Processors::here();
    let mut outcome = Outcome::new(scenario.id(), scenario.size);
    let mut starters = Vec::new();
    for entry in &scenario.entries {
        match start(*entry, scenario, options) {
            Ok(starter) => starters.push(starter),
            Err(fault) => outcome.broken.push(format!("{}: {fault}", entry.label())),
        }
    }
    for round in 0..options.rounds {
        let alone = scenario.shape == Shape { producers: 1, consumers: 1 };
        let pair = alone.then(|| processors.pair(round)).flatten();
        let line =
            processors.pair(round).map_or(0.0, |near| line::round_trip(near, options.messages.is_some()));
        outcome.rounds.push(Round {
            put: pair.map(|pair| pair.put),
            get: pair.map(|pair| pair.get),
            line_ns: line,
        });
        // Whoever is first in one round is last in the next: what one leaves behind hits all alike.
        let places = starters.len().max(1);
        for turn in 0..starters.len() {
            let at = (turn + round) % places;
            let Starter { running, job, measured, entry } = &mut starters[at];
            // Many callers in one process are not meant for one processor.
            let pair = pair.filter(|_| !matches!(job.how, How::Threads(_)));
            match running.measure(Job { pair, ..*job }) {
                Ok(one) => measured.push(one),
                Err(fault) => outcome.broken.push(format!("{}: {fault}", entry.label())),
            }
        }
        if !outcome.broken.is_empty() {
            break;
        }
    }
    for starter in starters {
        finish(starter, &mut outcome);
    }
    outcome
}

fn start(entry: Entry, scenario: &Scenario, options: &Options) -> Result<Starter, Fault> {
    let (shape, size) = (scenario.shape, scenario.size);
    let patience = if options.messages.is_some() { SHORT_PATIENCE } else { PATIENCE };
    let mut running = entry.contender.start(entry, shape, size, patience)?;
    let job = Job { how: entry.how, size, messages: 0, pair: None };
    let job = match options.messages {
        Some(messages) => Job { messages: divisible(messages, shape), ..job },
        None => {
            let pairs = shape.producers * shape.consumers;
            let asleep = matches!(entry.how, How::RoundTrip(Waiting::Asleep));
            let first = if asleep { FIRST_ASLEEP } else { FIRST_TRY.min(FIRST_BYTES / size.max(1)) };
            calibrated(job, shape, first.max(pairs), options.seconds, |job| running.measure(job))?
        }
    };
    Ok(Starter { entry, running, job, measured: Vec::new() })
}

fn finish(starter: Starter, outcome: &mut Outcome) {
    let Starter { entry, running, job, measured } = starter;
    if !outcome.broken.is_empty() {
        // Whoever waits for a message that does not come would not end by itself.
        drop(running);
    } else if let Err(fault) = running.finish() {
        outcome.broken.push(format!("{}: {fault}", entry.label()));
    }
    let float = |number: u64| Duration::from_nanos(number).as_secs_f64() * 1e9;
    let messages = f64::from(u32::try_from(job.messages).unwrap_or(u32::MAX)).max(1.0);
    let trips = matches!(job.how, How::RoundTrip(_));
    let value = |one: &Measured| if trips { float(one.p50) / 1000.0 } else { one.rate };
    // Threads of this process are not told apart from it.
    let busy = |one: &Measured| (one.busy > 0).then(|| float(one.busy) / messages);
    outcome.entered.push(Entered {
        label: entry.label(),
        messages: job.messages,
        values: measured.iter().map(value).collect(),
        p99_us: measured.iter().filter(|_| trips).map(|one| float(one.p99) / 1000.0).collect(),
        processor_ns: measured.iter().filter_map(busy).collect(),
    });
}
