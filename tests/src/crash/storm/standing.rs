//! How long processes stood in line for a processor: time that was not theirs.

use std::fs;
use std::os::unix::process::parent_id;
use std::process;
use std::time::Duration;

use ipcq_core::{Lifetime, Transport};

use crate::process::stood_in_line;

/// How long the first thread of `process` has been ready to run and has not run, since it began.
fn stood(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanos = text.split_whitespace().nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The processes that calls of this one go through.
#[derive(Debug)]
pub(super) struct Way(Vec<u32>);

impl Way {
    /// This process and, where a process hosts the queue, the parent, which made it.
    pub(super) fn of(transport: &dyn Transport) -> Self {
        let is_hosted = transport.capabilities().lifetime == Lifetime::WhileHost;
        Self([process::id()].into_iter().chain(is_hosted.then(parent_id)).collect())
    }

    /// How long they have stood in line so far. What they stand at the same time counts for each.
    pub(super) fn stood(&self) -> Duration {
        self.0.iter().map(|process| stood_in_line(*process)).sum()
    }
}

/// Where some processes stand at an instant.
#[derive(Debug)]
pub(super) struct Standing {
    /// Whether it puts, which process, and how long it has stood in line so far.
    processes: Vec<(bool, u32, Duration)>,
}

impl Standing {
    /// Where `processes`, each with whether it puts, stand now; and this process, which looks at them.
    pub(super) fn of(processes: impl Iterator<Item = (bool, u32)>) -> Self {
        Self { processes: processes.map(|(puts, process)| (puts, process, stood(process))).collect() }
    }

    /// How long one message may have waited for processors since then: for that of one which puts, and for that of
    /// one which gets.
    pub(super) fn since(&self) -> Duration {
        let longest = |side: bool| {
            let of_side = self.processes.iter().filter(|(puts, ..)| *puts == side);
            of_side
                .map(|(_, process, before)| stood(*process).saturating_sub(*before))
                .max()
                .unwrap_or_default()
        };
        longest(true) + longest(false)
    }
}
