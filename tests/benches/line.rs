//! How far two processors are from each other: what a cache line takes from one to the other and back.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use ipcq_cli::measure::job::now;
use ipcq_cli::measure::placement::{Pair, Place};

/// How many round trips are timed, and how many when it is only tried.
const TRIPS: u32 = 2000;
const FEW: u32 = 20;

/// A round trip of a cache line between the two processors, in nanoseconds.
pub(crate) fn round_trip(pair: Pair, quick: bool) -> f64 {
    let trips = if quick { FEW } else { TRIPS };
    let word = &AtomicU32::new(0);
    let side = |puts: bool| {
        Place::here().settle(Some(pair), puts);
        let mut began = 0;
        for trip in 0..=trips {
            // The first is to let both arrive.
            if trip == 1 {
                began = now();
            }
            let turn = 2 * trip + u32::from(!puts);
            let mut spins = 0_u32;
            while word.load(Ordering::Acquire) != turn {
                spins += 1;
                if spins.is_multiple_of(4096) {
                    thread::yield_now();
                }
            }
            word.store(turn + 1, Ordering::Release);
        }
        u32::try_from(now() - began).map_or(f64::INFINITY, f64::from) / f64::from(trips)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| side(false));
        let one = scope.spawn(|| side(true));
        let (one, other) = (one.join().unwrap_or(0.0), other.join().unwrap_or(0.0));
        one.min(other)
    })
}
