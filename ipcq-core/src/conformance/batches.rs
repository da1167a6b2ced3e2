//! Q8 batches.

use std::thread;

use super::Harness;
use super::stage::{
    Shared, Stage, assert_says, drain_numbers, get, next_random, number, pattern, put, put_numbers, until,
    within,
};
use crate::error::{GetFault, PutFault};
use crate::{Batch, Limit, Wait};

/// A batch of the numbers of `range`.
fn numbers(range: std::ops::Range<u64>) -> Batch {
    let mut batch = Batch::new();
    range.for_each(|n| batch.push(&n.to_le_bytes()));
    batch
}

fn take(queue: &Shared, limit: Limit) -> Vec<u64> {
    let mut batch = Batch::new();
    let taken = queue.get_many(&mut batch, limit, Wait::Forever).expect("a queue that works");
    assert_eq!(taken, batch.len());
    batch.iter().map(number).collect()
}

/// Q8: a batch goes in whole and in order, and comes out so.
pub fn q08_a_batch_keeps_its_order<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1000);
    let (done, result) = queue.put_many(&numbers(0..1000), 0, Wait::No);
    assert_says!((done, result), (1000, Ok(())));
    assert!(queue.is_full().expect("a queue that works"));
    assert_eq!(take(&queue, Limit::messages(1000)), (0..1000).collect::<Vec<_>>());
}

/// Q8: a batch begins at the message asked for; one of none is done at once.
pub fn q08_a_batch_may_begin_in_the_middle<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let batch = numbers(0..6);
    assert_says!(queue.put_many(&batch, 4, Wait::No), (2, Ok(())));
    assert_eq!(drain_numbers(&queue), [4, 5]);
    assert_says!(queue.put_many(&batch, 6, Wait::Forever), (0, Ok(())));
    assert_says!(queue.put_many(&Batch::new(), 0, Wait::Forever), (0, Ok(())));
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q8: what does not fit stays out: the queue takes as many as there is room for, and says how many and why.
pub fn q08_a_batch_that_does_not_fit_goes_in_as_far_as_it_can<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(5);
    put_numbers(&queue, 100..102);
    assert_says!(queue.put_many(&numbers(0..9), 0, Wait::No), (3, Err(PutFault::Full)));
    let wait = within(std::time::Duration::from_millis(20));
    assert_says!(queue.put_many(&numbers(0..9), 3, wait), (0, Err(PutFault::Timeout)));
    assert_eq!(drain_numbers(&queue), [100, 101, 0, 1, 2]);
    let wait = within(std::time::Duration::from_millis(20));
    assert_says!(queue.put_many(&numbers(0..9), 0, wait), (5, Err(PutFault::Timeout)));
    assert_eq!(drain_numbers(&queue), [0, 1, 2, 3, 4]);
}

/// Q8: a batch longer than the queue's capacity waits for room as often as it needs to.
pub fn q08_a_batch_waits_until_all_are_in<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(3);
    thread::scope(|scope| {
        let putter = scope.spawn(|| stage.open("q").put_many(&numbers(0..500), 0, Wait::Forever));
        for n in 0..500 {
            assert_eq!(number(&get(&queue)), n);
        }
        assert_says!(putter.join().expect("a putter"), (500, Ok(())));
    });
}

/// Q8: closing ends a batch; what went in before stays in.
pub fn q08_close_ends_a_batch<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(3);
    thread::scope(|scope| {
        let putter = scope.spawn(|| stage.open("q").put_many(&numbers(0..10), 0, Wait::Forever));
        until(|| queue.stat().expect("a queue that works").waiting_putters == 1);
        queue.close().expect("an open queue closes");
        assert_says!(putter.join().expect("a putter"), (3, Err(PutFault::Closed)));
    });
    assert_eq!(drain_numbers(&queue), [0, 1, 2]);
}

/// Q8: a get of many takes what is there, up to what was asked for, and does not wait for more.
pub fn q08_get_many_takes_what_is_there<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(20);
    put_numbers(&queue, 0..10);
    assert_eq!(take(&queue, Limit::messages(4)), [0, 1, 2, 3]);
    assert_eq!(take(&queue, Limit::messages(100)), [4, 5, 6, 7, 8, 9]);
    assert_says!(queue.get_many(&mut Batch::new(), Limit::messages(2), Wait::No), Err(GetFault::Empty));
}

