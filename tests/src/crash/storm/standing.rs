//! How long processes stood in line for a processor: time that was not theirs.

use std::fs;
use std::time::Duration;

/// How long the first thread of `process` has been ready to run and has not run, since it began.
fn stood(process: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanos = text.split_whitespace().nth(1).and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
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
