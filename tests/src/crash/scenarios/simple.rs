//! One put or one get, or a batch of them, by a process that is alone with the queue.

use std::cell::RefCell;

use ipcq_core::{Batch, Limit, QueueOptions, Wait};

use crate::crash::{Cell, How, Message, Scenario, message, survey};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        put("put_empty", 8, 0, 64),
        put("put_behind_others", 8, 5, 1000),
        put("put_capacity_1", 1, 0, 64),
        put("put_full", 1, 1, 64),
        put("put_growing", 8, 0, 200_000),
        put("put_mebibyte", 8, 1, 1 << 20),
        get("get", 8, 3, 64),
        get("get_empty", 8, 0, 64),
        get("get_capacity_1", 1, 1, 64),
        get("get_mebibyte", 8, 1, 1 << 20),
        Box::new(PutMany { name: "put_many", held: 0 }),
        Box::new(PutMany { name: "put_many_partly", held: 3 }),
        Box::new(GetMany { name: "get_many", held: 8 }),
        Box::new(GetMany { name: "get_many_few", held: 3 }),
    ]
}

fn put(name: &'static str, capacity: usize, held: usize, len: usize) -> Box<dyn Scenario> {
    Box::new(Put { name, capacity, held, len, bytes: message(OWN, len).bytes() })
}

fn get(name: &'static str, capacity: usize, held: usize, len: usize) -> Box<dyn Scenario> {
    Box::new(Get { name, capacity, held, len, buffer: RefCell::new(vec![0xA5; len]) })
}

/// The number of the victim's message.
const OWN: u64 = 7;

/// Messages with the numbers 100 and up.
pub(in crate::crash) fn held(count: usize, len: usize) -> Vec<Message> {
    (100..).take(count).map(|id| message(id, len)).collect()
}

pub(in crate::crash) fn fill(cell: &Cell<'_>, messages: &[Message]) -> Result<(), String> {
    for message in messages {
        let put = cell.queue.put(&[&message.bytes()], Wait::No);
        put.map_err(|fault| format!("a put of the preparation says: {fault}"))?;
    }
    Ok(())
}

struct Put {
    name: &'static str,
    capacity: usize,
    /// Messages that are in the queue before.
    held: usize,
    /// Length of all.
    len: usize,
    /// The message, at the same place in every fork, so that all copy it alike.
    bytes: Vec<u8>,
}

impl Put {
    fn own(&self) -> Message {
        message(OWN, self.len)
    }
}

impl Scenario for Put {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> QueueOptions {
        QueueOptions::new().capacity(self.capacity)
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        fill(cell, &held(self.held, self.len.min(5000)))
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        // On a full queue it says so, and that is examined from outside.
        Box::new(move || drop(cell.queue.put(&[&self.bytes], Wait::No)))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let without = held(self.held, self.len.min(5000));
        let with = [&without[..], &[self.own()]].concat();
        if cell.queue.identity().capacity == self.held {
            return survey(cell, &[without]);
        }
        match how {
            How::Before => survey(cell, &[without]),
            How::Inside => survey(cell, &[without, with]),
            How::After => survey(cell, &[with]),
        }
    }
}

struct Get {
    name: &'static str,
    capacity: usize,
    held: usize,
    len: usize,
    /// Where the message goes: the same place in every fork.
    buffer: RefCell<Vec<u8>>,
}

impl Scenario for Get {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> QueueOptions {
        QueueOptions::new().capacity(self.capacity)
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        fill(cell, &held(self.held, self.len))
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let mut bytes = self.buffer.borrow_mut();
        // From an empty queue it gets nothing, and that is examined from outside.
        Box::new(move || drop(cell.queue.get(&mut bytes, Wait::No)))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let all = held(self.held, self.len);
        let rest = all.iter().skip(1).copied().collect();
        match how {
            How::Before => survey(cell, &[all]),
            How::Inside => survey(cell, &[all, rest]),
            How::After => survey(cell, &[rest]),
        }
    }
}

/// A batch of eight messages.
struct PutMany {
    name: &'static str,
    held: usize,
}

const BATCH: usize = 8;

fn batch() -> Vec<Message> {
    (1000..).take(BATCH).map(|id| message(id, 40)).collect()
}

impl Scenario for PutMany {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        fill(cell, &held(self.held, 64))
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let mut all = Batch::new();
        for message in batch() {
            all.push(&message.bytes());
        }
        Box::new(move || drop(cell.queue.put_many(&all, 0, Wait::No)))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let fit = BATCH.min(cell.queue.identity().capacity - self.held);
        let with = |count: usize| [&held(self.held, 64)[..], &batch()[..count]].concat();
        match how {
            How::Before => survey(cell, &[with(0)]),
            How::Inside => survey(cell, &(0..=fit).map(with).collect::<Vec<_>>()),
            How::After => survey(cell, &[with(fit)]),
        }
    }
}

struct GetMany {
    name: &'static str,
    held: usize,
}

impl Scenario for GetMany {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        fill(cell, &held(self.held, 64))
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let mut taken = Batch::new();
        taken.try_reserve(BATCH, 1 << 16).expect("some memory");
        Box::new(move || drop(cell.queue.get_many(&mut taken, Limit::messages(BATCH), Wait::No)))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let without = |count: usize| held(self.held, 64)[count..].to_vec();
        match how {
            How::Before => survey(cell, &[without(0)]),
            How::Inside => survey(cell, &(0..=self.held).map(without).collect::<Vec<_>>()),
            How::After => survey(cell, &[without(self.held)]),
        }
    }
}