/// Q8: a get of many waits for one message.
pub fn q08_get_many_waits_for_one<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(20);
    thread::scope(|scope| {
        let getter = scope.spawn(|| take(&stage.open("q"), Limit::messages(7)));
        until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
        put_numbers(&queue, 3..4);
        assert_eq!(getter.join().expect("a getter"), [3]);
    });
}

/// Q8: a get of no messages is done at once, whatever the state of the queue.
pub fn q08_get_many_of_none_is_done_at_once<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(20);
    assert!(take(&queue, Limit::messages(0)).is_empty());
    put_numbers(&queue, 0..1);
    assert!(take(&queue, Limit::messages(0)).is_empty());
    assert_eq!(drain_numbers(&queue), [0]);
}

/// Q8: a get of many keeps within the bytes asked for; only its first message may be longer.
pub fn q08_get_many_keeps_within_its_bytes<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(300);
    let length = |n: u64| usize::try_from(next_random(n + 1) % 3000).expect("a small length");
    (0..300).for_each(|n| put(&queue, &pattern(length(n), n)));
    let (mut next, mut batch) = (0, Batch::new());
    while next < 300 {
        batch.clear();
        let limit = Limit::messages(10).with_bytes(4000);
        let taken = queue.get_many(&mut batch, limit, Wait::No).expect("there is a message");
        assert!((1..=10).contains(&taken) && taken == batch.len(), "{taken}");
        assert!(taken == 1 || batch.byte_len() <= 4000, "{taken} messages of {} bytes", batch.byte_len());
        for message in batch.iter() {
            assert!(message == pattern(length(next), next), "message {next} came out changed");
            next += 1;
        }
    }
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q8: behind a first message that is longer than the bytes asked for, not even an empty one is taken.
pub fn q08_get_many_stops_behind_its_bytes<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(9);
    for len in [1, 100, 5000, 65_485, 70_000] {
        put(&queue, &pattern(len, 7));
        put(&queue, b"");
        put(&queue, b"x");
        let mut batch = Batch::new();
        let limit = Limit::messages(9).with_bytes(0);
        assert_eq!(queue.get_many(&mut batch, limit, Wait::No).expect("there is a message"), 1, "{len}");
        assert_eq!(queue.get_many(&mut batch, limit, Wait::No).expect("there is a message"), 1, "{len}");
        assert_eq!(queue.get_many(&mut batch, limit, Wait::No).expect("there is a message"), 1, "{len}");
        assert!(batch.iter().map(<[u8]>::len).eq([len, 0, 1]), "{len}");
    }
}

/// Q8: what a get of many takes is added to what the batch held.
pub fn q08_get_many_appends<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(20);
    put_numbers(&queue, 1..3);
    let mut batch = numbers(0..1);
    assert_eq!(queue.get_many(&mut batch, Limit::messages(9), Wait::No).expect("there are messages"), 2);
    assert!(batch.iter().map(number).eq(0..3));
}

/// Q8: batches of several putters may mix, and each keeps its own order; nothing is lost or doubled.
pub fn q08_batches_may_mix_and_keep_their_order<H: Harness>(stage: &Stage<H>) {
    const PUTTERS: u64 = 3;
    const EACH: u64 = 1500;
    let queue = stage.queue(50);
    let mut next = [0; 3];
    thread::scope(|scope| {
        for putter in 0..PUTTERS {
            scope.spawn(move || {
                let batch = numbers(putter * EACH..(putter + 1) * EACH);
                assert_says!(stage.open("q").put_many(&batch, 0, Wait::Forever), (1500, Ok(())));
            });
        }
        while next.iter().sum::<u64>() < PUTTERS * EACH {
            for n in take(&queue, Limit::messages(32)) {
                let putter = usize::try_from(n / EACH).expect("a small number");
                assert_eq!(n % EACH, next[putter], "putter {putter}");
                next[putter] += 1;
            }
        }
    });
    assert!(queue.is_empty().expect("a queue that works"));
}
