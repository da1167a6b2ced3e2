//! How many messages a measurement moves.

use std::time::Duration;

use super::{Fault, Job, Measured, Shape};

/// How often the number of messages is adjusted before the first measurement.
const TRIES: usize = 4;
/// The most messages one measurement moves.
const MOST_MESSAGES: f64 = 1e9;

/// The job with as many messages as take about `seconds`, beginning with the `first` number; also warms everything up.
///
/// # Errors
/// What `measure` failed with.
pub fn calibrated(
    job: Job,
    shape: Shape,
    first: usize,
    seconds: f64,
    mut measure: impl FnMut(Job) -> Result<Measured, Fault>,
) -> Result<Job, Fault> {
    let (mut messages, mut best) = (divisible(first, shape), 0.0_f64);
    for attempt in 1..=TRIES {
        let tried = measure(Job { messages, ..job })?;
        best = best.max(tried.rate);
        messages = divisible(messages_in(best, seconds), shape);
        // A short run is mostly its beginning, and says little about a long one; and any may be disturbed.
        if attempt > 1 && tried.seconds > seconds / 4.0 {
            break;
        }
    }
    Ok(Job { messages, ..job })
}

/// At least so many messages: as many for each producer, and for each consumer.
#[must_use]
pub const fn divisible(messages: usize, shape: Shape) -> usize {
    let pairs = shape.producers * shape.consumers;
    messages.div_ceil(pairs) * pairs
}

/// How many messages go through in `seconds`.
fn messages_in(rate: f64, seconds: f64) -> usize {
    // Nanoseconds, because a duration turns a float into an integer without a cast.
    let count = Duration::from_secs_f64((rate * seconds).clamp(1.0, MOST_MESSAGES) / 1e9).as_nanos();
    usize::try_from(count).unwrap_or(1)
}
