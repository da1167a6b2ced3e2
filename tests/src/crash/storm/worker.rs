//! A process of a storm: it puts or gets until it is killed.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ipcq_core::{Batch, Channel, GetFault, Limit, Loan, PutFault, Transport, Wait};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::log::{Log, MOST_MESSAGES, Slot};
use super::standing::Way;
use super::stops::STOPPED;
use super::{LOG, Random, queue_name};
use crate::crash::ledger::{Message, message};

/// The number of a message that tells a consumer to end.
pub(super) const LAST: Message = message(u64::MAX, 16);
/// How many messages a batch has at most.
const BATCH: usize = 16;

/// How late a call may return that has a deadline or does not wait, beyond what it stood in line for a processor: less than
/// others are stopped.
const LATE: Duration = STOPPED.checked_div(2).expect("a divisor that is not 0");

/// Takes part in the storm in `directory` as process `number`: `put` or `get`, or the same as one that judges how long
/// its calls take.
///
/// # Errors
/// What is wrong.
pub fn work(
    transport: &dyn Transport,
    directory: &Path,
    role: &str,
    number: usize,
    slots: usize,
) -> Result<String, String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| error.to_string())?;
    let log = Log::open(&directory.join(LOG), slots).map_err(|error| error.to_string())?;
    let queue = transport.open(&queue_name()).map_err(|error| format!("open: {error}"))?;
    let random = Random::new(number as u64);
    let judge = role.starts_with("judge-").then(|| Judge(Way::of(transport)));
    match role {
        "put" | "judge-puts" => Producer { log, queue: &*queue, number, random, judge }.run(),
        "get" | "judge-gets" => {
            Consumer { log, queue: &*queue, number, random, judge, last: HashMap::new() }.run()
        }
        other => Err(format!("there is no role {other}")),
    }?;
    Ok(String::new())
}

/// The message `number` of the process `producer`; its length follows from that.
fn storm_message(producer: usize, number: usize) -> Message {
    let id = (producer as u64) << 32 | number as u64;
    let mut random = Random::new(id);
    let longest = match random.below(1000) {
        0..2 => return message(id, 1 << 20),
        2..60 => 100 << 10,
        60..400 => 4 << 10,
        _ => 200,
    };
    message(id, 8 + random.below(longest))
}

/// One of the three waiting forms.
fn some_wait(random: &mut Random) -> Wait {
    match random.below(3) {
        0 => Wait::No,
        1 => Wait::timeout(Duration::from_millis(3)),
        _ => Wait::Forever,
    }
}

/// Judges how long calls take.
struct Judge(Way);

/// A call that is judged.
struct Call<'a> {
    judge: &'a Judge,
    stood: Duration,
    begin: Instant,
}

impl Judge {
    fn begin(&self) -> Call<'_> {
        Call { judge: self, stood: self.0.stood(), begin: Instant::now() }
    }
}

impl Call<'_> {
    /// Fails if the call took longer than `wait` allows.
    fn end(&self, what: &str, wait: Wait) -> Result<(), String> {
        let late = match wait {
            Wait::No => self.begin.elapsed(),
            Wait::Until(deadline) => deadline.max(self.begin).elapsed(),
            Wait::Forever => return Ok(()),
        };
        if late <= LATE {
            return Ok(());
        }
        let stood = self.judge.0.stood().saturating_sub(self.stood);
        let of_that = format!("{stood:?} of that in line for processors");
        if late > LATE + stood {
            Err(format!("{what} with {wait:?} was {late:?} late, {of_that}"))
        } else {
            Ok(())
        }
    }
}

struct Producer<'a> {
    log: Log,
    queue: &'a dyn Channel,
    number: usize,
    random: Random,
    judge: Option<Judge>,
}

