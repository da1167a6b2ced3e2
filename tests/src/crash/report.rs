//! What came of killing a process at each boundary of a scenario.

use std::fmt;
use std::time::Duration;

/// What visiting all boundaries of a scenario found, when it found no fault.
#[derive(Debug, Default)]
pub struct Report {
    /// The scenario.
    pub name: &'static str,
    /// Instructions of one operation.
    pub instructions: usize,
    /// Different states that a death can leave.
    pub states: usize,
    /// Boundaries at which a process was killed.
    pub boundaries: usize,
    /// Boundaries that the process did not come to, since it took another way.
    pub missed: usize,
    /// Times that the operation slept, while it was recorded.
    pub sleeps: usize,
    /// How many deaths were counted by the queue as deaths inside a call.
    pub recoveries: u64,
    /// How often a process was killed in its sleep.
    pub deaths_asleep: usize,
    /// How long sleepers took to go on once they could, but for what they and the test stood in line for a processor.
    pub wakes: Vec<Duration>,
    /// The slowest operation of a survivor.
    pub slowest: Duration,
    /// How long it all took.
    pub took: Duration,
}

impl Report {
    /// How many sleepers went on too late.
    #[must_use]
    pub fn late(&self) -> usize {
        self.wakes.iter().filter(|took| **took > PROMPT).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, instructions, states, boundaries, missed, sleeps, deaths_asleep, .. } = self;
        write!(f, "{name}: instructions={instructions} states={states} boundaries={boundaries} ")?;
        write!(
            f,
            "missed={missed} sleeps={sleeps} deaths_asleep={deaths_asleep} recoveries={} ",
            self.recoveries
        )?;
        let longest = self.wakes.iter().max().copied().unwrap_or_default();
        write!(f, "wakes={} late={} longest={longest:.1?} ", self.wakes.len(), self.late())?;
        write!(f, "slowest={:.1?} took={:.1?}", self.slowest, self.took)
    }
}

/// A sleeper goes on within 60 ms; the rest is for the scheduler of a busy machine.
const PROMPT: Duration = Duration::from_millis(60 + 25);
