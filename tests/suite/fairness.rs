//! Q10: with all processes waiting for the same thing for 10 s, none gets less than a tenth of its even share. A test ends
//! earlier if that is so earlier. Who stands in line for a processor does not wait for the queue: a process that got less is
//! given as much longer as it stood there.

use std::thread;
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::{Queue, QueueOptions};
use ipcq_tests::process::{Process, stood_in_line};

use crate::bounds::{FAIRNESS, FAIRNESS_LOOK};
use crate::place::{Place, on_each_transport};

/// The most that is added for those who stood in line, so that the watchdog need not end a test.
const LONGER: Duration = Duration::from_secs(30);

on_each_transport! {
    q10_eight_putters_share_one_place,
    q10_eight_getters_share_one_message,
    q10_sixty_four_putters_share_one_place,
    q10_sixty_four_getters_share_one_message,
}

fn q10_eight_putters_share_one_place(transport: &str) {
    assert_fair(transport, "share-of-puts", 8, "share-of-gets");
}

fn q10_eight_getters_share_one_message(transport: &str) {
    assert_fair(transport, "share-of-gets", 8, "share-of-puts");
}

fn q10_sixty_four_putters_share_one_place(transport: &str) {
    assert_fair(transport, "share-of-puts", 64, "share-of-gets");
}

fn q10_sixty_four_getters_share_one_message(transport: &str) {
    assert_fair(transport, "share-of-gets", 64, "share-of-puts");
}

/// Starts `parties` processes of one role beside one of the other, at capacity 1, and asserts that they share.
fn assert_fair(transport: &str, role: &str, parties: usize, other: &str) {
    let _watchdog = Watchdog::start("processes that share", Duration::from_secs(60));
    let place = Place::alone(transport);
    let queue =
        Queue::<u8>::create(&*place.transport, "q", &QueueOptions::new().capacity(1)).expect("a free name");
    let mut processes: Vec<_> = (0..parties).map(|_| place.start(role, &["q"])).collect();
    let other = place.start(other, &["q"]);
    let start = Instant::now();
    let mut shares = Vec::new();
    let mut time = FAIRNESS;
    while start.elapsed() < time {
        thread::park_timeout(FAIRNESS_LOOK);
        shares = processes.iter_mut().map(share).collect();
        if are_fair(&shares) {
            break;
        }
        let stood = |(process, _): (&Process, _)| stood_in_line(process.id());
        let behind = processes.iter().zip(&shares).filter(|(_, share)| !has_its_share(**share, &shares));
        time = FAIRNESS + behind.map(stood).max().unwrap_or_default().min(LONGER);
    }
    queue.close().expect("an open queue closes");
    processes.into_iter().chain([other]).for_each(|process| drop(process.finish()));
    assert!(are_fair(&shares), "after {time:?}: {shares:?}");
}

/// How often `process` has got what it waits for.
fn share(process: &mut Process) -> u64 {
    process.say("?");
    process.hear().parse().expect("a number")
}

/// Whether nobody got less than a tenth of an even share, of so much that it can be told.
fn are_fair(shares: &[u64]) -> bool {
    even(shares) >= 20 && shares.iter().all(|&share| has_its_share(share, shares))
}

fn has_its_share(share: u64, shares: &[u64]) -> bool {
    share >= even(shares) / 10
}

fn even(shares: &[u64]) -> u64 {
    shares.iter().sum::<u64>() / shares.len() as u64
}
