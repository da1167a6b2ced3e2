//! Many deaths at the same instruction, in the same queue: nothing may pile up (Q15).

use std::time::Duration;

use crate::laboratory::{self, on_each_backend};

on_each_backend!(
    q15_storage_of_dead_growers,
    q15_storage_of_dead_putters,
    q15_storage_of_dead_getters,
    q15_storage_of_huge_messages
);

fn nothing_piles_up(backend: &str, scenario: &str) {
    let outcome = laboratory::run(&["leaks", scenario, backend], Duration::from_secs(120));
    let (places, deaths) = (outcome.number("places"), outcome.number("deaths"));
    assert!(deaths >= places * 12, "only {deaths} deaths at {places} places");
}

/// Putters that die while they make storage grow.
fn q15_storage_of_dead_growers(backend: &str) {
    nothing_piles_up(backend, "put_growing");
}

/// Putters that die anywhere.
fn q15_storage_of_dead_putters(backend: &str) {
    nothing_piles_up(backend, "put_empty");
}

/// Getters that die anywhere, with a message of 1 MiB.
fn q15_storage_of_dead_getters(backend: &str) {
    nothing_piles_up(backend, "get_mebibyte");
}

/// Putters that die in the middle of a huge message, and those who give back its memory.
fn q15_storage_of_huge_messages(backend: &str) {
    let outcome = laboratory::run(&["huge", backend], Duration::from_secs(120));
    // Of five dead putters, some had too little for that, and of one the kernel gave back what it was reserving.
    assert!(outcome.number("tidying") >= 1, "nobody died while giving memory back");
}
