use std::sync::atomic::AtomicUsize;

use super::*;

/// A number that is to be doubled.
struct Double(usize, Option<usize>);

impl Job for Double {
    fn is_done(&self) -> bool {
        self.1.is_some()
    }

    fn size(&self) -> usize {
        1
    }
}

const THREADS: usize = 8;
const CALLS: usize = 500;

#[test]
fn each_call_gets_what_became_of_it() {
    let combiner = Combiner::new(5);
    let led = AtomicUsize::new(0);
    let lead = |jobs: &mut [Double]| {
        assert!(jobs.len() <= 6, "{} at a time", jobs.len());
        thread::yield_now();
        // The last one of several is left for the next time.
        let now = jobs.len().div_ceil(2);
        jobs.iter_mut().take(now).for_each(|job| job.1 = Some(job.0 * 2));
        led.fetch_add(1, Ordering::SeqCst);
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (combiner, lead) = (&combiner, &lead);
            scope.spawn(move || {
                for number in thread * CALLS..(thread + 1) * CALLS {
                    let done = combiner.run(Double(number, None), lead);
                    assert_eq!(done.and_then(|job| job.1), Some(number * 2));
                }
            });
        }
    });
    assert!(led.load(Ordering::SeqCst) <= THREADS * CALLS);
    assert!(!combiner.is_led(), "somebody leads when nobody is left");
}

#[test]
fn a_call_that_takes_long_does_not_keep_others_waiting() {
    let combiner = Combiner::new(5);
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let (started, start) = std::sync::mpsc::channel();
        let long = scope.spawn({
            let combiner = &combiner;
            move || {
                combiner.run(Double(1, None), |jobs| {
                    assert!(started.send(()).is_ok());
                    jobs[0].1 = receiver.recv().ok();
                })
            }
        });
        assert!(start.recv().is_ok());
        let other = combiner.run(Double(2, None), |jobs| jobs[0].1 = Some(4));
        assert_eq!(other.and_then(|job| job.1), Some(4));
        assert!(sender.send(2).is_ok());
        assert_eq!(long.join().ok().flatten().and_then(|job| job.1), Some(2));
    });
    assert!(!combiner.is_led());
}

#[test]
fn who_is_expected_may_stay_away() {
    let combiner = Combiner::new(5);
    combiner.state().company.learn(THREADS, Duration::ZERO);
    for number in 0..THREADS {
        let done = combiner.run(Double(number, None), |jobs| jobs[0].1 = Some(jobs[0].0 * 2));
        assert_eq!(done.and_then(|job| job.1), Some(number * 2));
    }
    assert!(combiner.state().company.is_complete(1), "those who stay away are expected for ever");
    assert!(!combiner.is_led());
}

#[test]
fn a_panic_ends_the_calls_that_were_done_along() {
    let combiner = Combiner::new(5);
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        combiner.run(Double(1, None), |_| panic!("on purpose"))
    }));
    assert!(panics.is_err());
    let next = combiner.run(Double(2, None), |jobs| jobs[0].1 = Some(4));
    assert_eq!(next.and_then(|job| job.1), Some(4), "nobody leads any more");
}
