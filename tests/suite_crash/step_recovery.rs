//! Kills at every instruction of a process that meets another one in the middle of its operation (Q15).

use crate::laboratory::on_each_backend;
use crate::stepping::{Least, survives, survives_asleep};

on_each_backend!(
    q15_put_after_a_dead_putter,
    q15_get_after_a_dead_putter,
    q15_put_after_a_dead_getter,
    q15_get_after_a_dead_getter,
    q15_growing_after_a_dead_grower,
    q15_put_after_a_stopped_putter,
    q15_get_after_a_stopped_getter
);

/// A put that takes over from a dead putter.
fn q15_put_after_a_dead_putter(backend: &str) {
    survives(backend, "recover_put_put", Least { shm: 200, pipe: 1000 });
}

/// A get beside a dead putter.
fn q15_get_after_a_dead_putter(backend: &str) {
    survives(backend, "recover_put_get", Least { shm: 120, pipe: 290 });
}

/// A put beside a dead getter.
fn q15_put_after_a_dead_getter(backend: &str) {
    survives(backend, "recover_get_put", Least { shm: 150, pipe: 330 });
}

/// A get that takes over from a dead getter.
fn q15_get_after_a_dead_getter(backend: &str) {
    survives(backend, "recover_get_get", Least { shm: 150, pipe: 690 });
}

/// A put that grows storage, after a putter that died while it grew it.
fn q15_growing_after_a_dead_grower(backend: &str) {
    // The least that grows it: each block of a pipe's queue is a step of its own.
    let scenario = if backend == "pipe" { "recover_long_long" } else { "recover_growing_growing" };
    survives(backend, scenario, Least { shm: 700, pipe: 1500 });
}

/// A put that waits for a putter which is stopped, and later goes on.
fn q15_put_after_a_stopped_putter(backend: &str) {
    survives_asleep(backend, "await_put_put", Least { shm: 40, pipe: 100 });
}

/// A get that waits for a getter which is stopped, and later goes on.
fn q15_get_after_a_stopped_getter(backend: &str) {
    survives_asleep(backend, "await_get_get", Least { shm: 40, pipe: 95 });
}
