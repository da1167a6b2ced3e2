//! Eight producers and eight consumers, one of which is killed every 10 ms (Q15).
//!
//! `IPCQ_STORM_SECONDS` says how long each storm lasts.

use std::sync::Mutex;
use std::time::Duration;

use crate::laboratory::{self, on_every_backend};

on_every_backend!(
    q15_storm_at_capacity_1,
    q15_storm_at_capacity_16,
    q15_storm_at_capacity_1000,
    q15_nobody_waits_for_the_stopped,
    q15_the_stopped_lose_nothing,
);

/// Storms come one after the other: each keeps all processors busy.
static ONE: Mutex<()> = Mutex::new(());
const SECONDS: u64 = 4;

fn seconds() -> u64 {
    let set = std::env::var("IPCQ_STORM_SECONDS").ok();
    set.map_or(SECONDS, |text| text.parse().expect("IPCQ_STORM_SECONDS is a whole number"))
}

fn storm(backend: &str, capacity: &str) {
    let alone = ONE.lock();
    let seconds = seconds();
    let limit = Duration::from_secs(60 + 2 * seconds);
    let outcome = laboratory::run(&["storm", capacity, &seconds.to_string(), backend], limit);
    drop(alone);
    let (kills, got) = (outcome.number("kills"), outcome.number("got"));
    let least = usize::try_from(seconds).expect("a storm that ends") * 20;
    assert!(kills >= least, "only {kills} processes were killed");
    assert!(got >= least, "only {got} messages came through");
}

/// Every message passes through one place.
fn q15_storm_at_capacity_1(backend: &str) {
    storm(backend, "1");
}

/// Full and empty all the time.
fn q15_storm_at_capacity_16(backend: &str) {
    storm(backend, "16");
}

/// As large as queues are by default.
fn q15_storm_at_capacity_1000(backend: &str) {
    storm(backend, "1000");
}

/// Some of the processes are stopped for a while, wherever they are.
fn stops(backend: &str, capacity: &str) {
    let alone = ONE.lock();
    let seconds = seconds();
    let limit = Duration::from_secs(60 + 2 * seconds);
    let outcome = laboratory::run(&["stops", capacity, &seconds.to_string(), backend], limit);
    drop(alone);
    let least = usize::try_from(seconds).expect("a storm that ends") * 3;
    assert!(outcome.number("stops") >= least, "hardly anybody was stopped");
    assert!(outcome.number("got") >= least, "hardly a message came through");
    assert_eq!(outcome.number("lost"), 0);
}

/// A getter that is stopped with what others wait for does not keep them waiting.
fn q15_nobody_waits_for_the_stopped(backend: &str) {
    stops(backend, "1");
}

/// What the stopped have in their hands is there when they go on.
fn q15_the_stopped_lose_nothing(backend: &str) {
    stops(backend, "100");
}
