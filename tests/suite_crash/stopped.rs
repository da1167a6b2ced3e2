//! Processes that are stopped, not killed, in the middle of an operation (Q5, Q6, Q7, Q15).

use std::time::Duration;

use crate::laboratory::{self, on_each_backend};

on_each_backend!(
    q15_nobody_waits_for_a_stopped_putter,
    q15_nobody_waits_for_a_stopped_getter,
    q07_nothing_is_put_behind_the_end,
    q05_a_woken_waiter_is_stopped,
    q05_a_woken_waiter_is_killed,
    q05_idle_getters_sleep,
);

const LIMIT: Duration = Duration::from_secs(120);

/// No `try_` call, deadline or observer of another waits for a stopped putter.
fn q15_nobody_waits_for_a_stopped_putter(backend: &str) {
    let outcome = laboratory::run(&["stopped", "put", backend], LIMIT);
    assert!(outcome.number("boundaries") >= 30, "too few boundaries");
    assert!(outcome.number("busy") > 0, "the putter was never stopped under the lock");
}

/// Nor for a stopped getter.
fn q15_nobody_waits_for_a_stopped_getter(backend: &str) {
    let outcome = laboratory::run(&["stopped", "get", backend], LIMIT);
    assert!(outcome.number("boundaries") >= 30, "too few boundaries");
    assert!(outcome.number("busy") > 0, "the getter was never stopped under the lock");
}

/// A queue that was seen closed and drained stays so, wherever a putter was stopped.
fn q07_nothing_is_put_behind_the_end(backend: &str) {
    let outcome = laboratory::run(&["closed-under", backend], LIMIT);
    let (boundaries, refused) = (outcome.number("boundaries"), outcome.number("refused"));
    assert!(boundaries >= 150, "too few boundaries");
    assert!(0 < refused && refused < boundaries, "some puts come before the end, and some too late");
    assert!(outcome.number("drained_first") >= 150, "the end was not seen while the putter was stopped");
}

/// A waiter that was woken and stopped does not keep the message, or the room, from others.
fn q05_a_woken_waiter_is_stopped(backend: &str) {
    let outcome = laboratory::run(&["woken", "stop", "60", backend], LIMIT);
    assert!(outcome.number("caught") >= 15, "the waiter that was to be stopped was hardly ever woken");
}

/// Nor does one that was woken and killed.
fn q05_a_woken_waiter_is_killed(backend: &str) {
    let outcome = laboratory::run(&["woken", "kill", "60", backend], LIMIT);
    assert!(outcome.number("caught") >= 15, "the waiter that was to be killed was hardly ever woken");
}

/// Nobody wakes in vain: of eight who wait one goes on for each message, and the others hardly ever look. What they look
/// by themselves is not counted, 22 times a second each.
fn q05_idle_getters_sleep(backend: &str) {
    let outcome = laboratory::run(&["idle", "1000", backend], LIMIT);
    let (puts, woke) = (outcome.number("puts"), outcome.number("woke"));
    let for_puts = woke.saturating_sub(outcome.number("slices"));
    assert!(for_puts * 10 <= puts * 12, "{for_puts} wake-ups for {puts} puts, and {woke} in all");
}
