//! Kills at every instruction of a put (Q15): the message is wholly there or not at all, and nothing leaks.

use crate::stepping::survives;

/// Into an empty queue.
#[test]
fn q15_put_into_an_empty_queue() {
    survives("put_empty", 150);
}

/// Behind other messages.
#[test]
fn q15_put_behind_other_messages() {
    survives("put_behind_others", 180);
}

/// Into a queue that takes one message.
#[test]
fn q15_put_at_capacity_1() {
    survives("put_capacity_1", 150);
}

/// Into a full queue, which refuses it.
#[test]
fn q15_put_into_a_full_queue() {
    survives("put_full", 100);
}

/// When storage must grow.
#[test]
fn q15_put_that_grows_the_storage() {
    survives("put_growing", 600);
}

/// Of 1 MiB, in the middle of its copy too.
#[test]
fn q15_put_of_a_mebibyte() {
    survives("put_mebibyte", 1200);
}

/// Beside a process that puts and gets all the time.
#[test]
fn q15_put_beside_a_busy_process() {
    survives("put_contended", 120);
}
