//! Processes that put and get, some of which are stopped for a while, wherever they are (Q5, Q15): the calls of others that
//! have a deadline, or do not wait, are not late, and afterwards nothing is lost, not even what the stopped had in
//! their hands.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use ipcq_core::{QueueOptions, Transport};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Random, Storm};
use crate::crash::cell::Cell;
use crate::crash::survey::survey;
use crate::crash::watchdog::stage;

/// How long a process is stopped: a call of another that waited for it would be late by about as much.
pub(super) const STOPPED: Duration = Duration::from_millis(600);
/// Time between two stops.
const PAUSE: Duration = Duration::from_millis(60);

/// Stops one process after the other, for `length`, on a queue of `capacity` messages in the subdirectory `queues` of
/// `directory`.
///
/// # Errors
/// What is wrong with the accounts, with the time that calls took, or with the queue afterwards.
pub fn stops(
    transport: &dyn Transport,
    directory: &Path,
    capacity: usize,
    length: Duration,
) -> Result<String, String> {
    let queues = directory.join("queues");
    let mut cell = Cell::new(transport, &queues, &QueueOptions::new().capacity(capacity))?;
    let mut storm = Storm::gather(transport.name(), directory, capacity, 0)?;
    storm.start(true, true)?;
    storm.start(false, true)?;
    let stops = storm.stop_some(length)?;
    storm.end(&cell)?;
    let accounts = storm.accounts()?;
    survey(&mut cell, &[Vec::new()])?;
    cell.clear()?;
    Ok(format!("stops_{capacity}: stops={stops} {accounts}"))
}

impl Storm<'_> {
    /// Stops one process after the other, and lets each go on later; returns how many.
    fn stop_some(&mut self, length: Duration) -> Result<usize, String> {
        let begin = Instant::now();
        let mut random = Random::new(self.seed);
        let (mut stopped, mut stops) = (VecDeque::new(), 0);
        while begin.elapsed() < length {
            stage(stops, 20);
            self.replace_ended()?;
            let victim = &self.workers[random.below(self.workers.len())];
            let pid = pid_of(victim.child.id());
            if !victim.judges && stopped.iter().all(|(stopped, _)| *stopped != pid) {
                signal(pid, Signal::SIGSTOP)?;
                stopped.push_back((pid, Instant::now() + STOPPED));
                stops += 1;
            }
            std::thread::sleep(PAUSE);
            while stopped.front().is_some_and(|(_, end)| *end <= Instant::now()) {
                stopped.pop_front().map_or(Ok(()), |(pid, _)| signal(pid, Signal::SIGCONT))?;
            }
        }
        stopped.into_iter().try_for_each(|(pid, _)| signal(pid, Signal::SIGCONT))?;
        Ok(stops)
    }
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap_or(0))
}

fn signal(pid: Pid, signal: Signal) -> Result<(), String> {
    kill(pid, signal).map_err(|errno| format!("{signal} for {pid}: {errno}"))
}
