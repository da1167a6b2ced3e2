//! Kills at every instruction of a get (Q15): exactly that message is gone, or none.

use crate::laboratory::on_each_backend;
use crate::stepping::{Least, is_counted, survives};

on_each_backend!(
    q15_get,
    q15_get_from_an_empty_queue,
    q15_get_at_capacity_1,
    q15_get_of_a_mebibyte,
    q15_get_beside_a_busy_process
);

/// From a queue with several messages.
fn q15_get(backend: &str) {
    is_counted(&survives(backend, "get", Least { shm: 130, pipe: 210 }));
}

/// From an empty queue.
fn q15_get_from_an_empty_queue(backend: &str) {
    survives(backend, "get_empty", Least { shm: 80, pipe: 240 });
}

/// From a queue that takes one message.
fn q15_get_at_capacity_1(backend: &str) {
    survives(backend, "get_capacity_1", Least { shm: 130, pipe: 210 });
}

/// Of 1 MiB, in the middle of its copy too.
fn q15_get_of_a_mebibyte(backend: &str) {
    survives(backend, "get_mebibyte", Least { shm: 1200, pipe: 2600 });
}

/// Beside a process that puts and gets all the time.
fn q15_get_beside_a_busy_process(backend: &str) {
    survives(backend, "get_contended", Least { shm: 80, pipe: 120 });
}
