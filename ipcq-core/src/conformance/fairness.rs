//! Q10 fairness, in short.

use std::thread;
use std::time::Instant;

use super::stage::{Shared, Stage, get_within, try_put};
use super::{Harness, bounds};
use crate::Wait;

/// Asserts that nobody got less than a tenth of an even share.
fn assert_fair(shares: &[u64]) {
    let even = shares.iter().sum::<u64>() / u64::try_from(shares.len()).expect("a small number");
    assert!(even >= 100, "too little went on to judge: {shares:?}");
    let least = *shares.iter().min().expect("somebody took part");
    assert!(least >= even / 10, "one got {least} where an even share is {even}: {shares:?}");
}

fn gets_until(queue: &Shared, end: Instant) -> u64 {
    let mut done = 0;
    while get_within(queue, Wait::Until(end)).is_ok() {
        done += 1;
    }
    done
}

fn puts_until(queue: &Shared, end: Instant) -> u64 {
    let mut done = 0;
    while queue.put(&[b"message"], Wait::Until(end)).is_ok() {
        done += 1;
    }
    done
}

/// Q10: putters that all wait for room get about the same share of it, at capacity 1 too.
pub fn q10_putters_share<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let end = Instant::now() + bounds::FAIRNESS;
    let shares: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| gets_until(&queue, end));
        let putters: Vec<_> = (0..6).map(|_| scope.spawn(|| puts_until(&stage.open("q"), end))).collect();
        putters.into_iter().map(|putter| putter.join().expect("a putter")).collect()
    });
    assert_fair(&shares);
}

/// Q10: getters that all wait for a message get about the same share.
pub fn q10_getters_share<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let end = Instant::now() + bounds::FAIRNESS;
    let shares: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| puts_until(&queue, end));
        let getters: Vec<_> = (0..6).map(|_| scope.spawn(|| gets_until(&stage.open("q"), end))).collect();
        getters.into_iter().map(|getter| getter.join().expect("a getter")).collect()
    });
    assert_fair(&shares);
}

/// Q10: putters that never wait do not keep a waiting one out.
pub fn q10_impatient_putters_do_not_starve_a_patient_one<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let end = Instant::now() + bounds::FAIRNESS;
    let patient = thread::scope(|scope| {
        scope.spawn(|| gets_until(&queue, end));
        scope.spawn(|| {
            let queue = stage.open("q");
            while Instant::now() < end {
                try_put(&queue, b"impatient").ok();
            }
        });
        puts_until(&stage.open("q"), end)
    });
    assert!(patient >= 10, "the patient putter got in {patient} times");
}
