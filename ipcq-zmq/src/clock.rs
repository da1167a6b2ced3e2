//! The monotonic clock, which all processes of a machine share, as a number.

use std::time::Instant;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since some instant that is the same for every process of this boot.
pub(crate) fn now() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec()).unwrap_or(0))
}

/// An instant on that clock. Never 0, which stands for never.
pub(crate) fn at(instant: Instant) -> u64 {
    let left = instant.checked_duration_since(Instant::now());
    let left = left.map_or(0, |left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
    // What has passed already is told from what passes now.
    if left == 0 { 1 } else { now().saturating_add(left) }
}
