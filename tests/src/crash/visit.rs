//! Runs a scenario once for each boundary, with a death there.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use ipcq_core::{Channel, QueueOptions, Transport};

use super::cell::Cell;
use super::ledger::message;
use super::report::Report;
use super::watchdog::stage;
use crate::stepper::{Event, Target, Trace, Tracee, begin_marker, end_marker, reach};

/// How far the dead process had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It had not begun.
    Before,
    /// It was inside the operation.
    Inside,
    /// The operation had returned.
    After,
}

/// Which boundaries a scenario visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visits {
    /// All of them.
    All,
    /// Where what a death leaves behind changes: for scenarios in which a visit takes tens of milliseconds.
    Edges,
}

/// An operation under which a process dies, and what must be true afterwards.
pub trait Scenario {
    /// What the test is called.
    fn name(&self) -> &'static str;

    /// How many variants it has; the boundaries of all are visited, and [`Cell::variant`] tells them apart.
    ///
    /// # Errors
    /// When they cannot be counted.
    fn variants(&self, _transport: &dyn Transport, _directory: &Path) -> Result<usize, String> {
        Ok(1)
    }

    /// The queue; a small one by default, since survivors fill it.
    fn options(&self) -> QueueOptions {
        QueueOptions::new().capacity(8)
    }

    /// Whether the operation does not take the same way each time: it reads the clock, asks the kernel, or meets another process.
    fn varies(&self) -> bool {
        self.options().is_acknowledged()
    }

    /// Which boundaries are visited.
    fn visits(&self, _variant: usize) -> Visits {
        Visits::All
    }

    /// What the process does before stepping begins; one put and one get by default, so that nothing is done
    /// for the first time later.
    ///
    /// # Panics
    /// When it fails, as in the two below.
    fn warm(&self, cell: &Cell<'_>) {
        put(&*cell.queue, 1);
        get(&*cell.queue);
    }

    /// What the survivor does to the queue after that and before the operation.
    ///
    /// # Errors
    /// When it fails.
    fn prepare(&self, _cell: &mut Cell<'_>) -> Result<(), String> {
        Ok(())
    }

    /// The operation under which the process dies, ready to be called: what it needs is made here, before
    /// stepping begins.
    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a>;

    /// Wakes the process when the operation sleeps. By default it never sleeps.
    fn wake(&self) -> Option<fn(&mut Cell<'_>)> {
        None
    }

    /// Checks what is left.
    ///
    /// # Errors
    /// What is wrong.
    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String>;
}

/// How long one boundary may take before the watchdog ends the program.
const SECONDS: u32 = 20;
/// The kernel gives a dead owner's lock back at once; who looks by itself whether the owner lives takes a slice of
/// 50 ms. This lies between them.
const LAME: Duration = Duration::from_millis(25);
/// How often an operation that reads the clock is recorded at most, beyond the first time.
const RECORDINGS: usize = 20;
/// How often a boundary is tried that a process did not come to: it may have met others in another order.
const TRIES: usize = 4;

/// Kills a process at each boundary of `scenario`, and examines what is left each time.
///
/// # Errors
/// The first boundary at which something is wrong, and what.
pub fn visit(scenario: &dyn Scenario, transport: &dyn Transport, directory: &Path) -> Result<Report, String> {
    let begin = Instant::now();
    let mut report = Report { name: scenario.name(), ..Report::default() };
    stage(0, SECONDS);
    for variant in 0..scenario.variants(transport, directory)? {
        let mut run = Run { scenario, transport, directory, variant, report: &mut report };
        run.all().map_err(|fault| format!("{} {variant}: {fault}", scenario.name()))?;
    }
    report.took = begin.elapsed();
    Ok(report)
}

struct Run<'a> {
    scenario: &'a dyn Scenario,
    transport: &'a dyn Transport,
    directory: &'a Path,
    variant: usize,
    report: &'a mut Report,
}

impl<'a> Run<'a> {
    fn all(&mut self) -> Result<(), String> {
        self.rehearse()?;
        let trace = self.record()?;
        let targets = match self.scenario.visits(self.variant) {
            Visits::All => trace.all(),
            Visits::Edges => trace.edges(),
        };
        self.report.instructions = self.report.instructions.max(trace.len());
        self.report.states += trace.states();
        self.report.sleeps += trace.sleeps.len();
        for target in targets {
            let died = self.die_at(&trace, &target);
            died.map_err(|fault| format!("boundary {} of {}: {fault}", target.index, trace.len()))?;
        }
        for &index in &trace.sleeps {
            self.die_asleep(&trace, index).map_err(|fault| format!("asleep at boundary {index}: {fault}"))?;
        }
        Ok(())
    }

