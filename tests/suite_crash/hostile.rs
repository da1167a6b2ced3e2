//! Segments that hold what no queue can have put there (Q16).

use std::time::Duration;

use crate::laboratory::{self, on_each_backend};

on_each_backend!(
    q16_damage_before_opening,
    q16_damage_while_open,
    q16_something_else_in_its_place,
    q12_queues_of_other_times_and_places
);

const LIMIT: Duration = Duration::from_secs(300);

/// Every byte of the header and the records, and noise, before the queue is opened.
fn q16_damage_before_opening(backend: &str) {
    let outcome = laboratory::run(&["hostile", "before", backend], LIMIT);
    assert!(outcome.number("pieces") >= 12_000, "too little was damaged");
    assert!(outcome.number("opened") >= 1000, "damage was hardly ever met after opening");
}

/// The same while it is open.
fn q16_damage_while_open(backend: &str) {
    let outcome = laboratory::run(&["hostile", "while", backend], LIMIT);
    let (pieces, opened) = (outcome.number("pieces"), outcome.number("opened"));
    assert!(pieces >= 12_000, "too little was damaged");
    assert_eq!(pieces, opened, "a whole queue was not opened");
}

/// Files cut short, other files, directories, FIFOs, sockets and links in the place of a queue.
fn q16_something_else_in_its_place(backend: &str) {
    let outcome = laboratory::run(&["odd-files", backend], LIMIT);
    assert_eq!(outcome.number("tried"), 22);
}

/// A queue of an earlier boot or another process namespace is refused by name; removing it wakes those who wait.
fn q12_queues_of_other_times_and_places(backend: &str) {
    let outcome = laboratory::run(&["elsewhere", backend], LIMIT);
    assert_eq!((outcome.number("refused"), outcome.number("woken")), (2, 2));
}
