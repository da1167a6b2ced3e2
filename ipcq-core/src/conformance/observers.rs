//! Q6 observers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::stage::{
    Shared, Stage, assert_says, get, get_within, pattern, put, put_numbers, try_get, try_put,
};
use super::{Harness, bounds};
use crate::error::{GetFault, PutFault};
use crate::{Batch, QueueOptions, Wait};

fn assert_seen(queue: &Shared, len: usize) {
    let capacity = queue.identity().capacity;
    assert_eq!(queue.len().expect("a queue that works"), len);
    assert_eq!(queue.is_empty().expect("a queue that works"), len == 0);
    assert_eq!(queue.is_full().expect("a queue that works"), len == capacity);
    assert_eq!(queue.stat().expect("a queue that works").len, len);
}

/// Q6: observers are exact after every step.
pub fn q06_observers_are_exact<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(5);
    let other = stage.open("q");
    for _ in 0..3 {
        for len in 0..5 {
            assert_seen(&other, len);
            put(&queue, &pattern(len * 1000, 1));
        }
        for len in (1..=5).rev() {
            assert_seen(&other, len);
            get(&queue);
        }
        assert_seen(&other, 0);
    }
}

/// Q6: observers say only what was true at an instant inside the call, also while others work, and also when they are
/// held up in the middle: a queue that always holds two or three of four messages is never seen empty or full. There
/// are more observers than most machines have processors, so that they are held up.
pub fn q06_observers_are_exact_while_others_work<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    put_numbers(&queue, 0..2);
    let done = AtomicBool::new(false);
    let observe = |look: fn(&Shared)| {
        while !done.load(Ordering::Acquire) {
            look(&queue);
        }
    };
    let looks: [fn(&Shared); 3] = [
        |queue| {
            assert!((2..=3).contains(&queue.len().expect("a queue that works")), "a length that never was")
        },
        |queue| assert!(!queue.is_empty().expect("a queue that works"), "the queue was never empty"),
        |queue| assert!(!queue.is_full().expect("a queue that works"), "the queue was never full"),
    ];
    thread::scope(|scope| {
        looks.iter().cycle().take(9).for_each(|look| drop(scope.spawn(|| observe(*look))));
        let queue = stage.open("q");
        let end = Instant::now() + bounds::OBSERVING;
        while Instant::now() < end {
            put_numbers(&queue, 2..3);
            get(&queue);
        }
        done.store(true, Ordering::Release);
    });
}

/// Q6: the number of messages never exceeds the capacity, whatever goes on.
pub fn q06_len_never_exceeds_capacity<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(3);
    thread::scope(|scope| {
        let putters: Vec<_> =
            (0..3).map(|_| scope.spawn(|| put_numbers(&stage.open("q"), 0..1000))).collect();
        let getter = scope.spawn(|| (0..3000).for_each(|_| drop(get(&queue))));
        while !putters.iter().all(thread::ScopedJoinHandle::is_finished) {
            let len = stage.open("q").len().expect("a queue that works");
            assert!(len <= 3, "{len}");
        }
        getter.join().expect("a getter");
    });
    assert_seen(&queue, 0);
}

/// Q6: the totals count every message once.
pub fn q06_totals_count_every_message<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(10);
    for round in 1..=50 {
        put_numbers(&queue, 0..10);
        (0..10).for_each(|_| drop(get(&queue)));
        let stat = queue.stat().expect("a queue that works");
        assert_eq!((stat.puts, stat.gets, stat.in_flight), (round * 10, round * 10, 0));
        assert!(!stat.closed && !stat.location.is_empty());
    }
}

/// Q6: so are the bytes of every message that was put, alone or in a batch, and of none that was refused.
pub fn q06_bytes_put_are_counted<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("bytes", &QueueOptions::new().capacity(3).max_message(100_000));
    let bytes_put = || queue.stat().expect("a queue that works").bytes_put;
    assert_eq!(bytes_put(), 0);
    queue.put(&[b"two ", b"parts"], Wait::No).expect("there is room");
    assert_eq!(bytes_put(), 9);
    let mut batch = Batch::new();
    [&b"not this one"[..], b"", &[7; 50_000], b"nor that"].iter().for_each(|message| batch.push(message));
    assert_says!(queue.put_many(&batch, 1, Wait::No), (2, Err(PutFault::Full)));
    assert_eq!(bytes_put(), 50_009);
    assert_says!(try_put(&queue, b"no room"), Err(PutFault::Full));
    (0..3).for_each(|_| drop(get(&queue)));
    assert_says!(try_put(&queue, &[7; 100_001]), Err(PutFault::TooLong { .. }));
    try_put(&queue, &[7; 100_000]).expect("there is room");
    queue.close().expect("a queue that works");
    assert_says!(try_put(&queue, b"closed"), Err(PutFault::Closed));
    assert_eq!(bytes_put(), 150_009);
}

/// Q6: calls that slept are counted, once each, and those that did not sleep are not.
pub fn q06_calls_that_slept_are_counted<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let waits = || queue.stat().map(|stat| (stat.put_waits, stat.get_waits)).expect("a queue that works");
    let a_while = || Wait::timeout(Duration::from_millis(150));
    for round in 0..3 {
        assert_says!(get_within(&queue, a_while()), Err(GetFault::Timeout));
        put_numbers(&queue, 0..1);
        assert_says!(try_put(&queue, b"full"), Err(PutFault::Full));
        assert_says!(queue.put(&[b"full"], a_while()), Err(PutFault::Timeout));
        drop(get(&queue));
        assert_says!(try_get(&queue), Err(GetFault::Empty));
        assert_eq!(waits(), (round + 1, round + 1));
    }
}