    /// One run that ends in the middle of a system call that sleeps.
    fn die_asleep(&mut self, trace: &Trace, index: usize) -> Result<(), String> {
        stage(index, SECONDS);
        let Some(wake) = self.scenario.wake() else { return Ok(()) };
        let (mut cell, mut tracee) = self.begin()?;
        let target = Target { index, approach: trace.break_for(index) };
        let event = reach(&mut tracee, trace, &target, Some(&mut || wake(&mut cell)));
        let mut event = event.map_err(|error| error.to_string())?;
        if event != Event::Ended {
            event = tracee.step(true).map_err(|error| error.to_string())?;
        }
        self.report.deaths_asleep += usize::from(event == Event::Asleep);
        self.finish(cell, tracee, if event == Event::Ended { How::After } else { How::Inside })?;
        Ok(())
    }

    fn begin(&self) -> Result<(Cell<'a>, Tracee), String> {
        let scenario = self.scenario;
        let mut cell = Cell::new(self.transport, self.directory, &scenario.options())?;
        cell.variant = self.variant;
        let tracee = start(scenario, &cell, |cell| scenario.act(cell))?;
        scenario.prepare(&mut cell)?;
        Ok((cell, tracee))
    }

    /// A death before the operation and one after it, so that this process has done everything once: what forks
    /// inherit from it is then the same for all of them.
    fn rehearse(&mut self) -> Result<(), String> {
        stage(0, SECONDS);
        let (cell, tracee) = self.begin()?;
        self.finish(cell, tracee, How::Before)?;
        let (mut cell, mut tracee) = self.begin()?;
        let mut event = tracee.go_on(self.scenario.wake().map(|_| ()));
        while let (Ok(Event::Asleep), Some(wake)) = (&event, self.scenario.wake()) {
            wake(&mut cell);
            event = tracee.wait(true);
        }
        event.map_err(|error| format!("rehearsing: {error}"))?;
        self.finish(cell, tracee, How::After)?;
        Ok(())
    }

    /// Kills the process, and looks at what is left; returns how long the slowest operation of a survivor took.
    fn finish(&mut self, mut cell: Cell<'_>, tracee: Tracee, how: How) -> Result<Duration, String> {
        tracee.kill().map_err(|error| error.to_string())?;
        let examined = self.scenario.examine(&mut cell, how);
        examined.map_err(|fault| format!("after it died {how:?}: {fault}"))?;
        let report = &mut *self.report;
        report.slowest = report.slowest.max(cell.slowest);
        report.wakes.extend(cell.wakes.iter().copied());
        // A scenario may have removed the queue.
        report.recoveries += cell.queue.stat().map_or(0, |stat| stat.recoveries);
        let slowest = cell.slowest;
        cell.clear()?;
        Ok(slowest)
    }

    /// One run to the end, step by step.
    ///
    /// Reading the clock begins again when the kernel moved it meanwhile, which it often has where each instruction takes
    /// microseconds, and never where none is traced. So an operation that varies is recorded until three runs agree
    /// in their length and none was shorter.
    fn record(&mut self) -> Result<Trace, String> {
        let mut shortest = self.record_once()?;
        if !self.scenario.varies() {
            return Ok(shortest);
        }
        let mut agree = 0;
        for _ in 0..RECORDINGS {
            let trace = self.record_once()?;
            if trace.len() < shortest.len() {
                (shortest, agree) = (trace, 0);
            } else if trace.len() == shortest.len() {
                agree += 1;
            }
            if agree == 2 {
                break;
            }
        }
        Ok(shortest)
    }

    fn record_once(&mut self) -> Result<Trace, String> {
        let (mut cell, mut tracee) = self.begin()?;
        let trace = record(&mut cell, &mut tracee, self.scenario.wake())?;
        self.finish(cell, tracee, How::After)?;
        Ok(trace)
    }

