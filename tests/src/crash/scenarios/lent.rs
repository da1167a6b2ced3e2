//! Messages that are built and read in place, by a process that is alone with the queue.

use std::cell::RefCell;

use ipcq_core::{Batch, Limit, Loan, Wait};

use crate::crash::{Cell, Helper, How, Message, Scenario, message, survey};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let new = |name, step| -> Box<dyn Scenario> {
        let buffer = RefCell::new(vec![0xA5; LEN + 100]);
        let mut batch = Batch::new();
        (0..4).for_each(|_| batch.push(&buffer.borrow()));
        batch.clear();
        Box::new(Lent { name, step, own: OWN.bytes(), buffer, batch: RefCell::new(batch) })
    };
    vec![
        new("lend_first", Step::LendFirst),
        new("lend_again", Step::Lend),
        new("lend_after_death", Step::LendAfterDeath),
        new("lent_put", Step::Put),
        new("lent_get", Step::Get),
        new("lent_copy", Step::Copy),
        new("lent_copy_many", Step::CopyMany),
        new("lent_drop_built", Step::DropBuilt),
        new("lent_drop_got", Step::DropGot),
    ]
}

/// More than a chunk of shared memory.
const LEN: usize = 70_000;
/// The victim's message.
const OWN: Message = message(7, LEN);
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Lends what nobody had before.
    LendFirst,
    /// Lends what was lent before.
    Lend,
    /// The same, of what a process has that died.
    LendAfterDeath,
    Put,
    Get,
    /// Gets by a call that copies.
    Copy,
    CopyMany,
    DropBuilt,
    DropGot,
}

struct Lent {
    name: &'static str,
    step: Step,
    own: Vec<u8>,
    /// Where copies go: the same place in every fork.
    buffer: RefCell<Vec<u8>>,
    batch: RefCell<Batch>,
}

fn built(cell: &Cell<'_>, bytes: &[u8]) -> Loan {
    let mut loan = cell.queue.loan(bytes.len()).expect("a loan");
    assert!(loan.is_in_place(), "it is not the queue's memory");
    loan.copy_from_slice(bytes);
    loan
}

fn put_built(cell: &Cell<'_>, bytes: &[u8]) {
    cell.queue.put_loan(&mut built(cell, bytes), Wait::No).expect("a put");
}

impl Lent {
    /// What is in the queue, all of it built in place.
    fn held(&self) -> Vec<Message> {
        let count = match self.step {
            Step::LendFirst | Step::Put => 0,
            Step::CopyMany => 3,
            _ => 1,
        };
        (100..).take(count).map(|id| message(id, LEN)).collect()
    }
}

impl Scenario for Lent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn varies(&self) -> bool {
        true
    }

    fn warm(&self, cell: &Cell<'_>) {
        cell.queue.put(&[&message(1, 64).bytes()], Wait::No).expect("a put");
        cell.queue.get(&mut Vec::with_capacity(4096), Wait::No).expect("a get");
        if self.step != Step::LendFirst {
            drop(built(cell, &self.own));
        }
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        self.held().iter().for_each(|message| put_built(cell, &message.bytes()));
        if self.step == Step::LendAfterDeath {
            let queue = cell.queue.clone();
            let borrower =
                Helper::start(|| std::mem::forget(queue.loan(LEN))).map_err(|error| error.to_string())?;
            borrower.join().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        // What it has it keeps until it dies.
        let mut has = None;
        match self.step {
            Step::LendFirst | Step::Lend | Step::LendAfterDeath => {
                Box::new(move || _ = has.insert(cell.queue.loan(LEN).expect("a loan")))
            }
            Step::Put => {
                let mut loan = built(cell, &self.own);
                Box::new(move || cell.queue.put_loan(&mut loan, Wait::No).expect("a put"))
            }
            Step::Get => Box::new(move || _ = has.insert(cell.queue.get_loan(Wait::No).expect("a get"))),
            Step::Copy => {
                let mut buffer = self.buffer.borrow_mut();
                Box::new(move || cell.queue.get(&mut buffer, Wait::No).expect("a get"))
            }
            Step::CopyMany => {
                let mut batch = self.batch.borrow_mut();
                Box::new(move || drop(cell.queue.get_many(&mut batch, Limit::messages(2), Wait::No)))
            }
            Step::DropBuilt => {
                let mut loan = built(cell, &self.own);
                Box::new(move || drop(std::mem::take(&mut loan)))
            }
            Step::DropGot => {
                put_built(cell, &self.own);
                let mut loan = cell.queue.get_loan(Wait::No).expect("a get");
                Box::new(move || drop(std::mem::take(&mut loan)))
            }
        }
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let held = self.held();
        let after = match self.step {
            Step::Put => vec![[&held[..], &[OWN]].concat()],
            Step::Get | Step::Copy => vec![held[1..].to_vec()],
            Step::CopyMany => vec![held[1..].to_vec(), held[2..].to_vec()],
            _ => vec![held.clone()],
        };
        let allowed = match how {
            How::Before => vec![held],
            How::Inside => [vec![held], after].concat(),
            How::After => after,
        };
        // Who borrows more than is free takes back what is over, and nothing else.
        let more: Vec<_> = (0..4).map(|_| cell.queue.loan(LEN).map_err(|fault| fault.to_string())).collect();
        more.into_iter().collect::<Result<Vec<_>, _>>()?;
        survey(cell, &allowed)
    }
}
