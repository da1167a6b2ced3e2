//! Deaths of a process that meets another one in the middle of its operation: stopped there, or dead.

use std::cell::OnceCell;
use std::path::Path;

use ipcq_core::{QueueOptions, Transport, Wait};

use super::simple::{fill, held};
use crate::crash::visit::{record, start};
use crate::crash::{Cell, How, Message, Scenario, Visits, drain, message, survey};
use crate::stepper::{Event, Target, Trace, reach};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let new = |name, first, second, dead| -> Box<dyn Scenario> {
        let (first, second) = (Side(first), Side(second));
        let bytes = [message(7, first.len()).bytes(), message(8, second.len()).bytes()];
        Box::new(Meeting { name, first, second, bytes, dead, trace: OnceCell::new() })
    };
    vec![
        new("recover_put_put", "put", "put", true),
        new("recover_put_get", "put", "get", true),
        new("recover_get_put", "get", "put", true),
        new("recover_get_get", "get", "get", true),
        new("recover_growing_growing", "grow", "grow", true),
        new("recover_long_long", "long", "long", true),
        new("recover_lend_lend", "lend", "lend", true),
        new("recover_lend_put", "lend", "put", true),
        new("recover_place_place", "place", "place", true),
        new("recover_place_get", "place", "get", true),
        new("recover_deliver_deliver", "deliver", "deliver", true),
        new("recover_take_deliver", "take", "deliver", true),
        new("recover_deliver_take", "deliver", "take", true),
        new("await_put_put", "put", "put", false),
        new("await_get_get", "get", "get", false),
    ]
}

/// What one of the two does.
#[derive(Clone, Copy)]
struct Side(&'static str);

impl Side {
    fn puts(self) -> bool {
        !matches!(self.0, "get" | "deliver" | "take" | "lend")
    }

    /// Whether what it gets is gone, whoever dies.
    fn takes(self) -> bool {
        matches!(self.0, "get" | "take")
    }

    /// Whether it needs a queue whose messages are acknowledged.
    fn is_acknowledged(self) -> bool {
        matches!(self.0, "deliver" | "take")
    }

    /// Whether what it puts or would put is built in place.
    fn lends(self) -> bool {
        matches!(self.0, "lend" | "place")
    }

    fn len(self) -> usize {
        match self.0 {
            // Beyond what the storage of any backend has when it is empty.
            "grow" => 150_000,
            // Beyond that of a backend with small blocks.
            "long" => 12_000,
            // What is built in place.
            "lend" | "place" => 70_000,
            _ => 64,
        }
    }

    fn act<'a>(self, cell: &'a Cell<'_>, bytes: &'a [u8], wait: Wait) -> Box<dyn FnMut() + 'a> {
        let mut taken = Vec::with_capacity(4096);
        let mut has = None;
        if self.0 == "lend" {
            Box::new(move || _ = has.insert(cell.queue.loan(bytes.len()).expect("a loan")))
        } else if self.0 == "place" {
            let mut loan = cell.queue.loan(bytes.len()).expect("a loan");
            loan.copy_from_slice(bytes);
            Box::new(move || cell.queue.put_loan(&mut loan, wait).expect("a put"))
        } else if self.0 == "deliver" {
            Box::new(move || {
                cell.queue.get_delivery(&mut taken, wait).expect("a get");
            })
        } else if self.puts() {
            Box::new(move || cell.queue.put(&[bytes], wait).expect("a put"))
        } else {
            Box::new(move || cell.queue.get(&mut taken, wait).expect("a get"))
        }
    }
}

/// The first process stops or dies at the end of each stretch that leaves the same state, one per variant; the
/// second one goes on from there and dies at each boundary.
struct Meeting {
    name: &'static str,
    first: Side,
    second: Side,
    /// What each of them puts, at the same place in every fork.
    bytes: [Vec<u8>; 2],
    dead: bool,
    trace: OnceCell<Met>,
}

/// The first process's operation, and where it stops.
struct Met {
    trace: Trace,
    stops: Vec<Target>,
}

const HELD: usize = 4;

impl Meeting {
    fn own(&self, second: bool) -> Message {
        let side = if second { self.second } else { self.first };
        message(if second { 8 } else { 7 }, side.len())
    }

    fn met(&self) -> &Met {
        self.trace.get().expect("variants are counted first")
    }

