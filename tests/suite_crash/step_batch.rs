//! Kills at every instruction of a batch (Q8, Q15): a put leaves a prefix, a get takes one.

use crate::stepping::survives;

/// Eight messages into an empty queue.
#[test]
fn q08_put_many() {
    survives("put_many", 400);
}

/// Eight messages, of which five fit.
#[test]
fn q08_put_many_that_fits_partly() {
    survives("put_many_partly", 300);
}

/// Eight messages.
#[test]
fn q08_get_many() {
    survives("get_many", 400);
}

/// The three that are there.
#[test]
fn q08_get_many_of_few() {
    survives("get_many_few", 250);
}
