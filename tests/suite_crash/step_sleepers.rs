//! Kills at every instruction of what wakes a sleeper (Q5, Q15, Q19): the sleeper is not forgotten.

use crate::stepping::{survives, survives_asleep};

/// A put, while another process sleeps in a get.
#[test]
fn q05_put_beside_a_sleeping_getter() {
    survives("put_beside_sleeping_getter", 150);
}

/// A get, while another process sleeps in a put.
#[test]
fn q05_get_beside_a_sleeping_putter() {
    survives("get_beside_sleeping_putter", 130);
}

/// A close, while another process sleeps in a get.
#[test]
fn q07_close_beside_a_sleeping_getter() {
    survives("close_beside_sleeping_getter", 40);
}

/// The last producer of a queue that closes by itself dies in a put.
#[test]
fn q19_last_producer_dies_in_a_put() {
    survives("last_producer_puts", 8);
}

/// It dies in its first put, which makes it a producer.
#[test]
fn q19_last_producer_dies_in_its_first_put() {
    survives("last_producer_puts_first", 15);
}

/// It dies while it registers.
#[test]
fn q19_last_producer_dies_while_it_registers() {
    survives("last_producer_registers", 7);
}

/// It dies while it leaves.
#[test]
fn q19_last_producer_dies_while_it_leaves() {
    survives("last_producer_leaves", 6);
}

/// A get that sleeps and is woken dies itself, also in its sleep.
#[test]
fn q05_get_that_waits() {
    survives_asleep("get_waiting", 25);
}

/// A put that sleeps and is woken dies itself, also in its sleep.
#[test]
fn q05_put_that_waits() {
    survives_asleep("put_waiting", 25);
}
