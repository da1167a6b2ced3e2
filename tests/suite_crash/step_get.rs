//! Kills at every instruction of a get (Q15): exactly that message is gone, or none.

use crate::stepping::survives;

/// From a queue with several messages.
#[test]
fn q15_get() {
    survives("get", 130);
}

/// From an empty queue.
#[test]
fn q15_get_from_an_empty_queue() {
    survives("get_empty", 80);
}

/// From a queue that takes one message.
#[test]
fn q15_get_at_capacity_1() {
    survives("get_capacity_1", 130);
}

/// Of 1 MiB, in the middle of its copy too.
#[test]
fn q15_get_of_a_mebibyte() {
    survives("get_mebibyte", 1200);
}

/// Beside a process that puts and gets all the time.
#[test]
fn q15_get_beside_a_busy_process() {
    survives("get_contended", 80);
}
