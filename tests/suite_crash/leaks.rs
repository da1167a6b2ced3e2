//! Many deaths at the same instruction, in the same queue: nothing may pile up (Q15).

use std::time::Duration;

use crate::laboratory;

fn nothing_piles_up(scenario: &str) {
    let outcome = laboratory::run(&["leaks", scenario, "shm"], Duration::from_secs(120));
    let (places, deaths) = (outcome.number("places"), outcome.number("deaths"));
    assert!(deaths >= places * 12, "only {deaths} deaths at {places} places");
}

/// Putters that die while they make storage grow.
#[test]
fn q15_storage_of_dead_growers() {
    nothing_piles_up("put_growing");
}

/// Putters that die anywhere.
#[test]
fn q15_storage_of_dead_putters() {
    nothing_piles_up("put_empty");
}

/// Putters that die in the middle of a huge message, and those who give back its memory.
#[test]
fn q15_storage_of_huge_messages() {
    let outcome = laboratory::run(&["huge", "shm"], Duration::from_secs(120));
    assert!(outcome.number("tidying") >= 1, "nobody died while giving memory back");
}
