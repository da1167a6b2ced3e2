//! Kills at every instruction of what wakes a sleeper (Q5, Q15, Q19): the sleeper is not forgotten.

use crate::laboratory::on_each_backend;
use crate::stepping::{Least, survives, survives_asleep};

on_each_backend!(
    q05_put_beside_a_sleeping_getter,
    q05_get_beside_a_sleeping_putter,
    q07_close_beside_a_sleeping_getter,
    q19_last_producer_dies_in_a_put,
    q19_last_producer_dies_in_its_first_put,
    q19_last_producer_dies_while_it_registers,
    q19_last_producer_dies_while_it_leaves,
    q05_get_that_waits,
    q05_put_that_waits
);

/// A put, while another process sleeps in a get.
fn q05_put_beside_a_sleeping_getter(backend: &str) {
    survives(backend, "put_beside_sleeping_getter", Least { shm: 150, pipe: 270 });
}

/// A get, while another process sleeps in a put.
fn q05_get_beside_a_sleeping_putter(backend: &str) {
    survives(backend, "get_beside_sleeping_putter", Least { shm: 130, pipe: 230 });
}

/// A close, while another process sleeps in a get.
fn q07_close_beside_a_sleeping_getter(backend: &str) {
    survives(backend, "close_beside_sleeping_getter", Least { shm: 40, pipe: 70 });
}

/// The last producer of a queue that closes by itself dies in a put.
fn q19_last_producer_dies_in_a_put(backend: &str) {
    survives(backend, "last_producer_puts", Least { shm: 8, pipe: 12 });
}

/// It dies in its first put, which makes it a producer.
fn q19_last_producer_dies_in_its_first_put(backend: &str) {
    survives(backend, "last_producer_puts_first", Least { shm: 15, pipe: 22 });
}

/// It dies while it registers.
fn q19_last_producer_dies_while_it_registers(backend: &str) {
    survives(backend, "last_producer_registers", Least { shm: 7, pipe: 8 });
}

/// It dies while it leaves.
fn q19_last_producer_dies_while_it_leaves(backend: &str) {
    survives(backend, "last_producer_leaves", Least { shm: 6, pipe: 8 });
}

/// A get that sleeps and is woken dies itself, also in its sleep.
fn q05_get_that_waits(backend: &str) {
    survives_asleep(backend, "get_waiting", Least { shm: 25, pipe: 30 });
}

/// A put that sleeps and is woken dies itself, also in its sleep.
fn q05_put_that_waits(backend: &str) {
    survives_asleep(backend, "put_waiting", Least { shm: 25, pipe: 30 });
}
