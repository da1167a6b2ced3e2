//! Processes that are stopped, not killed, in the middle of an operation (Q5, Q6, Q7, Q15).

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::{GetFault, PutFault, Transport, Wait};

use super::board::board;
use super::cell::Cell;
use super::ledger::{Message, drain, message};
use super::scenarios::{fill, held};
use super::survey::survey;
use super::visit::{How, Scenario, record, start};
use super::watchdog::stage;
use crate::stepper::{Event, Target, Trace, reach};

/// How long a call that does not wait may wait for a stopped participant.
const TRY: Duration = Duration::from_millis(10);
/// The deadline that calls are given.
const DEADLINE: Duration = Duration::from_millis(30);
/// How late a call may return on a busy machine, nearly always.
const SLACK: Duration = Duration::from_millis(15);
/// And without exception.
const LIMIT: Duration = Duration::from_millis(500);
/// How many boundaries are visited beside those where something changes.
const BETWEEN: usize = 30;
const SECONDS: u32 = 20;
const HELD: usize = 4;
const OWN: Message = message(7, 64);

/// A put or a get whose outcome others see.
struct Watched {
    puts: bool,
    outcome: &'static AtomicU64,
}

const DONE: u64 = 1;
const CLOSED: u64 = 2;
const OTHER: u64 = 3;

impl Scenario for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        self.outcome.store(0, Ordering::SeqCst);
        fill(cell, &held(HELD, 64))
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let bytes = OWN.bytes();
        let mut taken = Vec::with_capacity(4096);
        Box::new(move || {
            let outcome = if self.puts {
                match cell.queue.put(&[&bytes], Wait::Forever) {
                    Ok(()) => DONE,
                    Err(PutFault::Closed) => CLOSED,
                    Err(_) => OTHER,
                }
            } else {
                cell.queue.get(&mut taken, Wait::Forever).map_or(OTHER, |()| DONE)
            };
            self.outcome.store(outcome, Ordering::SeqCst);
        })
    }

    fn examine(&self, cell: &mut Cell<'_>, _: How) -> Result<(), String> {
        drain(&*cell.queue).map(|_| ())
    }
}

/// How long the calls of others took.
#[derive(Default)]
struct Times {
    /// How much longer than they may wait.
    excess: Vec<Duration>,
}

impl Times {
    fn measure<T>(&mut self, what: &str, allowed: Duration, call: impl FnOnce() -> T) -> Result<T, String> {
        let begin = Instant::now();
        let outcome = call();
        let excess = begin.elapsed().saturating_sub(allowed);
        self.excess.push(excess);
        if excess > LIMIT {
            return Err(format!("{what} took {excess:?} longer than {allowed:?}"));
        }
        Ok(outcome)
    }

    fn judge(&self) -> Result<String, String> {
        let late = self.excess.iter().filter(|excess| **excess > SLACK).count();
        let longest = self.excess.iter().max().copied().unwrap_or_default();
        let said = format!("calls={} late={late} longest={longest:.1?}", self.excess.len());
        if late * 50 > self.excess.len() {
            Err(format!("too many calls were late: {said}"))
        } else {
            Ok(said)
        }
    }
}

/// A run in which someone is stopped.
struct Run<'a> {
    transport: &'a dyn Transport,
    directory: &'a Path,
    watched: Watched,
    times: Times,
    busy: usize,
}

impl<'a> Run<'a> {
    fn new(transport: &'a dyn Transport, directory: &'a Path, puts: bool) -> Self {
        let watched = Watched { puts, outcome: &board(1)[0] };
        Self { transport, directory, watched, times: Times::default(), busy: 0 }
    }

    fn begin(&self) -> Result<(Cell<'a>, crate::stepper::Tracee), String> {
        let mut cell = Cell::new(self.transport, self.directory, &self.watched.options())?;
        let tracee = start(&self.watched, &cell, |cell| self.watched.act(cell))?;
        self.watched.prepare(&mut cell)?;
        Ok((cell, tracee))
    }

    fn record(&self) -> Result<Trace, String> {
        let (mut cell, mut tracee) = self.begin()?;
        let trace = record(&mut cell, &mut tracee, None)?;
        tracee.kill().map_err(|error| error.to_string())?;
        cell.clear()?;
        Ok(trace)
    }
}

/// Stops a put or a get (`operation`) at many instructions; calls of others that do not wait for ever return in
/// time, observers do not wait at all, and when the stopped process goes on, nothing is lost.
///
/// # Errors
/// What is wrong.
pub fn stopped(transport: &dyn Transport, directory: &Path, operation: &str) -> Result<String, String> {
    let mut run = Run::new(transport, directory, operation == "put");
    let trace = run.record()?;
    let (all, edges) = (trace.all(), trace.edges());
    let spread = all.len() / BETWEEN + 1;
    let some = all.iter().enumerate().filter(|(number, _)| number % spread == 0).map(|(_, target)| target);
    let targets: Vec<&Target> = edges.iter().chain(some).collect();
    for target in &targets {
        stage(target.index, SECONDS);
        run.stop_at(&trace, target).map_err(|fault| format!("boundary {}: {fault}", target.index))?;
    }
    let times = run.times.judge()?;
    Ok(format!("stopped_{operation}: boundaries={} busy={} {times}", targets.len(), run.busy))
}

