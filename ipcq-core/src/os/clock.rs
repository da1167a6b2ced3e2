//! The clock that all processes of a queue share.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The monotonic clock, in nanoseconds.
#[must_use]
pub fn now() -> u64 {
    u64::try_from(read(ClockId::CLOCK_MONOTONIC).as_nanos()).unwrap_or(u64::MAX)
}

/// The same in milliseconds, modulo 2^32: good to a few of them, and read in a few nanoseconds.
#[must_use]
pub fn coarse_millis() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
    let millis = read(ClockId::CLOCK_MONOTONIC_COARSE).as_millis() as u32;
    millis
}

/// These clocks are always there.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
