//! Deaths of the last producer of a queue that closes by itself (clause Q19).

use std::time::Duration;

use ipcq_core::{GetFault, PutFault, QueueOptions, Wait};

use crate::crash::stopwatch::Stopwatch;
use crate::crash::{Cell, Helper, How, Message, Scenario, Visits, message};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(Leaving { name: "last_producer_puts", warm: true, act: Act::Put }),
        Box::new(Leaving { name: "last_producer_puts_first", warm: false, act: Act::Put }),
        Box::new(Leaving { name: "last_producer_registers", warm: false, act: Act::Register }),
        Box::new(Leaving { name: "last_producer_leaves", warm: true, act: Act::Unregister }),
    ]
}

#[derive(Clone, Copy)]
enum Act {
    Put,
    Register,
    Unregister,
}

struct Leaving {
    name: &'static str,
    /// Whether the process is a producer before it begins.
    warm: bool,
    act: Act,
}

const FIRST: Message = message(6, 64);
const OWN: Message = message(7, 64);
const LATER: Message = message(8, 64);
/// A getter that has not been told of the closing within this time will never be.
const FORGOTTEN: Duration = Duration::from_secs(2);
/// A getter of a queue that nobody closes waits at least this long.
const OPEN: Duration = Duration::from_millis(250);

impl Scenario for Leaving {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> QueueOptions {
        QueueOptions::new().capacity(8).auto_close(true)
    }

    fn visits(&self, _: usize) -> Visits {
        // Each death is noticed by a probe, tens of milliseconds later.
        Visits::Edges
    }

    fn warm(&self, cell: &Cell<'_>) {
        if self.warm {
            cell.queue.put(&[&FIRST.bytes()], Wait::No).expect("a first put");
        }
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let bytes = OWN.bytes();
        match self.act {
            Act::Put => Box::new(move || cell.queue.put(&[&bytes], Wait::No).expect("a put")),
            Act::Register => Box::new(move || cell.queue.register_producer().expect("a registration")),
            Act::Unregister => Box::new(move || cell.queue.unregister_producer().expect("a leave")),
        }
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let was_producer = self.warm || how == How::After;
        let mut got = Vec::new();
        let watch = Stopwatch::start();
        let closed = loop {
            match next(cell, if was_producer { FORGOTTEN } else { OPEN })? {
                Next::Message(message) => got.push(message),
                Next::Closed => break true,
                Next::Nothing => break false,
            }
        };
        let puts = matches!(self.act, Act::Put);
        let mut expected = Vec::new();
        expected.extend(self.warm.then_some(FIRST));
        if puts && (how == How::After || how == How::Inside && got.contains(&OWN)) {
            expected.push(OWN);
        }
        if got != expected {
            return Err(format!("the getter got {got:?}, expected was {expected:?}"));
        }
        if closed {
            cell.wakes.push(watch.elapsed());
            return if how == How::Before && !self.warm {
                Err("it closed before anybody was a producer".to_owned())
            } else {
                refused(cell)
            };
        }
        if was_producer || !got.is_empty() {
            return Err(format!("the getter waits for ever, though the last producer died {how:?}"));
        }
        after_all(cell)
    }
}

/// The process died before it was a producer: the next one closes the queue when it ends.
fn after_all(cell: &mut Cell<'_>) -> Result<(), String> {
    let queue = cell.queue.clone();
    let producer = Helper::start(|| queue.put(&[&LATER.bytes()], Wait::No).expect("a later put"));
    producer.and_then(Helper::join).map_err(|error| error.to_string())?;
    match (next(cell, FORGOTTEN)?, next(cell, FORGOTTEN)?) {
        (Next::Message(message), Next::Closed) if message == LATER => refused(cell),
        other => Err(format!("after a later producer the getter is told {other:?}")),
    }
}

fn refused(cell: &Cell<'_>) -> Result<(), String> {
    match cell.queue.put(&[b"too late"], Wait::No) {
        Err(PutFault::Closed) => Ok(()),
        other => Err(format!("a put into the closed queue says {other:?}")),
    }
}

#[derive(Debug)]
enum Next {
    Message(Message),
    Closed,
    Nothing,
}

fn next(cell: &Cell<'_>, limit: Duration) -> Result<Next, String> {
    let mut bytes = Vec::new();
    match cell.queue.get(&mut bytes, Wait::timeout(limit)) {
        Ok(()) => Ok(Next::Message(Message::read(&bytes)?)),
        Err(GetFault::Closed) => Ok(Next::Closed),
        Err(GetFault::Timeout) => Ok(Next::Nothing),
        Err(fault) => Err(format!("the getter is told: {fault}")),
    }
}
