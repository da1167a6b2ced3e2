//! Processes that are stopped, not killed, in the middle of an operation (Q5, Q6, Q7, Q15).

use std::time::Duration;

use crate::laboratory;

const LIMIT: Duration = Duration::from_secs(120);

/// No `try_` call, deadline or observer of another waits for a stopped putter.
#[test]
fn q15_nobody_waits_for_a_stopped_putter() {
    let outcome = laboratory::run(&["stopped", "put", "shm"], LIMIT);
    assert!(outcome.number("boundaries") >= 30, "too few boundaries");
    assert!(outcome.number("busy") > 0, "the putter was never stopped under the lock");
}

/// Nor for a stopped getter.
#[test]
fn q15_nobody_waits_for_a_stopped_getter() {
    let outcome = laboratory::run(&["stopped", "get", "shm"], LIMIT);
    assert!(outcome.number("boundaries") >= 30, "too few boundaries");
    assert!(outcome.number("busy") > 0, "the getter was never stopped under the lock");
}

/// A queue that was seen closed and drained stays so, wherever a putter was stopped.
#[test]
fn q07_nothing_is_put_behind_the_end() {
    let outcome = laboratory::run(&["closed-under", "shm"], LIMIT);
    let (boundaries, refused) = (outcome.number("boundaries"), outcome.number("refused"));
    assert!(boundaries >= 150, "too few boundaries");
    assert!(0 < refused && refused < boundaries, "some puts come before the end, and some too late");
    assert!(outcome.number("drained_first") >= 150, "the end was not seen while the putter was stopped");
}

/// A waiter that was woken and stopped does not keep the message, or the room, from others.
#[test]
fn q05_a_woken_waiter_is_stopped() {
    let outcome = laboratory::run(&["woken", "stop", "60", "shm"], LIMIT);
    assert!(outcome.number("caught") >= 15, "the waiter that was to be stopped was hardly ever woken");
}

/// Nor does one that was woken and killed.
#[test]
fn q05_a_woken_waiter_is_killed() {
    let outcome = laboratory::run(&["woken", "kill", "60", "shm"], LIMIT);
    assert!(outcome.number("caught") >= 15, "the waiter that was to be killed was hardly ever woken");
}
