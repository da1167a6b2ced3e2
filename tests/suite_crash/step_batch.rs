//! Kills at every instruction of a batch (Q8, Q15): a put leaves a prefix, a get takes one.

use crate::laboratory::on_each_backend;
use crate::stepping::{Least, survives};

on_each_backend!(q08_put_many, q08_put_many_that_fits_partly, q08_get_many, q08_get_many_of_few);

/// Eight messages into an empty queue.
fn q08_put_many(backend: &str) {
    survives(backend, "put_many", Least { shm: 400, pipe: 1600 });
}

/// Eight messages, of which five fit.
fn q08_put_many_that_fits_partly(backend: &str) {
    survives(backend, "put_many_partly", Least { shm: 300, pipe: 1550 });
}

/// Eight messages.
fn q08_get_many(backend: &str) {
    survives(backend, "get_many", Least { shm: 400, pipe: 1250 });
}

/// The three that are there.
fn q08_get_many_of_few(backend: &str) {
    survives(backend, "get_many_few", Least { shm: 250, pipe: 950 });
}