    /// One run to `target`, or a few: where it has others to meet on its way, and where a survivor was slow, which
    /// it may be once, on a busy machine, but not each time.
    fn die_at(&mut self, trace: &Trace, target: &Target) -> Result<(), String> {
        let meets_others = self.scenario.wake().is_some();
        let tries = if meets_others { TRIES } else { 2 };
        let (mut target, mut died, mut slow) = (*target, false, Duration::ZERO);
        for _ in 0..tries {
            stage(target.index, SECONDS);
            let (how, took) = self.try_to_die_at(trace, &target)?;
            if how == How::After {
                target.approach = trace.slow_approach(&target);
                continue;
            }
            died = true;
            slow = took;
            if took < LAME {
                break;
            }
        }
        self.report.boundaries += usize::from(died);
        self.report.missed += usize::from(!died);
        if slow < LAME { Ok(()) } else { Err(format!("a survivor stood still for {slow:?}, each time")) }
    }

    fn try_to_die_at(&mut self, trace: &Trace, target: &Target) -> Result<(How, Duration), String> {
        let (mut cell, mut tracee) = self.begin()?;
        let event = match self.scenario.wake() {
            None => reach(&mut tracee, trace, target, None),
            Some(wake) => reach(&mut tracee, trace, target, Some(&mut || wake(&mut cell))),
        };
        let event = event.map_err(|error| error.to_string())?;
        let how = match event {
            Event::Ended => How::After,
            _ if target.index == 0 => How::Before,
            _ => How::Inside,
        };
        let slowest = self.finish(cell, tracee, how)?;
        Ok((how, slowest))
    }
}

/// A process that has been warmed and stands before what `act` makes ready.
pub(super) fn start<'a>(
    scenario: &dyn Scenario,
    cell: &'a Cell<'_>,
    act: impl FnOnce(&'a Cell<'_>) -> Box<dyn FnMut() + 'a>,
) -> Result<Tracee, String> {
    let tracee = Tracee::start(|| {
        scenario.warm(cell);
        let mut act = act(cell);
        fill_allocator();
        begin_marker();
        act();
        end_marker();
    });
    tracee.map_err(|error| error.to_string())
}

/// Fills this thread's cache of free blocks, so that the allocator takes the same way whatever the parent had done before
/// the fork: a get that starts a thread allocates for that.
fn fill_allocator() {
    const SIZES: usize = 64;
    const CACHED: usize = 7;
    for size in (1..=SIZES).map(|n| 16 * n) {
        let blocks: [Vec<u8>; CACHED] = std::array::from_fn(|_| Vec::with_capacity(size));
        drop(std::hint::black_box(blocks));
    }
}

/// Records the operation of `tracee`, which `wake` wakes when it sleeps.
pub(super) fn record(
    cell: &mut Cell<'_>,
    tracee: &mut Tracee,
    wake: Option<fn(&mut Cell<'_>)>,
) -> Result<Trace, String> {
    stage(0, 6 * SECONDS);
    let cell = RefCell::new(cell);
    let mut states = States::default();
    let number = |tracee: &Tracee| states.number(&cell.borrow(), tracee);
    let trace = match wake {
        None => Trace::record(tracee, number, None),
        Some(wake) => Trace::record(tracee, number, Some(&mut || wake(&mut cell.borrow_mut()))),
    };
    trace.map_err(|error| format!("recording: {error}"))
}

/// Numbers the states that deaths leave: what is in the queue's files, which system calls have been made, and
/// what the kernel will find in the robust list.
#[derive(Default)]
struct States {
    number: usize,
    storage: Vec<u8>,
    robust: [u64; 3],
    was_call: bool,
}

impl States {
    fn number(&mut self, cell: &Cell<'_>, tracee: &Tracee) -> io::Result<usize> {
        const SYSCALL: u64 = 0x050F;
        let (storage, robust) = (cell.storage()?, tracee.robust_list()?);
        let first = self.storage.is_empty() && self.robust == [0; 3];
        if !first && (self.was_call || storage != self.storage || robust != self.robust) {
            self.number += 1;
        }
        (self.storage, self.robust) = (storage, robust);
        self.was_call = tracee.word(tracee.instruction_pointer()?)? & 0xFFFF == SYSCALL;
        Ok(self.number)
    }
}

fn put(queue: &dyn Channel, id: u64) {
    queue.put(&[&message(id, 16).bytes()], ipcq_core::Wait::No).expect("room for a first message");
}

fn get(queue: &dyn Channel) {
    let mut bytes = Vec::with_capacity(1 << 21);
    queue.get(&mut bytes, ipcq_core::Wait::No).expect("the first message");
}
