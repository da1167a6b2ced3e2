//! Histories: what several processes did to one queue, and when.

mod check;
mod state;

pub use check::{Impossible, check};
pub use state::State;

use serde::{Deserialize, Serialize};

/// What a call did to the queue, or saw of it, at one instant.
///
/// A call that ended with `Timeout` or `Busy` did nothing and saw nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Put the message of this number.
    Put(u32),
    /// Found no room.
    Full,
    /// Was not let in, as the queue was closed.
    PutClosed,
    /// Got the message of this number.
    Got(u32),
    /// Found no message.
    Empty,
    /// Found no message in a closed queue.
    GetClosed,
    /// Saw this many messages.
    Len(usize),
    /// Saw whether there was no message.
    IsEmpty(bool),
    /// Saw whether there was no room.
    IsFull(bool),
    /// Saw whether the queue was closed.
    IsClosed(bool),
    /// Closed the queue.
    Close,
}

/// One call: when it began and returned, on the clock that all processes share, and its effects in their order.
/// A batch has several; others' effects may lie between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Nanoseconds of `CLOCK_MONOTONIC` before the call.
    pub began: u64,
    /// Nanoseconds of `CLOCK_MONOTONIC` after the call.
    pub returned: u64,
    /// What it did and saw.
    pub effects: Vec<Effect>,
}

/// What each process did to a queue that was new, empty and open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// How many messages the queue takes.
    pub capacity: usize,
    /// The calls of each process, one after the other.
    pub processes: Vec<Vec<Call>>,
}

impl History {
    /// How many effects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.processes.iter().flatten().map(|call| call.effects.len()).sum()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many calls overlapped with one of another process.
    #[must_use]
    pub fn overlapping(&self) -> usize {
        let calls =
            || self.processes.iter().enumerate().flat_map(|(p, calls)| calls.iter().map(move |c| (p, c)));
        let overlaps = |(p, one): &(usize, &Call)| {
            calls().any(|(q, other)| *p != q && one.began <= other.returned && other.began <= one.returned)
        };
        calls().filter(overlaps).count()
    }
}

/// One line per call, by the time of its beginning, for people to read.
impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut calls: Vec<_> = self
            .processes
            .iter()
            .enumerate()
            .flat_map(|(p, calls)| calls.iter().map(move |c| (c, p)))
            .collect();
        calls.sort_by_key(|(call, _)| call.began);
        let zero = calls.first().map_or(0, |(call, _)| call.began);
        writeln!(f, "capacity {}", self.capacity)?;
        for (call, process) in calls {
            let (began, returned) = (call.began - zero, call.returned - zero);
            writeln!(f, "process {process}  {began:>9} .. {returned:>9} ns  {:?}", call.effects)?;
        }
        Ok(())
    }
}
