//! Q10 fairness. The contract speaks of 10 s; a case ends earlier if everybody has had a share by then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::stage::{Shared, Stage, get_within, try_put};
use super::{Harness, bounds};
use crate::{GetFault, PutFault, Wait};

const PARTIES: usize = 6;

/// How often each of those who wait for the same thing has got it.
#[derive(Debug, Default)]
struct Shares([AtomicU64; PARTIES]);

impl Shares {
    /// The least share, and what an even one would be.
    fn least_and_even(&self) -> (u64, u64) {
        let shares = self.0.each_ref().map(|share| share.load(Ordering::Relaxed));
        let even = shares.iter().sum::<u64>() / shares.len() as u64;
        (shares.into_iter().min().unwrap_or(0), even)
    }

    /// Whether nobody got less than a tenth of an even share, of so much that it can be told.
    fn are_fair(&self) -> bool {
        let (least, even) = self.least_and_even();
        even >= 100 && least >= even / 10
    }

    /// Runs `party` once for each share, beside `others`, until the shares are fair or the time is over.
    fn judge(&self, queue: &Shared, others: impl Fn() + Send, party: impl Fn(&AtomicU64) + Sync) {
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(others);
            self.0.iter().for_each(|share| drop(scope.spawn(|| party(share))));
            while start.elapsed() < bounds::FAIRNESS {
                thread::park_timeout(bounds::FAIRNESS_LOOK);
                if self.are_fair() {
                    break;
                }
            }
            queue.close().expect("an open queue closes");
        });
        let (least, even) = self.least_and_even();
        assert!(self.are_fair(), "one got {least} where an even share is {even}: {self:?}");
    }
}

/// Puts until the queue is closed, counting in `share`.
fn puts(queue: &Shared, share: &AtomicU64) {
    loop {
        match queue.put(&[b"message"], Wait::Forever) {
            Ok(()) => share.fetch_add(1, Ordering::Relaxed),
            Err(PutFault::Closed) => return,
            Err(fault) => panic!("a put failed: {fault:?}"),
        };
    }
}

/// Gets until the queue is closed and drained, counting in `share`.
fn gets(queue: &Shared, share: &AtomicU64) {
    loop {
        match get_within(queue, Wait::Forever) {
            Ok(_) => share.fetch_add(1, Ordering::Relaxed),
            Err(GetFault::Closed) => return,
            Err(fault) => panic!("a get failed: {fault:?}"),
        };
    }
}

/// Q10: putters that all wait for room get about the same share of it, at capacity 1 too.
pub fn q10_putters_share<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let getter = || gets(&stage.open("q"), &AtomicU64::new(0));
    Shares::default().judge(&queue, getter, |share| puts(&stage.open("q"), share));
}

/// Q10: getters that all wait for a message get about the same share.
pub fn q10_getters_share<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let putter = || puts(&stage.open("q"), &AtomicU64::new(0));
    Shares::default().judge(&queue, putter, |share| gets(&stage.open("q"), share));
}

/// Q10: one that puts without ever waiting does not keep out those who wait.
pub fn q10_the_impatient_do_not_starve_the_patient<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let turn = AtomicU64::new(0);
    let others = || {
        let queue = stage.open("q");
        while !queue.is_closed().expect("a queue that works") {
            try_put(&queue, b"impatient").ok();
            get_within(&queue, Wait::No).ok();
        }
    };
    Shares::default().judge(&queue, others, |share| match turn.fetch_add(1, Ordering::Relaxed) {
        0..3 => puts(&stage.open("q"), share),
        _ => gets(&stage.open("q"), share),
    });
}