impl Run<'_> {
    fn stop_at(&mut self, trace: &Trace, target: &Target) -> Result<(), String> {
        let (mut cell, mut tracee) = self.begin()?;
        let event = reach(&mut tracee, trace, target, None).map_err(|error| error.to_string())?;
        self.observe(&cell)?;
        let (put, got) = self.operate(&cell)?;
        self.observe(&cell)?;
        if event != Event::Ended {
            tracee.finish().map_err(|error| error.to_string())?;
        }
        if self.watched.outcome.load(Ordering::SeqCst) != DONE {
            return Err("the stopped process failed when it went on".to_owned());
        }
        let (rest, _) = drain(&*cell.queue)?;
        self.check(put, [got, rest].concat())?;
        survey(&mut cell, &[Vec::new()])?;
        cell.clear()
    }

    /// Everything that must not wait.
    fn observe(&mut self, cell: &Cell<'_>) -> Result<(), String> {
        let queue = &*cell.queue;
        let times = &mut self.times;
        let fail = |error| format!("an observer says: {error}");
        times.measure("len", Duration::ZERO, || queue.len())?.map_err(fail)?;
        times.measure("is_empty", Duration::ZERO, || queue.is_empty())?.map_err(fail)?;
        times.measure("is_full", Duration::ZERO, || queue.is_full())?.map_err(fail)?;
        times.measure("is_closed", Duration::ZERO, || queue.is_closed())?.map_err(fail)?;
        times.measure("stat", Duration::ZERO, || queue.stat())?.map_err(fail)?;
        Ok(())
    }

    /// A put and a get of each kind that does not wait for ever; what went in, and what came out.
    fn operate(&mut self, cell: &Cell<'_>) -> Result<(Vec<Message>, Vec<Message>), String> {
        let (mut put, mut got) = (Vec::new(), Vec::new());
        for (number, wait) in [false, true].into_iter().enumerate() {
            let allowed = if wait { DEADLINE } else { TRY };
            let limit = || if wait { Wait::timeout(DEADLINE) } else { Wait::No };
            let own = message(900 + number as u64, 64);
            let bytes = own.bytes();
            match self.times.measure("a put", allowed, || cell.queue.put(&[&bytes], limit()))? {
                Ok(()) => put.push(own),
                Err(PutFault::Timeout) if wait => self.busy += 1,
                Err(PutFault::Busy) if !wait => self.busy += 1,
                Err(fault) => return Err(format!("a put beside a stopped process says: {fault}")),
            }
            let mut bytes = Vec::new();
            match self.times.measure("a get", allowed, || cell.queue.get(&mut bytes, limit()))? {
                Ok(()) => got.push(Message::read(&bytes)?),
                Err(GetFault::Timeout) if wait => self.busy += 1,
                Err(GetFault::Busy) if !wait => self.busy += 1,
                Err(fault) => return Err(format!("a get beside a stopped process says: {fault}")),
            }
        }
        Ok((put, got))
    }

    /// All that was put came out in order, with the message of the stopped process somewhere, or without the one
    /// that it took.
    fn check(&self, put: Vec<Message>, mut out: Vec<Message>) -> Result<(), String> {
        let mut expected = [held(HELD, 64), put].concat();
        if self.watched.puts {
            let own = out.iter().position(|message| *message == OWN);
            out.remove(own.ok_or("the message of the stopped process is lost")?);
        } else {
            let taken = (0..expected.len()).find(|&at| out.get(at) != Some(&expected[at]));
            expected.remove(taken.ok_or("the stopped process took nothing")?);
        }
        (out == expected).then_some(()).ok_or_else(|| format!("{out:?} came out of {expected:?}"))
    }
}

/// Stops a put at every instruction, closes and drains the queue, and lets the put go on: it says `Closed`, or its
/// message was among those drained, and nothing comes after the end.
///
/// # Errors
/// What is wrong.
pub fn closed_under(transport: &dyn Transport, directory: &Path) -> Result<String, String> {
    let mut run = Run::new(transport, directory, true);
    let trace = run.record()?;
    let targets = trace.all();
    let (mut refused, mut drained_first) = (0, 0);
    for target in &targets {
        stage(target.index, SECONDS);
        let (late, first) =
            run.close_at(&trace, target).map_err(|fault| format!("boundary {}: {fault}", target.index))?;
        refused += usize::from(late);
        drained_first += usize::from(first);
    }
    let times = run.times.judge()?;
    let boundaries = targets.len();
    Ok(format!(
        "closed_under: boundaries={boundaries} refused={refused} drained_first={drained_first} {times}"
    ))
}

impl Run<'_> {
    /// Whether the put was refused, and whether the queue was drained before it went on.
    fn close_at(&mut self, trace: &Trace, target: &Target) -> Result<(bool, bool), String> {
        let (cell, mut tracee) = self.begin()?;
        let event = reach(&mut tracee, trace, target, None).map_err(|error| error.to_string())?;
        let queue = &*cell.queue;
        let closed = self.times.measure("close", Duration::ZERO, || queue.close())?;
        closed.map_err(|error| format!("close says: {error}"))?;
        // A putter does not stand in the way of getters, so the end can be seen while it is stopped.
        let (mut content, first) = drain(queue)?;
        if event != Event::Ended {
            tracee.finish().map_err(|error| error.to_string())?;
        }
        let (after, end) = drain(queue)?;
        if first && !after.is_empty() || !end {
            return Err(format!("{after:?} came after the end of a closed queue (closed: {end})"));
        }
        content.extend(after);
        let outcome = self.watched.outcome.load(Ordering::SeqCst);
        let mut expected = held(HELD, 64);
        match outcome {
            DONE => expected.push(OWN),
            CLOSED => {}
            _ => return Err("the put says neither Ok nor Closed".to_owned()),
        }
        if content != expected {
            return Err(format!("{content:?} came out, {expected:?} was put"));
        }
        cell.clear()?;
        Ok((outcome == CLOSED, first))
    }
}
