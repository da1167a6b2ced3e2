//! What the tests have in common that kill a process at every instruction of an operation.

use std::time::Duration;

use crate::laboratory::{self, Outcome};

/// How long one scenario may take on a slow machine.
const LIMIT: Duration = Duration::from_secs(300);

/// The least number of boundaries that a scenario has on each backend.
#[derive(Clone, Copy)]
pub(crate) struct Least {
    pub(crate) shm: usize,
    pub(crate) pipe: usize,
}

impl Least {
    fn of(self, backend: &str) -> usize {
        if backend == "pipe" { self.pipe } else { self.shm }
    }
}

/// Kills at every boundary of `scenario`, and expects at least `minimum` of them. Sleepers that could
/// go on did so in time, nearly always.
///
/// The minimum was recorded from optimised builds, with a margin for other compilers; it says that the process was
/// really stepped through the operation.
pub(crate) fn survives(backend: &str, scenario: &str, minimum: Least) -> Outcome {
    let minimum = minimum.of(backend);
    let outcome = laboratory::run(&["step", scenario, backend], LIMIT);
    let (boundaries, missed) = (outcome.number("boundaries"), outcome.number("missed"));
    assert!(boundaries >= minimum, "only {boundaries} boundaries of {scenario}, {minimum} were recorded");
    let (wakes, late) = (outcome.number("wakes"), outcome.number("late"));
    assert!(late * 50 <= wakes, "{late} of {wakes} sleepers were late");
    let met_others = outcome.number("sleeps") > 0 || scenario.ends_with("contended");
    assert!(
        met_others || missed * 20 <= boundaries,
        "{missed} boundaries were missed, {boundaries} were not"
    );
    outcome
}

/// Every death under a lock was counted by the queue, once, and no other: boundaries before the lock and after it are a
/// part of all.
pub(crate) fn is_counted(outcome: &Outcome) {
    let (boundaries, recoveries) = (outcome.number("boundaries"), outcome.number("recoveries"));
    assert!((boundaries / 10..boundaries).contains(&recoveries), "{recoveries} of {boundaries} were counted");
}

/// As [`survives`]; the process is also killed in its sleep.
pub(crate) fn survives_asleep(backend: &str, scenario: &str, minimum: Least) {
    let outcome = survives(backend, scenario, minimum);
    assert!(outcome.number("deaths_asleep") > 0, "{scenario} never slept");
}
