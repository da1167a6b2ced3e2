//! Deaths of a process that holds deliveries, or settles them (clause Q20).

use std::cell::{Cell as Variable, RefCell};
use std::path::Path;
use std::sync::Arc;

use ipcq_core::{Channel, DeliveryTag, QueueName, QueueOptions, Transport, Wait};

use super::simple::{fill, held};
use crate::crash::{Cell, Helper, How, Message, Scenario, Visits, drain, message, survey};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let new = |name, before, act, len| -> Box<dyn Scenario> {
        let buffer = RefCell::new(vec![0xA5; len]);
        Box::new(Delivered { name, before, act, len, tag: Variable::new(None), buffer })
    };
    vec![
        new("deliver", Before::Nothing, Act::Deliver, 64),
        new("deliver_long", Before::Nothing, Act::Deliver, 200_000),
        new("deliver_again", Before::GaveBack, Act::Deliver, 64),
        new("deliver_of_a_dead_holder", Before::Died, Act::Deliver, 64),
        new("take", Before::Nothing, Act::Take, 64),
        new("take_again", Before::GaveBack, Act::Take, 64),
        new("acknowledge", Before::Holds, Act::Acknowledge, 64),
        new("give_back", Before::Holds, Act::GiveBack, 64),
        new("bury", Before::Holds, Act::Bury, 64),
    ]
}

/// What became of the first message before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// It is in the queue as it was put.
    Nothing,
    /// The process had it, and gave it back.
    GaveBack,
    /// The process holds it.
    Holds,
    /// Another process held it, and died.
    Died,
}

/// What the process does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Deliver,
    /// A get that takes it for good.
    Take,
    Acknowledge,
    GiveBack,
    /// Gives it back once too often.
    Bury,
}

struct Delivered {
    name: &'static str,
    before: Before,
    act: Act,
    /// The length of the first message.
    len: usize,
    /// What the process holds.
    tag: Variable<Option<DeliveryTag>>,
    /// Where the message goes: the same place in every fork.
    buffer: RefCell<Vec<u8>>,
}

const OTHERS: usize = 2;

impl Delivered {
    fn first(&self) -> Message {
        message(7, self.len)
    }

    fn put_first(&self, cell: &Cell<'_>) {
        cell.queue.put(&[&self.first().bytes()], Wait::No).expect("room for a first message");
    }
}

fn deliver(cell: &Cell<'_>) -> DeliveryTag {
    cell.queue.get_delivery(&mut Vec::with_capacity(1 << 18), Wait::No).expect("the first message")
}

impl Scenario for Delivered {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> QueueOptions {
        let options = QueueOptions::new().capacity(8).acknowledged(true);
        if self.act == Act::Bury { options.max_redeliveries(0) } else { options }
    }

    /// After a burial, the survivor looks into either queue first.
    fn variants(&self, _: &dyn Transport, _: &Path) -> Result<usize, String> {
        Ok(if self.act == Act::Bury { 2 } else { 1 })
    }

    fn visits(&self, _: usize) -> Visits {
        if self.len > 64 { Visits::Edges } else { Visits::All }
    }

    fn warm(&self, cell: &Cell<'_>) {
        cell.queue.put(&[&message(1, 64).bytes()], Wait::No).expect("room for a first message");
        let tag = deliver(cell);
        if self.act == Act::Bury {
            // Opening the other queue for the first time takes tens of thousands of instructions, which leave nothing.
            cell.queue.give_back(&tag).expect("this process holds it");
            let dead = buried(cell).expect("the queue of the dead letters");
            drain(&*dead).expect("a dead letter");
        } else {
            cell.queue.acknowledge(&tag).expect("this process holds it");
        }
        match self.before {
            Before::Holds => {
                self.put_first(cell);
                self.tag.set(Some(deliver(cell)));
            }
            Before::GaveBack => {
                self.put_first(cell);
                cell.queue.give_back(&deliver(cell)).expect("this process holds it");
            }
            Before::Nothing | Before::Died => {}
        }
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        if matches!(self.before, Before::Nothing | Before::Died) {
            self.put_first(cell);
        }
        if self.before == Before::Died {
            let holder = Helper::start(|| {
                deliver(cell);
            })
            .map_err(|error| error.to_string())?;
            holder.join().map_err(|error| error.to_string())?;
        }
        fill(cell, &held(OTHERS, 64))
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let tag = self.tag.get();
        let held = move || tag.expect("what was handed out before");
        let mut bytes = self.buffer.borrow_mut();
        let queue = &cell.queue;
        match self.act {
            Act::Deliver => Box::new(move || {
                queue.get_delivery(&mut bytes, Wait::No).expect("a message");
            }),
            Act::Take => Box::new(move || queue.get(&mut bytes, Wait::No).expect("a message")),
            Act::Acknowledge => Box::new(move || queue.acknowledge(&held()).expect("it is held")),
            Act::GiveBack | Act::Bury => Box::new(move || queue.give_back(&held()).expect("it is held")),
        }
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let others = held(OTHERS, 64);
        let all = [&[self.first()][..], &others].concat();
        if self.act == Act::Bury {
            return examine_burial(cell, how, self.first(), &others);
        }
        let removes = matches!(self.act, Act::Take | Act::Acknowledge);
        match how {
            How::Inside if removes => survey(cell, &[all, others]),
            How::After if removes => survey(cell, &[others]),
            _ => survey(cell, &[all]),
        }
    }
}

/// The queue of the dead letters.
fn buried(cell: &Cell<'_>) -> Result<Arc<dyn Channel>, String> {
    let name = QueueName::new("cell.dead").map_err(|error| error.to_string())?;
    cell.transport().open(&name).map_err(|error| error.to_string())
}

/// The message is in exactly one of the two queues.
fn examine_burial(cell: &mut Cell<'_>, how: How, first: Message, others: &[Message]) -> Result<(), String> {
    let dead = buried(cell)?;
    let is_back = match cell.variant {
        0 => None,
        _ => Some(cell.queue.len().map_err(|error| error.to_string())? > others.len()),
    };
    let (buried, closed) = drain(&*dead)?;
    if is_back.is_some_and(|is_back| is_back == (buried.len() == 1)) {
        return Err(format!("it is back: {is_back:?}, and {buried:?} are buried"));
    }
    let expected = match (how, &buried[..]) {
        _ if closed => return Err("the dead letters are closed".to_owned()),
        (How::Inside | How::After, [one]) if *one == first => others.to_vec(),
        (How::Before | How::Inside, []) => [&[first][..], others].concat(),
        _ => return Err(format!("{buried:?} are buried")),
    };
    survey(cell, &[expected])?;
    let (more, _) = drain(&*dead)?;
    if more.is_empty() { Ok(()) } else { Err(format!("{more:?} were buried later")) }
}
