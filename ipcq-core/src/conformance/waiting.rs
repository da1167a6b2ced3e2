//! Q5 waiting.

use std::thread;
use std::time::{Duration, Instant};

use super::stage::{
    Stage, assert_says, drain_numbers, get, get_within, number, put_numbers, timed, try_get, try_put, until,
    within,
};
use super::{Harness, bounds};
use crate::error::{GetFault, PutFault};
use crate::{Batch, Limit, Wait};

/// Q5: calls that do not wait say `Empty` and `Full` at once.
pub fn q05_try_calls_do_not_wait<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let (result, took) = timed(|| try_get(&queue));
    assert_says!(result, Err(GetFault::Empty));
    assert!(took < bounds::AT_ONCE, "{took:?}");
    try_put(&queue, b"one").expect("there is room");
    let (result, took) = timed(|| try_put(&queue, b"two"));
    assert_says!(result, Err(PutFault::Full));
    assert!(took < bounds::AT_ONCE, "{took:?}");
}

const TIMEOUTS: [Duration; 4] =
    [Duration::ZERO, Duration::from_micros(700), Duration::from_millis(30), Duration::from_millis(130)];

/// Q5: a deadline ends the wait for a message, never early, and says `Timeout`.
pub fn q05_a_get_waits_until_its_deadline<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    for timeout in TIMEOUTS {
        let (result, took) = timed(|| get_within(&queue, within(timeout)));
        assert_says!(result, Err(GetFault::Timeout));
        assert!(took >= timeout && took < timeout + bounds::LATE, "asked for {timeout:?}, took {took:?}");
        let mut batch = Batch::new();
        let (result, took) = timed(|| queue.get_many(&mut batch, Limit::messages(5), within(timeout)));
        assert_says!(result, Err(GetFault::Timeout));
        assert!(took >= timeout && took < timeout + bounds::LATE, "asked for {timeout:?}, took {took:?}");
    }
}

/// Q5: a deadline ends the wait for room, never early, and says `Timeout`; nothing was put.
pub fn q05_a_put_waits_until_its_deadline<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    put_numbers(&queue, 7..8);
    let mut batch = Batch::new();
    batch.push(b"in a batch");
    for timeout in TIMEOUTS {
        let (result, took) = timed(|| queue.put(&[b"alone"], within(timeout)));
        assert_says!(result, Err(PutFault::Timeout));
        assert!(took >= timeout && took < timeout + bounds::LATE, "asked for {timeout:?}, took {took:?}");
        let (result, took) = timed(|| queue.put_many(&batch, 0, within(timeout)));
        assert_says!(result, (0, Err(PutFault::Timeout)));
        assert!(took >= timeout && took < timeout + bounds::LATE, "asked for {timeout:?}, took {took:?}");
    }
    assert_eq!(drain_numbers(&queue), [7]);
}

/// Q5: a deadline that has passed already is no error of its own: `Timeout`, at once.
pub fn q05_a_past_deadline_says_timeout<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let past = Instant::now().checked_sub(Duration::from_secs(1)).expect("the clock has run for a second");
    let (result, took) = timed(|| get_within(&queue, Wait::Until(past)));
    assert_says!(result, Err(GetFault::Timeout));
    assert!(took < bounds::AT_ONCE, "{took:?}");
    put_numbers(&queue, 0..1);
    assert_says!(queue.put(&[b""], Wait::Until(past)), Err(PutFault::Timeout));
    assert_eq!(drain_numbers(&queue), [0]);
}

/// Q5: a timeout beyond the end of the clock is for ever, not an error and not zero.
pub fn q05_an_endless_timeout_is_for_ever<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    thread::scope(|scope| {
        let getter = scope.spawn(|| get_within(&queue, Wait::timeout(Duration::MAX)));
        until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
        put_numbers(&queue, 5..6);
        let message = getter.join().expect("a getter").expect("the message that was put");
        assert_eq!(number(&message), 5);
    });
}

/// Q5: a get that waits wakes when there is a message; it is counted while it waits.
pub fn q05_a_put_wakes_a_waiting_get<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    for n in 0..20 {
        thread::scope(|scope| {
            let getter = scope.spawn(|| get(&stage.open("q")));
            until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
            put_numbers(&queue, n..n + 1);
            assert_eq!(number(&getter.join().expect("a getter")), n);
        });
    }
    assert_eq!(queue.stat().expect("a queue that works").waiting_getters, 0);
}

/// Q5: a put that waits wakes when there is room; it is counted while it waits.
pub fn q05_a_get_wakes_a_waiting_put<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    put_numbers(&queue, 0..1);
    for n in 1..20 {
        thread::scope(|scope| {
            let putter = scope.spawn(|| put_numbers(&stage.open("q"), n..n + 1));
            until(|| queue.stat().expect("a queue that works").waiting_putters == 1);
            assert_eq!(number(&get(&queue)), n - 1);
            putter.join().expect("a putter");
        });
    }
    assert_eq!(queue.stat().expect("a queue that works").waiting_putters, 0);
}

/// Q5: when there is something for every waiter, every waiter wakes: no wake-up is lost.
pub fn q05_every_waiter_wakes<H: Harness>(stage: &Stage<H>) {
    const WAITERS: usize = 8;
    let queue = stage.queue(WAITERS);
    let mut batch = Batch::new();
    (0..WAITERS).for_each(|_| batch.push(b"for one of them"));
    for _ in 0..5 {
        thread::scope(|scope| {
            let getters: Vec<_> = (0..WAITERS).map(|_| scope.spawn(|| get(&stage.open("q")))).collect();
            until(|| queue.stat().expect("a queue that works").waiting_getters == WAITERS);
            let (done, result) = queue.put_many(&batch, 0, Wait::No);
            assert!(done == WAITERS && result.is_ok(), "{done} {result:?}");
            getters.into_iter().for_each(|getter| drop(getter.join().expect("a getter")));
        });
    }
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q5: two that wait for each other in turn never miss a wake-up, at capacity 1.
pub fn q05_ping_pong_never_stalls<H: Harness>(stage: &Stage<H>) {
    const ROUNDS: u64 = 2000;
    let there = stage.queue(1);
    let back = stage.create("back", &crate::QueueOptions::new().capacity(1));
    thread::scope(|scope| {
        scope.spawn(|| (0..ROUNDS).for_each(|_| super::stage::put(&back, &get(&there))));
        for n in 0..ROUNDS {
            put_numbers(&there, n..n + 1);
            assert_eq!(number(&get(&back)), n);
        }
    });
}

/// Q5: a call with a deadline that does not need to wait does its work.
pub fn q05_a_deadline_does_not_hinder<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(10);
    let soon = within(bounds::CASE);
    for n in 0..10_u64 {
        queue.put(&[&n.to_le_bytes()], soon).expect("there is room");
    }
    for n in 0..10 {
        assert_eq!(number(&get_within(&queue, soon).expect("there is a message")), n);
    }
}