    fn bring_first(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        let mut first = start(self, cell, |cell| self.first.act(cell, &self.bytes[0], Wait::No))?;
        fill(cell, &held(HELD, 64))?;
        let stop = &self.met().stops[cell.variant];
        let event = reach(&mut first, &self.met().trace, stop, None);
        if event.map_err(|error| error.to_string())? == Event::Ended {
            return Err(format!("the first process took another way, not to {stop:?}"));
        }
        if self.dead {
            return first.kill().map_err(|error| error.to_string());
        }
        cell.stopped.push(first);
        Ok(())
    }
}

/// Lets the stopped process finish.
fn release(cell: &mut Cell<'_>) {
    for first in cell.stopped.drain(..) {
        first.finish().expect("the first process finishes");
    }
}

impl Scenario for Meeting {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> QueueOptions {
        QueueOptions::new().capacity(8).acknowledged(self.first.is_acknowledged())
    }

    fn varies(&self) -> bool {
        self.first.is_acknowledged() || self.first.lends()
    }

    fn warm(&self, cell: &Cell<'_>) {
        cell.queue.put(&[&message(1, 64).bytes()], Wait::No).expect("a put");
        cell.queue.get(&mut Vec::with_capacity(4096), Wait::No).expect("a get");
        if self.first.lends() {
            drop(cell.queue.loan(self.first.len()).expect("a loan"));
        }
    }

    fn variants(&self, transport: &dyn Transport, directory: &Path) -> Result<usize, String> {
        let begin = || {
            let cell = Cell::new(transport, directory, &self.options())?;
            let first = start(self, &cell, |cell| self.first.act(cell, &self.bytes[0], Wait::No))?;
            fill(&cell, &held(HELD, 64))?;
            Ok::<_, String>((cell, first))
        };
        // Once without looking, so that nothing is done for the first time later.
        let (cell, first) = begin()?;
        first.finish().map_err(|error| error.to_string())?;
        drain(&*cell.queue)?;
        cell.clear()?;
        let (mut cell, mut first) = begin()?;
        let trace = record(&mut cell, &mut first, None)?;
        first.kill().map_err(|error| error.to_string())?;
        cell.clear()?;
        let ends = |target: &Target| {
            let next = trace.points.get(target.index + 1);
            next.is_some_and(|next| next.state != trace.points[target.index].state)
        };
        // A few stops, each come to many times: by the way that cannot fail.
        let surely = |target: Target| Target { approach: trace.slow_approach(&target), ..target };
        // Each of these takes seconds: a holder's way is long.
        let step = if self.first.is_acknowledged() { 4 } else { 1 };
        let ends = trace.edges().into_iter().filter(ends);
        let stops: Vec<Target> = ends.step_by(step).map(surely).collect();
        let count = stops.len();
        self.trace.set(Met { trace, stops }).map_err(|_| "counted twice".to_owned())?;
        Ok(count)
    }

    fn visits(&self, variant: usize) -> Visits {
        // Every boundary once, with the first process in the middle of its operation.
        let middle = variant == self.met().stops.len() / 2;
        if middle && self.dead && !self.first.is_acknowledged() { Visits::All } else { Visits::Edges }
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        self.bring_first(cell)
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        self.second.act(cell, &self.bytes[1], Wait::Forever)
    }

    fn wake(&self) -> Option<fn(&mut Cell<'_>)> {
        (!self.dead).then_some(release)
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let finished = !cell.stopped.is_empty() || !self.dead;
        release(cell);
        let mut allowed = Vec::new();
        for first in [false, true] {
            for second in [false, true] {
                let first_right = first || !finished;
                let second_right = match how {
                    How::Before => !second,
                    How::Inside => true,
                    How::After => second,
                };
                if first_right && second_right {
                    allowed.extend(self.contents(first, second));
                }
            }
        }
        survey(cell, &allowed)
    }
}

impl Meeting {
    /// What is in the queue when the operations of the first and the second process took effect or not.
    fn contents(&self, first: bool, second: bool) -> Vec<Vec<Message>> {
        let sides = [(self.first, first, self.own(false)), (self.second, second, self.own(true))];
        let gets = sides.iter().filter(|(side, done, _)| *done && side.takes()).count();
        let done = |(side, done, own): &(Side, bool, Message)| (*done && side.puts()).then_some(*own);
        let put: Vec<Message> = sides.iter().filter_map(done).collect();
        let content = |put: &[Message]| [&held(HELD, 64)[gets..], put].concat();
        let turned: Vec<Message> = put.iter().rev().copied().collect();
        // The second can overtake the first before that has begun in earnest.
        if put.len() == 2 { vec![content(&put), content(&turned)] } else { vec![content(&put)] }
    }
}
