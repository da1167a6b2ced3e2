//! Kills at every instruction of a process that meets another one in the middle of its operation (Q15).

use crate::stepping::{survives, survives_asleep};

/// A put that takes over from a dead putter.
#[test]
fn q15_put_after_a_dead_putter() {
    survives("recover_put_put", 200);
}

/// A get beside a dead putter.
#[test]
fn q15_get_after_a_dead_putter() {
    survives("recover_put_get", 120);
}

/// A put beside a dead getter.
#[test]
fn q15_put_after_a_dead_getter() {
    survives("recover_get_put", 150);
}

/// A get that takes over from a dead getter.
#[test]
fn q15_get_after_a_dead_getter() {
    survives("recover_get_get", 150);
}

/// A put that grows storage, after a putter that died while it grew it.
#[test]
fn q15_growing_after_a_dead_grower() {
    survives("recover_growing_growing", 700);
}

/// A put that waits for a putter which is stopped, and later goes on.
#[test]
fn q15_put_after_a_stopped_putter() {
    survives_asleep("await_put_put", 40);
}

/// A get that waits for a getter which is stopped, and later goes on.
#[test]
fn q15_get_after_a_stopped_getter() {
    survives_asleep("await_get_get", 40);
}
