//! Kills at every instruction of a put (Q15): the message is wholly there or not at all, and nothing leaks.

use crate::laboratory::on_each_backend;
use crate::stepping::{Least, is_counted, survives};

on_each_backend!(
    q15_put_into_an_empty_queue,
    q15_put_behind_other_messages,
    q15_put_at_capacity_1,
    q15_put_into_a_full_queue,
    q15_put_that_grows_the_storage,
    q15_put_of_a_mebibyte,
    q15_put_beside_a_busy_process
);

/// Into an empty queue.
fn q15_put_into_an_empty_queue(backend: &str) {
    is_counted(&survives(backend, "put_empty", Least { shm: 150, pipe: 250 }));
}

/// Behind other messages.
fn q15_put_behind_other_messages(backend: &str) {
    survives(backend, "put_behind_others", Least { shm: 180, pipe: 700 });
}

/// Into a queue that takes one message.
fn q15_put_at_capacity_1(backend: &str) {
    survives(backend, "put_capacity_1", Least { shm: 150, pipe: 250 });
}

/// Into a full queue, which refuses it.
fn q15_put_into_a_full_queue(backend: &str) {
    survives(backend, "put_full", Least { shm: 100, pipe: 210 });
}

/// When storage must grow.
fn q15_put_that_grows_the_storage(backend: &str) {
    survives(backend, "put_growing", Least { shm: 600, pipe: 1400 });
}

/// Of 1 MiB, in the middle of its copy too.
fn q15_put_of_a_mebibyte(backend: &str) {
    survives(backend, "put_mebibyte", Least { shm: 1200, pipe: 2000 });
}

/// Beside a process that puts and gets all the time.
fn q15_put_beside_a_busy_process(backend: &str) {
    survives(backend, "put_contended", Least { shm: 120, pipe: 250 });
}
