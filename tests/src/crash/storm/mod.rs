//! Processes that put and get, of which one is killed every 10 ms (Q15).

mod accounts;
mod log;
mod standing;
mod stops;
mod worker;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipcq_core::{QueueName, QueueOptions, Transport, Wait};

use super::cell::Cell;
use super::survey::survey;
use super::watchdog::stage;
use accounts::{Death, Span, audit};
use log::Log;
use standing::Standing;
pub use stops::stops;
pub use worker::work;

/// The name of the log file, in the directory that holds the queue's directory.
const LOG: &str = "log";
const PRODUCERS: usize = 8;
const CONSUMERS: usize = 8;
/// Time between two deaths.
const PAUSE: Duration = Duration::from_millis(10);
/// After a death some survivor must complete an operation within this much time that is theirs, nearly always: time
/// in which they stand in line for a processor is not.
const PROMPT: Duration = Duration::from_millis(100);
/// And within this time without exception.
const LIMIT: Duration = Duration::from_secs(1);
/// How long the processes may take to come to an end.
const ENDING: Duration = Duration::from_secs(30);

fn queue_name() -> QueueName {
    QueueName::new("cell").expect("a legal name")
}

/// A small generator of numbers that look random (splitmix64), the same for the same seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }
}

/// One process of the storm.
struct Worker {
    child: Child,
    number: usize,
    puts: bool,
    /// Whether it judges how long its calls take, and so is left alone.
    judges: bool,
}

/// A storm and everyone in it.
struct Storm<'a> {
    transport: &'static str,
    directory: &'a Path,
    log: Log,
    workers: Vec<Worker>,
    started: usize,
    seed: u64,
    slots: usize,
    /// Consumers that were killed.
    deaths: Vec<Death>,
    /// How long it took after each death until some survivor completed an operation.
    pauses: Vec<Duration>,
}

/// Runs a storm on a queue of `capacity` messages in the subdirectory `queues` of `directory`.
///
/// # Errors
/// What is wrong with the accounts, or with the queue afterwards.
pub fn storm(
    transport: &dyn Transport,
    directory: &Path,
    capacity: usize,
    length: Duration,
) -> Result<String, String> {
    let queues = directory.join("queues");
    let mut cell = Cell::new(transport, &queues, &QueueOptions::new().capacity(capacity))?;
    let kills = usize::try_from(length.as_millis() / PAUSE.as_millis()).unwrap_or(usize::MAX);
    let mut storm = Storm::gather(transport.name(), directory, capacity, kills)?;
    storm.rage(length)?;
    storm.end(&cell)?;
    let accounts = storm.accounts()?;
    survey(&mut cell, &[Vec::new()])?;
    cell.clear()?;
    Ok(format!("storm_{capacity}: {} {accounts}", storm.promptness()?))
}

impl<'a> Storm<'a> {
    /// Starts everyone; about `kills` of them will die.
    fn gather(
        transport: &'static str,
        directory: &'a Path,
        capacity: usize,
        kills: usize,
    ) -> Result<Self, String> {
        let slots = 4 * (kills + PRODUCERS + CONSUMERS);
        let log = Log::open(&directory.join(LOG), slots).map_err(|error| error.to_string())?;
        log.start();
        let mut storm = Self {
            transport,
            directory,
            log,
            workers: Vec::new(),
            started: 0,
            seed: capacity as u64,
            slots,
            deaths: Vec::new(),
            pauses: Vec::new(),
        };
        for number in 0..PRODUCERS + CONSUMERS {
            storm.start(number < PRODUCERS, false)?;
        }
        Ok(storm)
    }
}

