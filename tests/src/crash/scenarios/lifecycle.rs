//! Deaths of a process that makes, closes or removes a queue (clauses Q7, Q12, Q13).

use std::path::Path;

use ipcq_core::{Lifetime, OpenError, PutFault, QueueName, QueueOptions, RemoveError, Transport, Wait};

use super::simple::{fill, held};
use crate::crash::{Cell, How, Scenario, Visits, drain, survey};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    vec![Box::new(Close), Box::new(Create), Box::new(Remove)]
}

/// A close of a queue with messages in it.
struct Close;

impl Scenario for Close {
    fn name(&self) -> &'static str {
        "close"
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        fill(cell, &held(3, 64))
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        Box::new(move || cell.queue.close().expect("a close"))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let closed = cell.queue.is_closed().map_err(|error| error.to_string())?;
        if closed && how == How::Before || !closed && how == How::After {
            return Err(format!("is_closed says {closed} to a process that died {how:?}"));
        }
        if !closed {
            return survey(cell, &[held(3, 64)]);
        }
        let put = cell.queue.put(&[b"too late"], Wait::No);
        if !matches!(put, Err(PutFault::Closed)) {
            return Err(format!("a put into the closed queue says {put:?}"));
        }
        let drained = drain(&*cell.queue)?;
        (drained == (held(3, 64), true)).then_some(()).ok_or_else(|| format!("it held {drained:?}"))
    }
}

fn other() -> QueueName {
    QueueName::new("other").expect("a legal name")
}

fn left_over(cell: &Cell<'_>) -> Result<(), String> {
    let files = cell.files_now().map_err(|error| error.to_string())?;
    (files == cell.files)
        .then_some(())
        .ok_or_else(|| format!("left over: {files:?}, at first {:?}", cell.files))
}

/// The making of a second queue. Where queues end with their last process, the maker's death ends it whenever it
/// comes: for the next maker, or in a second variant for who collects garbage.
struct Create;

const COLLECT: usize = 1;

impl Scenario for Create {
    fn name(&self) -> &'static str {
        "create"
    }

    fn variants(&self, transport: &dyn Transport, _: &Path) -> Result<usize, String> {
        Ok(if transport.capabilities().lifetime == Lifetime::UntilRemoved { 1 } else { 1 + COLLECT })
    }

    fn visits(&self, _: usize) -> Visits {
        Visits::Edges
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let (name, options) = (other(), QueueOptions::new().capacity(5));
        Box::new(move || drop(cell.transport().create(&name, &options).expect("a second queue")))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let options = QueueOptions::new().capacity(5);
        let ended = !cell.outlives_processes();
        let queue = match cell.transport().open(&other()) {
            Ok(queue) if how != How::Before && !ended => queue,
            Err(OpenError::Missing { .. }) if how != How::After || ended => {
                is_listed(cell, false)?;
                if cell.variant == COLLECT {
                    cell.transport().collect_garbage().map_err(|error| error.to_string())?;
                }
                if !ended || cell.variant == COLLECT {
                    left_over(cell)?;
                }
                let made = cell.transport().create(&other(), &options);
                made.map_err(|error| format!("the next create says: {error}"))?
            }
            outcome => return Err(format!("open says {outcome:?} after a creator died {how:?}")),
        };
        is_listed(cell, true)?;
        if queue.identity().capacity != 5 {
            return Err(format!("the new queue is {:?}", queue.identity()));
        }
        queue.put(&[b"works"], Wait::No).map_err(|fault| format!("the new queue says: {fault}"))?;
        cell.transport().remove(&other()).map_err(|error| error.to_string())?;
        left_over(cell)
    }
}

fn is_listed(cell: &Cell<'_>, expected: bool) -> Result<(), String> {
    let names = cell.transport().list().map_err(|error| error.to_string())?;
    (names.contains(&other()) == expected).then_some(()).ok_or_else(|| format!("list says {names:?}"))
}

/// The removal of a second queue, which another handle still has open.
struct Remove;

impl Scenario for Remove {
    fn name(&self) -> &'static str {
        "remove"
    }

    fn visits(&self, _: usize) -> Visits {
        Visits::Edges
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        let made = cell.transport().create(&other(), &QueueOptions::new());
        let queue = made.map_err(|error| error.to_string())?;
        queue.put(&[b"to be discarded"], Wait::No).map_err(|fault| fault.to_string())?;
        cell.others.push(queue);
        Ok(())
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let name = other();
        Box::new(move || cell.transport().remove(&name).expect("a removal"))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        match cell.transport().remove(&other()) {
            Ok(()) if how != How::After => {}
            Err(RemoveError::Missing { .. }) if how != How::Before => {}
            outcome => return Err(format!("remove says {outcome:?} after a remover died {how:?}")),
        }
        left_over(cell)?;
        let open = cell.transport().open(&other());
        if !matches!(open, Err(OpenError::Missing { .. })) {
            return Err(format!("the removed queue opens: {open:?}"));
        }
        for queue in &cell.others {
            match queue.len() {
                Err(error) if error.is_gone() => {}
                outcome => return Err(format!("who has it open is told {outcome:?}")),
            }
        }
        survey(cell, &[Vec::new()])
    }
}
