//! Consumers that have nothing to do are not woken for messages of others (Q5).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::{QueueOptions, Transport, Wait};

use super::board::board;
use super::cell::Cell;
use super::helper::{Helper, wait_for_change};
use super::ledger::message;
use super::survey::survey;
use super::watchdog::stage;

const CONSUMERS: usize = 8;
const LIMIT: Duration = Duration::from_secs(5);
/// How often a sleeper looks by itself: those wake-ups have a limit of their own.
const SLICE: Duration = Duration::from_millis(45);

/// Puts `puts` messages, each when all of the consumers sleep, and counts how often one of them woke.
///
/// # Errors
/// What is wrong.
pub fn idle(transport: &dyn Transport, directory: &Path, puts: usize) -> Result<String, String> {
    let got: &'static AtomicU64 = &board(1)[0];
    let mut cell = Cell::new(transport, directory, &QueueOptions::new())?;
    for _ in 0..CONSUMERS {
        let queue = cell.queue.clone();
        let consumer = Helper::start(|| {
            let mut bytes = Vec::with_capacity(4096);
            loop {
                queue.get(&mut bytes, Wait::Forever).expect("a get");
                got.fetch_add(1, Ordering::SeqCst);
            }
        });
        cell.helpers.push(consumer.map_err(|error| error.to_string())?);
    }
    all_asleep(&cell)?;
    let (before, begin) = (wake_ups(&cell)?, Instant::now());
    for put in 0..puts {
        stage(put, 20);
        let bytes = message(put as u64, 64).bytes();
        cell.queue.put(&[&bytes], Wait::No).map_err(|fault| fault.to_string())?;
        let arrived = wait_for_change(got, put as u64, LIMIT);
        arrived.ok_or_else(|| format!("message {put} did not arrive within {LIMIT:?}"))?;
        all_asleep(&cell)?;
    }
    let (woke, took) = (wake_ups(&cell)? - before, begin.elapsed());
    let slices = took.as_micros() / SLICE.as_micros() * CONSUMERS as u128;
    cell.helpers.clear();
    survey(&mut cell, &[Vec::new()])?;
    cell.clear()?;
    Ok(format!("idle: puts={puts} woke={woke} slices={slices} took={took:.1?}"))
}

/// Waits until each of the consumers sleeps.
fn all_asleep(cell: &Cell<'_>) -> Result<(), String> {
    cell.helpers.iter().try_for_each(Helper::wait_asleep).map_err(|error| error.to_string())
}

/// How often the kernel took the processor from the consumers because they wanted to sleep: once for each wake-up.
fn wake_ups(cell: &Cell<'_>) -> Result<u64, String> {
    let mut all = 0;
    for consumer in &cell.helpers {
        let status = fs::read_to_string(format!("/proc/{}/status", consumer.pid()));
        let status = status.map_err(|error| error.to_string())?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count: Option<u64> = count.and_then(|count| count.trim().parse().ok());
        all += count.ok_or("the kernel does not count context switches")?;
    }
    Ok(all)
}