impl Producer<'_> {
    fn run(mut self) -> Result<(), String> {
        let slot = self.log.slot(self.number);
        let mut next = 0;
        while !self.log.is_stopped() && next < MOST_MESSAGES - BATCH {
            let count = if self.random.below(4) == 0 { 1 + self.random.below(BATCH) } else { 1 };
            slot.begin(next, next + count);
            let done = self.put(next, count)?;
            slot.returned(next, next + done);
            next += done;
        }
        Ok(())
    }

    /// Puts `count` messages, half of the single ones built in place; returns how many went in.
    fn put(&mut self, next: usize, count: usize) -> Result<usize, String> {
        let (wait, in_place) = (some_wait(&mut self.random), self.random.below(2) == 0);
        let call = self.judge.as_ref().map(Judge::begin);
        let (done, outcome) = if count == 1 {
            let outcome = self.put_one(&storm_message(self.number, next).bytes(), in_place, wait);
            (usize::from(outcome.is_ok()), outcome)
        } else {
            let mut batch = Batch::new();
            for number in next..next + count {
                batch.push(&storm_message(self.number, number).bytes());
            }
            self.queue.put_many(&batch, 0, wait)
        };
        call.map_or(Ok(()), |call| call.end("a put", wait))?;
        match outcome {
            Ok(()) if done != count => Err(format!("a batch of {count} returned after {done}")),
            Ok(()) | Err(PutFault::Full | PutFault::Busy | PutFault::Timeout) => Ok(done),
            Err(fault) => Err(format!("a put says: {fault}")),
        }
    }
}

impl Producer<'_> {
    fn put_one(&self, bytes: &[u8], in_place: bool, wait: Wait) -> Result<(), PutFault> {
        if !in_place {
            return self.queue.put(&[bytes], wait);
        }
        let mut loan = self.queue.loan(bytes.len())?;
        loan.copy_from_slice(bytes);
        self.queue.put_loan(&mut loan, wait)
    }
}

struct Consumer<'a> {
    log: Log,
    queue: &'a dyn Channel,
    number: usize,
    random: Random,
    judge: Option<Judge>,
    /// The last message of each producer.
    last: HashMap<usize, usize>,
}

impl Consumer<'_> {
    fn run(mut self) -> Result<(), String> {
        let slot = self.log.slot(self.number);
        let (mut batch, mut operations) = (Batch::new(), 0);
        loop {
            let most = if self.random.below(4) == 0 { BATCH } else { 1 };
            batch.clear();
            slot.call(most);
            let got = self.get(&mut batch, most)?;
            let mut last = false;
            slot.in_hand(batch.len());
            for (noted, bytes) in batch.iter().enumerate() {
                last |= self.note(bytes, slot.called())?;
                slot.in_hand(batch.len() - 1 - noted);
            }
            slot.in_hand(0);
            operations += usize::from(got);
            slot.done(operations);
            if last {
                return Ok(());
            }
        }
    }

    /// Gets a message, half of the times in place, or a batch; returns whether anything was there.
    fn get(&mut self, batch: &mut Batch, most: usize) -> Result<bool, String> {
        let (wait, in_place) = (some_wait(&mut self.random), self.random.below(2) == 0);
        let call = self.judge.as_ref().map(Judge::begin);
        let outcome = if most == 1 {
            self.get_one(in_place, wait).map(|bytes| batch.push(&bytes))
        } else {
            self.queue.get_many(batch, Limit::messages(most), wait).map(|_| ())
        };
        call.map_or(Ok(()), |call| call.end("a get", wait))?;
        match outcome {
            Ok(()) => Ok(true),
            Err(GetFault::Empty | GetFault::Busy | GetFault::Timeout) => Ok(false),
            Err(fault) => Err(format!("a get says: {fault}")),
        }
    }

    fn get_one(&self, in_place: bool, wait: Wait) -> Result<Loan, GetFault> {
        if in_place {
            return self.queue.get_loan(wait);
        }
        let mut bytes = Vec::new();
        self.queue.get(&mut bytes, wait)?;
        Ok(bytes.into())
    }

    /// Checks one message and marks it; whether it is the one that ends this process.
    fn note(&mut self, bytes: &[u8], called: u32) -> Result<bool, String> {
        let got = Message::read(bytes)?;
        if got == LAST {
            return Ok(true);
        }
        let (producer, number) = (part(got.id >> 32), part(got.id & u64::from(u32::MAX)));
        if producer >= self.log.slots() || got != storm_message(producer, number) {
            return Err(format!("invented: {got:?}"));
        }
        let slot: Slot = self.log.slot(producer);
        if number >= slot.begun() {
            return Err(format!("message {number} of {producer} was got before it was put"));
        }
        if !slot.mark(number, called) {
            return Err(format!("message {number} of {producer} was delivered twice"));
        }
        match self.last.insert(producer, number) {
            Some(before) if before >= number => Err(format!("{number} of {producer} came after {before}")),
            _ => Ok(false),
        }
    }
}

fn part(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}
