//! Time without that in which a process could have gone on, but others had the processors.

use std::fs;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

/// Measures how long it takes until this thread sees that another process has done something.
#[derive(Debug)]
pub(super) struct Stopwatch {
    begin: Instant,
    queued: Duration,
    other: Option<(Pid, Duration)>,
}

impl Stopwatch {
    /// Starts for something that this thread does itself.
    pub(super) fn start() -> Self {
        Self { begin: Instant::now(), queued: queued("thread-self"), other: None }
    }

    /// Starts for something that `other`, which has one thread, is to do.
    pub(super) fn start_for(other: Pid) -> Self {
        Self { other: Some((other, queued(&other.to_string()))), ..Self::start() }
    }

    /// The time since the start in which neither this thread nor the other process stood in line for a processor.
    pub(super) fn elapsed(&self) -> Duration {
        let others = |(pid, before): (Pid, Duration)| queued(&pid.to_string()).saturating_sub(before);
        let lost = queued("thread-self").saturating_sub(self.queued);
        self.begin.elapsed().saturating_sub(lost).saturating_sub(self.other.map_or(Duration::ZERO, others))
    }
}

/// How long a task has stood in line for a processor since it was started; zero where the kernel does not say.
fn queued(task: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{task}/schedstat")).unwrap_or_default();
    let nanoseconds = stat.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    nanoseconds.map_or(Duration::ZERO, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_counts() {
        let watch = Stopwatch::start();
        std::thread::sleep(Duration::from_millis(20));
        // Somebody else may have had the processor when the sleep was over; that is what is left out.
        assert!(watch.elapsed() >= Duration::from_millis(19), "{:?}", watch.elapsed());
    }
}
