//! A file system of 8 MiB that fills up (Q17).

use std::time::Duration;

use crate::laboratory::{self, on_each_backend};

on_each_backend!(q17_no_room_is_said_at_once);

/// Puts and creates say at once that there is no room, and work again when there is.
fn q17_no_room_is_said_at_once(backend: &str) {
    let outcome = laboratory::run(&["full-disk", backend], Duration::from_secs(60));
    assert!(outcome.number("own") >= 50, "the queue hardly grew");
    // A pipe queue ends when nobody holds it, before anybody could find a hole.
    assert_eq!(outcome.number("holes"), if backend == "pipe" { 0 } else { 2 });
}