impl Storm<'_> {
    fn start(&mut self, puts: bool, judges: bool) -> Result<(), String> {
        let number = self.started;
        self.started += 1;
        if number >= self.slots {
            return Err("too many processes ended by themselves".to_owned());
        }
        let role = match (puts, judges) {
            (true, false) => "put",
            (false, false) => "get",
            (true, true) => "judge-puts",
            (false, true) => "judge-gets",
        };
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["storm-worker", role, &number.to_string(), &self.slots.to_string(), self.transport]);
        command.arg(self.directory).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| error.to_string())?;
        self.workers.push(Worker { child, number, puts, judges });
        Ok(())
    }

    /// Kills and replaces one process after the other.
    fn rage(&mut self, length: Duration) -> Result<(), String> {
        let begin = Instant::now();
        let mut random = Random::new(self.seed);
        let mut next = begin;
        while begin.elapsed() < length {
            next += PAUSE;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            stage(self.pauses.len(), 20);
            self.replace_ended()?;
            let victim = random.below(self.workers.len());
            let mut worker = self.workers.swap_remove(victim);
            let before = self.operations();
            let standing = Standing::of(self.workers.iter().map(|worker| (worker.puts, worker.child.id())));
            kill(&mut worker)?;
            let death = Instant::now();
            if !worker.puts {
                let slot = self.log.slot(worker.number);
                let last = Span { from: slot.called(), to: self.log.now() };
                self.deaths.push(Death { last, most: slot.may_have_had() });
            }
            self.start(worker.puts, false)?;
            self.wait_for_progress(before, death, &standing)?;
        }
        Ok(())
    }

    /// Producers that have put as many messages as the log has room for end by themselves.
    fn replace_ended(&mut self) -> Result<(), String> {
        let mut ended = Vec::new();
        for (place, worker) in self.workers.iter_mut().enumerate() {
            match worker.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() && worker.puts => ended.push(place),
                Some(status) => return Err(format!("process {} ended with {status}", worker.number)),
                None => {}
            }
        }
        for place in ended.into_iter().rev() {
            let ended = self.workers.swap_remove(place);
            self.start(true, ended.judges)?;
        }
        Ok(())
    }

    /// Operations that the processes alive have completed.
    fn operations(&self) -> usize {
        self.workers.iter().map(|worker| self.log.slot(worker.number).count()).sum()
    }

    /// Waits for a survivor to complete an operation, and keeps how long that took of the time that was theirs.
    fn wait_for_progress(
        &mut self,
        before: usize,
        death: Instant,
        standing: &Standing,
    ) -> Result<(), String> {
        while self.operations() == before {
            if death.elapsed() > LIMIT && death.elapsed() > LIMIT + standing.since() {
                return Err(format!("no survivor completed an operation within {LIMIT:?}"));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        let elapsed = death.elapsed();
        let theirs = if elapsed > PROMPT { elapsed.saturating_sub(standing.since()) } else { elapsed };
        self.pauses.push(theirs);
        Ok(())
    }

    /// Lets the producers end, then the consumers, each by a last message.
    fn end(&mut self, cell: &Cell<'_>) -> Result<(), String> {
        self.log.stop();
        let deadline = Instant::now() + ENDING;
        while !self.workers.is_empty() {
            stage(self.pauses.len(), 20);
            if Instant::now() > deadline {
                let (puts, len) = (self.workers[0].puts, cell.queue.len());
                return Err(format!("some did not end (producer: {puts}), len is {len:?}"));
            }
            let producing = self.workers.iter().any(|worker| worker.puts);
            if !producing {
                let put = cell.queue.put(&[&worker::LAST.bytes()], Wait::timeout(Duration::from_millis(20)));
                if !matches!(put, Ok(()) | Err(ipcq_core::PutFault::Timeout)) {
                    return Err(format!("a last put says {put:?}"));
                }
            }
            self.bury_ended()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        self.drop_last_messages(cell)
    }

    fn bury_ended(&mut self) -> Result<(), String> {
        let mut place = 0;
        while place < self.workers.len() {
            let worker = &mut self.workers[place];
            match worker.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() => drop(self.workers.swap_remove(place)),
                Some(status) => return Err(format!("process {} ended with {status}", worker.number)),
                None => place += 1,
            }
        }
        Ok(())
    }

    /// Takes what was put for consumers that had ended already.
    fn drop_last_messages(&self, cell: &Cell<'_>) -> Result<(), String> {
        let (left, _) = super::ledger::drain(&*cell.queue)?;
        let strange: Vec<_> = left.iter().filter(|message| **message != worker::LAST).collect();
        // A consumer takes a batch in which the last message comes after others, never before.
        if strange.is_empty() { Ok(()) } else { Err(format!("left behind the last message: {strange:?}")) }
    }

    /// Every message whose put returned came once and in order, but what each dead consumer had in its hands.
    fn accounts(&self) -> Result<String, String> {
        let messages: Vec<_> = (0..self.started).map(|number| self.log.slot(number).passages()).collect();
        let balance = audit(&messages, &self.deaths)?;
        let in_hand: usize = self.deaths.iter().map(|death| death.most).sum();
        let dead = self.deaths.len();
        Ok(format!(
            "put={} got={} lost={} takers={} in_hand={in_hand} dead_consumers={dead}",
            balance.put, balance.got, balance.lost, balance.takers
        ))
    }

    fn promptness(&self) -> Result<String, String> {
        let late = self.pauses.iter().filter(|pause| **pause > PROMPT).count();
        let (kills, longest) = (self.pauses.len(), self.pauses.iter().max().copied().unwrap_or_default());
        let said = format!("kills={kills} late={late} longest={longest:.1?}");
        // One of a thousand may be late, and one of fewer too: a single case says nothing about a rate.
        if late > kills.div_ceil(1000) { Err(format!("too many pauses: {said}")) } else { Ok(said) }
    }
}

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // On the way out after a failure; the next line of defence is the death signal of each.
            kill(worker).ok();
        }
    }
}

fn kill(worker: &mut Worker) -> Result<(), String> {
    worker.child.kill().map_err(|error| error.to_string())?;
    worker.child.wait().map(|_| ()).map_err(|error| error.to_string())
}
