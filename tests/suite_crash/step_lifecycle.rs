//! Kills a process that makes, closes or removes a queue (Q7, Q12, Q13).

use crate::laboratory::on_each_backend;
use crate::stepping::{Least, survives};

on_each_backend!(q07_close, q12_create, q13_remove);

/// Closing: it is closed for everyone or for nobody.
fn q07_close(backend: &str) {
    survives(backend, "close", Least { shm: 40, pipe: 70 });
}

/// Making: the next creator finds a whole queue or none.
fn q12_create(backend: &str) {
    survives(backend, "create", Least { shm: 30, pipe: 190 });
}

/// Removing: the next remover finishes it.
fn q13_remove(backend: &str) {
    survives(backend, "remove", Least { shm: 35, pipe: 100 });
}
