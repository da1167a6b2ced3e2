//! Q4 capacity.

use std::sync::Barrier;
use std::thread;

use super::Harness;
use super::helper::{Helper, Role};
use super::stage::{
    Shared, Stage, assert_says, drain_numbers, get, name, pattern, put, put_numbers, try_get, try_put, within,
};
use crate::error::{CreateError, GetFault, PutFault};
use crate::{Capacity, QueueOptions, Transport, Wait};

/// Q4: a queue made for N messages takes exactly N, whatever their sizes, with no consumer running.
pub fn q04_capacity_is_exact<H: Harness>(stage: &Stage<H>) {
    for capacity in [1, 2, 3, 1000] {
        let queue = stage.create(&format!("of-{capacity}"), &QueueOptions::new().capacity(capacity));
        assert_eq!(queue.identity().capacity, capacity);
        for round in 0..3 {
            assert_takes_exactly(&queue, capacity, round);
        }
    }
}

fn assert_takes_exactly(queue: &Shared, capacity: usize, round: usize) {
    let size = |n: usize| [0, 1, 100, 5000][(n + round) % 4];
    for n in 0..capacity {
        try_put(queue, &pattern(size(n), 1)).expect("a queue that is not full takes a message");
    }
    for len in [0, 1, 70_000] {
        assert_says!(try_put(queue, &pattern(len, 1)), Err(PutFault::Full));
    }
    assert_eq!(get(queue).len(), size(0));
    put(queue, b"the place of the one taken");
    assert_says!(try_put(queue, b""), Err(PutFault::Full));
    assert!(queue.is_full().expect("a queue that works"));
    for n in 1..capacity {
        assert_eq!(get(queue).len(), size(n));
    }
    assert_eq!(get(queue), b"the place of the one taken");
    assert_says!(try_get(queue), Err(GetFault::Empty));
}

/// Q4: one more than the capacity waits, and goes in when a message leaves.
pub fn q04_the_one_too_many_waits<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(3);
    put_numbers(&queue, 0..3);
    let late = queue.put(&[&3_u64.to_le_bytes()], within(std::time::Duration::from_millis(20)));
    assert_says!(late, Err(PutFault::Timeout));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| put_numbers(&queue, 3..4));
        assert_eq!(super::stage::number(&get(&stage.open("q"))), 0);
        waiting.join().expect("a putter");
    });
    assert_eq!(drain_numbers(&queue), [1, 2, 3]);
}

/// Q4: also when many put at once, exactly N get in.
pub fn q04_capacity_is_exact_for_many_putters<H: Harness>(stage: &Stage<H>) {
    const PUTTERS: usize = 4;
    let queue = stage.queue(100);
    let start = Barrier::new(PUTTERS);
    let in_total: usize = thread::scope(|scope| {
        let fill = || {
            let queue = stage.open("q");
            start.wait();
            fill_up(&queue)
        };
        let putters: Vec<_> = (0..PUTTERS).map(|_| scope.spawn(fill)).collect();
        putters.into_iter().map(|putter| putter.join().expect("a putter")).sum()
    });
    assert_eq!(in_total, 100);
    assert_eq!(queue.len().expect("a queue that works"), 100);
}

/// Puts until the queue says `Full`, and returns how many went in.
fn fill_up(queue: &Shared) -> usize {
    let mut done = 0;
    loop {
        match try_put(queue, b"message") {
            Ok(()) => done += 1,
            Err(PutFault::Busy) => {}
            Err(PutFault::Full) => return done,
            Err(fault) => panic!("{fault}"),
        }
    }
}

/// Q4: the capacity is 1000 unless another is asked for.
pub fn q04_the_default_is_1000<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("q", &QueueOptions::new());
    assert_eq!(queue.identity().capacity, 1000);
    assert_eq!(stage.open("q").identity().capacity, 1000);
}

/// Q4: `max` asks for the most that the transport can hold, and `capacity` then reports that number.
pub fn q04_max_is_the_most_the_transport_holds<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("q", &QueueOptions::new().capacity(Capacity::Max));
    let most = stage.transport().capabilities().max_capacity;
    assert!(most >= 1000, "{most}");
    assert_eq!(queue.identity().capacity, most);
    assert_eq!(stage.open("q").identity().capacity, most);
    put_numbers(&queue, 0..2000.min(u64::try_from(most).expect("64 bits")));
    assert_eq!(queue.is_full().expect("a queue that works"), most <= 2000);
}

/// Q4: a capacity that the transport cannot have fails at creation and names the largest; none at all is no
/// capacity. Nothing is left of the attempt.
pub fn q04_what_cannot_be_had_is_refused<H: Harness>(stage: &Stage<H>) {
    let most = stage.transport().capabilities().max_capacity;
    if let Some(more) = most.checked_add(1) {
        let refused = stage.transport().create(&name("q"), &QueueOptions::new().capacity(more));
        let error = refused.expect_err("no transport holds more than its most");
        assert!(error.to_string().contains(&most.to_string()), "{error}");
        assert_says!(error, CreateError::Unsupported { .. });
    }
    let refused = stage.transport().create(&name("q"), &QueueOptions::new().capacity(0));
    assert_says!(refused, Err(CreateError::Invalid { .. }));
    assert_eq!(stage.queue(1).identity().capacity, 1);
}

/// Q4: a producer may fill the queue and exit before any consumer starts.
pub fn q04_a_producer_may_fill_and_exit<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::Put) else { return stage.assert_confined() };
    let queue = stage.queue(100);
    Helper::spawn(command).finish();
    assert!(queue.is_full().expect("a queue that works"));
    assert_says!(queue.put(&[b""], Wait::No), Err(PutFault::Full));
    assert_eq!(drain_numbers(&queue), (0..100).collect::<Vec<_>>());
}
