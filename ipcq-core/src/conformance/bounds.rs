//! The few upper bounds of time that the suite judges, generous enough for a slow machine that others share.

use std::time::Duration;

/// No case takes longer; one that does hangs.
pub(super) const CASE: Duration = Duration::from_secs(60);

/// How much later than its deadline a call may return: the contract says a few milliseconds, and a busy machine
/// may give the thread its turn late.
pub(super) const LATE: Duration = Duration::from_secs(2);

/// How long a call that does not wait may take.
pub(super) const AT_ONCE: Duration = Duration::from_secs(2);

/// After how long everybody must have had a share: what the contract says.
pub(super) const FAIRNESS: Duration = Duration::from_secs(10);

/// How often the shares are looked at before.
pub(super) const FAIRNESS_LOOK: Duration = Duration::from_millis(500);

/// How long observers look for a state that never was.
pub(super) const OBSERVING: Duration = Duration::from_millis(700);

/// How long the death of a participant may stay unnoticed: the contract says 1 s at most, and a busy machine may
/// give the survivor its turn late.
pub(super) const NOTICED: Duration = Duration::from_secs(10);

/// How long something is waited for that must not happen.
pub(super) const BRIEF: Duration = Duration::from_millis(20);

/// The same, where sleepers would look a few times meanwhile.
pub(super) const SLICES: Duration = Duration::from_millis(200);
