//! A putter is killed in the middle of a huge message, and then who gives its memory back (Q15).

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ipcq_core::{Channel, QueueOptions, Transport, Wait};

use super::cell::Cell;
use super::helper::Helper;
use super::ledger::{Message, message};
use super::survey::{RECLAIM, SPARE_BYTES, survey};
use super::watchdog::stage;

const HUGE: Message = message(99, 96 << 20);
/// How much of the message has memory when its putter dies; the last one is when it has been reserved.
const DEATHS: [usize; 5] = [1 << 20, 20 << 20, 50 << 20, 80 << 20, 96 << 20];
const LIMIT: Duration = Duration::from_secs(10);

/// Kills a putter at several depths of a message, then one who gives back its memory, in the middle of that; what was
/// there before is there, and nothing else is kept.
///
/// # Errors
/// What is wrong.
pub fn huge(transport: &dyn Transport, directory: &Path) -> Result<String, String> {
    let (bytes, mut tidying, mut slowest) = (HUGE.bytes(), 0, Duration::ZERO);
    for (number, depth) in DEATHS.into_iter().enumerate() {
        stage(number, 20);
        let mut cell = Cell::new(transport, directory, &QueueOptions::new().capacity(20))?;
        let held: Vec<Message> = (0..4).map(|id| message(id, 5000)).collect();
        for message in &held {
            cell.queue.put(&[&message.bytes()], Wait::No).map_err(|fault| fault.to_string())?;
        }
        let failed = |error: std::io::Error| error.to_string();
        let putter = Helper::start(|| drop(cell.queue.put(&[&bytes], Wait::Forever))).map_err(failed)?;
        wait_until(&cell, |storage| storage >= cell.empty_bytes + depth as u64)?;
        putter.kill().map_err(failed)?;
        tidying += usize::from(kill_in_the_middle_of_tidying(&cell)?);
        take_turns(&*cell.queue, &held)?;
        // A later message has the number that the dead putter's would have had, and stays: it must not keep the memory.
        given_back(&cell).map_err(|fault| format!("killed at {depth} bytes: {fault}"))?;
        let whole = [&held[..], &[HUGE]].concat();
        survey(&mut cell, &[held, whole]).map_err(|fault| format!("killed at {depth} bytes: {fault}"))?;
        slowest = slowest.max(cell.slowest);
        cell.clear()?;
    }
    Ok(format!("huge: deaths={} tidying={tidying} slowest={slowest:.1?}", DEATHS.len()))
}

/// Starts somebody who gives memory back, and kills it when it has given some; whether it had not given all.
fn kill_in_the_middle_of_tidying(cell: &Cell<'_>) -> Result<bool, String> {
    let before = storage(cell)?;
    if before <= cell.empty_bytes + (2 << 20) {
        // The kernel undoes the system call in which the putter died.
        return Ok(false);
    }
    let look = || {
        while cell.queue.stat().is_ok() {
            std::thread::yield_now();
        }
    };
    let tidier = Helper::start(look).map_err(|error| error.to_string())?;
    let given = |now| now < before - (before - cell.empty_bytes) / 8;
    wait_until(cell, given)?;
    tidier.kill().map_err(|error| error.to_string())?;
    Ok(storage(cell)? > cell.empty_bytes + (2 << 20))
}

/// Takes every message and puts it again, while there is still memory to give back.
fn take_turns(queue: &dyn Channel, held: &[Message]) -> Result<(), String> {
    let mut bytes = Vec::new();
    for message in held {
        queue.get(&mut bytes, Wait::timeout(LIMIT)).map_err(|fault| format!("a get says: {fault}"))?;
        let got = Message::read(&bytes)?;
        if got != *message {
            return Err(format!("{got:?} came in the place of {message:?}"));
        }
        queue.put(&[&bytes], Wait::timeout(LIMIT)).map_err(|fault| format!("a put says: {fault}"))?;
    }
    Ok(())
}

/// Waits until all but a little has been given back, though there are messages.
fn given_back(cell: &Cell<'_>) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let stat = cell.queue.stat().map_err(|error| format!("stat says: {error}"))?;
        if stat.bytes <= cell.empty_bytes + SPARE_BYTES {
            return Ok(());
        }
        if begin.elapsed() > RECLAIM {
            return Err(format!("{} bytes in use with {} short messages", stat.bytes, stat.len));
        }
        std::thread::yield_now();
    }
}

fn wait_until(cell: &Cell<'_>, reached: impl Fn(u64) -> bool) -> Result<(), String> {
    let begin = Instant::now();
    while !reached(storage(cell)?) {
        if begin.elapsed() > LIMIT {
            return Err(format!("{} bytes in use after {LIMIT:?}", storage(cell)?));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// What the queue's file takes, without a word to the queue.
fn storage(cell: &Cell<'_>) -> Result<u64, String> {
    let metadata = std::fs::metadata(cell.memory()).map_err(|error| error.to_string())?;
    Ok(metadata.blocks() * 512)
}
