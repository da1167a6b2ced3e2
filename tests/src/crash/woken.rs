//! A waiter that was woken and then stopped or killed does not keep others from going on (Q5).

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::{Channel, QueueOptions, Transport, Wait};

use super::board::board;
use super::cell::Cell;
use super::helper::{Helper, wait_for_change};
use super::ledger::message;
use super::stopwatch::Stopwatch;
use super::survey::survey;
use super::watchdog::stage;
use crate::stepper::{Event, Tracee, begin_marker, end_marker};

/// Another waiter goes on within 60 ms; the rest is for the scheduler of a busy machine.
const PROMPT: Duration = Duration::from_millis(60 + 25);
/// One that does not go on within this time has been forgotten.
const FORGOTTEN: Duration = Duration::from_secs(2);
const SECONDS: u32 = 20;

/// Lets `runs` pairs of processes wait for the same thing, and stops or kills (`end`) the one that is woken.
///
/// # Errors
/// What is wrong.
pub fn woken(transport: &dyn Transport, directory: &Path, end: &str, runs: usize) -> Result<String, String> {
    let log: &'static AtomicU64 = &board(1)[0];
    let (mut caught, mut waits) = (0, Vec::new());
    for run in 0..runs {
        stage(run, SECONDS);
        let pair = Pair { puts: run % 2 == 1, log };
        let (was_woken, waited) =
            pair.run(transport, directory, end == "kill").map_err(|fault| format!("run {run}: {fault}"))?;
        caught += usize::from(was_woken);
        waits.push(waited);
    }
    let late = waits.iter().filter(|waited| **waited > PROMPT).count();
    let longest = waits.iter().max().copied().unwrap_or_default();
    let said = format!("woken_{end}: runs={runs} caught={caught} late={late} longest={longest:.1?}");
    if late * 50 > runs { Err(format!("others waited too long: {said}")) } else { Ok(said) }
}

/// Two processes that wait: the first is traced.
#[derive(Clone, Copy)]
struct Pair {
    /// Whether they wait for room, not for a message.
    puts: bool,
    /// Where the second one says that it went on.
    log: &'static AtomicU64,
}

impl Pair {
    fn wait_once(self, queue: &dyn Channel) {
        if self.puts {
            queue.put(&[&message(9, 64).bytes()], Wait::Forever).expect("a put");
        } else {
            queue.get(&mut Vec::new(), Wait::Forever).expect("a get");
        }
    }

    /// Whether the traced process was woken first, and how long the other one took to go on.
    fn run(
        self,
        transport: &dyn Transport,
        directory: &Path,
        kill: bool,
    ) -> Result<(bool, Duration), String> {
        self.log.store(0, Ordering::SeqCst);
        let mut cell = Cell::new(transport, directory, &QueueOptions::new().capacity(1))?;
        if self.puts {
            cell.queue.put(&[b"in the way"], Wait::No).map_err(|fault| fault.to_string())?;
        }
        let fail = |error: std::io::Error| error.to_string();
        let mut first = self.start_first(&cell).map_err(fail)?;
        let queue = cell.queue.clone();
        let second = Helper::start(|| {
            self.wait_once(&*queue);
            self.log.store(1, Ordering::SeqCst);
        });
        let second = second.map_err(fail)?;
        self.await_both(&cell, &mut first, &second)?;
        let watch = Stopwatch::start_for(second.pid());
        let caught = self.let_one_go(&cell, &mut first).map_err(fail)?;
        let mut stopped = Some(first);
        if kill {
            stopped.take().map(Tracee::kill).transpose().map_err(fail)?;
        }
        wait_for_change(self.log, 0, FORGOTTEN)
            .ok_or_else(|| format!("the other waiter is not told (caught: {caught})"))?;
        let waited = watch.elapsed();
        drop(stopped);
        second.join().map_err(fail)?;
        if self.puts {
            cell.queue.get(&mut Vec::new(), Wait::No).map_err(|fault| fault.to_string())?;
        }
        survey(&mut cell, &[Vec::new()])?;
        cell.clear()?;
        Ok((caught, waited))
    }

    /// Starts the traced process and lets it sleep; it will stop at the end of each of its sleeps.
    fn start_first(self, cell: &Cell<'_>) -> std::io::Result<Tracee> {
        let mut first = Tracee::start(|| {
            begin_marker();
            self.wait_once(&*cell.queue);
            end_marker();
        })?;
        loop {
            if first.go_on(Some(()))? == Event::Asleep {
                let end_of_sleep = first.sleeps_at()?;
                first.interrupt()?;
                first.set_breakpoint(end_of_sleep)?;
                let event = first.go_on(Some(()))?;
                Self::until_asleep(&mut first, event)?;
                return Ok(first);
            }
        }
    }

    /// Until the queue knows of two waiters, and both sleep.
    fn await_both(self, cell: &Cell<'_>, first: &mut Tracee, second: &Helper) -> Result<(), String> {
        let deadline = Instant::now() + FORGOTTEN;
        let fail = |error: std::io::Error| error.to_string();
        loop {
            first.wait(true).and_then(|event| Self::until_asleep(first, event)).map_err(fail)?;
            let stat = cell.queue.stat().map_err(|error| error.to_string())?;
            let waiting = if self.puts { stat.waiting_putters } else { stat.waiting_getters };
            if waiting == 2 && second.is_asleep().map_err(fail)? {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("stat knows of {waiting} waiters of two"));
            }
        }
    }

    /// Until the traced process sleeps: at the end of each slice it stops, looks around, and sleeps again.
    fn until_asleep(first: &mut Tracee, mut event: Event) -> std::io::Result<()> {
        while event != Event::Asleep {
            event = first.go_on(Some(()))?;
        }
        Ok(())
    }

    /// Makes room, or puts a message, for one of the two. Whether it was the traced one that was woken: it is
    /// then stopped at the end of its sleep.
    fn let_one_go(self, cell: &Cell<'_>, first: &mut Tracee) -> std::io::Result<bool> {
        if self.puts {
            cell.queue
                .get(&mut Vec::new(), Wait::No)
                .map_err(|fault| std::io::Error::other(fault.to_string()))?;
        } else {
            cell.queue
                .put(&[b"for one"], Wait::No)
                .map_err(|fault| std::io::Error::other(fault.to_string()))?;
        }
        let woken = first.wait(true)? != Event::Asleep;
        if !woken {
            first.interrupt()?;
        }
        Ok(woken)
    }
}
