//! What a survivor checks after a death: clause Q15.

use std::time::{Duration, Instant};

use ipcq_core::{Channel, GetFault, PutFault, Wait};

use super::cell::Cell;
use super::ledger::{Message, drain, message};
use super::stopwatch::Stopwatch;

/// What a survivor puts first.
const FIRST: Message = message(1 << 40, 48);
/// No operation of a survivor may take longer than this, whatever the load of the machine.
const LIMIT: Duration = Duration::from_secs(1);
/// Storage may be this much above that of an empty queue.
pub(super) const SPARE_BYTES: u64 = 1 << 20;
/// Within this time what a dead process left must be reclaimed.
pub(super) const RECLAIM: Duration = Duration::from_millis(1_500);

/// Checks that the queue works within bounds, holds exactly one of the `allowed` contents, takes exactly as many
/// messages as its capacity, and keeps no more storage than an empty one.
///
/// # Errors
/// What is wrong.
pub fn survey(cell: &mut Cell<'_>, allowed: &[Vec<Message>]) -> Result<(), String> {
    let mut content = first_operation(cell)?;
    let queue = &*cell.queue;
    let (rest, closed) = drain(queue)?;
    content.extend(rest);
    if closed {
        return Err("it is closed, and nobody closed it".to_owned());
    }
    let before: Vec<Message> = content.iter().copied().filter(|m| *m != FIRST).collect();
    if content.iter().filter(|m| **m == FIRST).count() == 1 && content.last() != Some(&FIRST) {
        return Err(format!("the survivor's message overtook others: {content:?}"));
    }
    if !allowed.contains(&before) {
        return Err(format!("it held {before:?}, allowed was {allowed:?}"));
    }
    refill(queue)?;
    reclaimed(cell)
}

/// One operation, in time: a put where there is room, else a get, whose message it returns.
fn first_operation(cell: &mut Cell<'_>) -> Result<Vec<Message>, String> {
    let queue = &*cell.queue;
    let capacity = queue.identity().capacity;
    let len = queue.len().map_err(|error| format!("len: {error}"))?;
    let watch = Stopwatch::start();
    let mut taken = Vec::new();
    if len < capacity {
        let put = queue.put(&[&FIRST.bytes()], Wait::timeout(2 * LIMIT));
        put.map_err(|fault| format!("a survivor's put beside {len} messages says: {fault}"))?;
    } else {
        let mut bytes = Vec::new();
        let got = queue.get(&mut bytes, Wait::timeout(2 * LIMIT));
        got.map_err(|fault| format!("a survivor's get from {len} messages says: {fault}"))?;
        taken.push(Message::read(&bytes)?);
    }
    let took = watch.elapsed();
    cell.slowest = cell.slowest.max(took);
    if took > LIMIT {
        return Err(format!("a survivor's first operation took {took:?}"));
    }
    let after = cell.queue.len().map_err(|error| format!("len: {error}"))?;
    let expected = if taken.is_empty() { len + 1 } else { len - 1 };
    if after != expected {
        return Err(format!("len was {len}, and is {after} after the survivor's operation"));
    }
    Ok(taken)
}

/// Fills the empty queue to its exact capacity, and empties it again.
fn refill(queue: &dyn Channel) -> Result<(), String> {
    let capacity = queue.identity().capacity;
    let wanted: Vec<Message> = (0..capacity as u64).map(|n| message(FIRST.id + 1 + n, 16)).collect();
    expect_len(queue, 0)?;
    for (n, message) in wanted.iter().enumerate() {
        let put = queue.put(&[&message.bytes()], Wait::No);
        put.map_err(|fault| format!("put {n} of {capacity} says: {fault}"))?;
    }
    expect_len(queue, capacity)?;
    match queue.put(&[b"one more"], Wait::No) {
        Err(PutFault::Full) => {}
        other => return Err(format!("a put beyond the capacity says {other:?}")),
    }
    let (content, _) = drain(queue)?;
    if content != wanted {
        return Err(format!("a full queue of {capacity} gave back {content:?}"));
    }
    let mut bytes = Vec::new();
    match queue.get(&mut bytes, Wait::No) {
        Err(GetFault::Empty) => expect_len(queue, 0),
        other => Err(format!("a get from the drained queue says {other:?}")),
    }
}

fn expect_len(queue: &dyn Channel, expected: usize) -> Result<(), String> {
    let fail = |error| format!("an observer says: {error}");
    let (len, empty) = (queue.len().map_err(fail)?, queue.is_empty().map_err(fail)?);
    let full = queue.is_full().map_err(fail)?;
    let right =
        len == expected && empty == (expected == 0) && full == (expected == queue.identity().capacity);
    let seen = || format!("with {expected} messages len is {len}, is_empty {empty}, is_full {full}");
    right.then_some(()).ok_or_else(seen)
}

/// Storage, files and totals of the drained queue.
pub(super) fn reclaimed(cell: &Cell<'_>) -> Result<(), String> {
    let deadline = Instant::now() + RECLAIM;
    for pause in 0.. {
        let stat = cell.queue.stat().map_err(|error| format!("stat: {error}"))?;
        let waiting = stat.waiting_putters + stat.waiting_getters;
        if stat.puts != stat.gets || stat.len != 0 || waiting != 0 {
            return Err(format!("drained, and yet {stat:?}"));
        }
        let files = cell.files_now().map_err(|error| error.to_string())?;
        if files == cell.files && stat.bytes <= cell.empty_bytes + SPARE_BYTES {
            return Ok(());
        }
        if Instant::now() > deadline {
            let (bytes, empty) = (stat.bytes, cell.empty_bytes);
            return Err(format!("{bytes} bytes in use ({empty} when made); files {files:?}"));
        }
        std::thread::sleep(Duration::from_micros(100 * (1 + pause)));
    }
    Ok(())
}
