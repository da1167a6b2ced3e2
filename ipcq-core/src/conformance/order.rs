//! Q1 order and Q2 linearizability.

use std::thread;

use super::helper::{Helper, Role};
use super::stage::{Stage, drain_numbers, get, get_within, number, pattern, put, put_numbers, until};
use super::{Harness, bounds};
use crate::{QueueOptions, Wait};

/// Q1: first in, first out, whatever the lengths of the messages.
pub fn q01_first_in_first_out<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(500);
    let message = |n: u64| pattern(usize::try_from(n * 37 % 1000).expect("a small length"), n);
    for n in 0..500 {
        put(&queue, &message(n));
    }
    for n in 0..500 {
        assert_eq!(get(&queue), message(n), "message {n}");
    }
}

/// Q1: the order holds over all handles, not for each.
pub fn q01_order_holds_over_two_handles<H: Harness>(stage: &Stage<H>) {
    let one = stage.queue(300);
    let other = stage.open("q");
    for n in 0..300 {
        put_numbers(if n % 3 == 0 { &one } else { &other }, n..n + 1);
    }
    for n in 0..300 {
        assert_eq!(number(&get(if n % 2 == 0 { &one } else { &other })), n);
    }
}

/// Q1: each message goes to exactly one getter, and those of one putter reach each getter in their order.
pub fn q01_each_message_goes_to_exactly_one_getter<H: Harness>(stage: &Stage<H>) {
    const PUTTERS: u64 = 4;
    const EACH: u64 = 1000;
    let queue = stage.queue(16);
    let mut received: Vec<u64> = thread::scope(|scope| {
        let putters: Vec<_> = (0..PUTTERS)
            .map(|putter| {
                scope.spawn(move || put_numbers(&stage.open("q"), putter * EACH..(putter + 1) * EACH))
            })
            .collect();
        let getters: Vec<_> = (0..4).map(|_| scope.spawn(|| all_until_closed(stage))).collect();
        putters.into_iter().for_each(|putter| putter.join().expect("a putter"));
        queue.close().expect("an open queue closes");
        let each = getters.into_iter().map(|getter| getter.join().expect("a getter"));
        each.inspect(|numbers| assert_in_order_per_putter(numbers, EACH)).flatten().collect()
    });
    received.sort_unstable();
    assert_eq!(received, (0..PUTTERS * EACH).collect::<Vec<_>>());
}

fn all_until_closed<H: Harness>(stage: &Stage<H>) -> Vec<u64> {
    let queue = stage.open("q");
    let numbers = std::iter::from_fn(|| get_within(&queue, Wait::Forever).ok());
    numbers.map(|message| number(&message)).collect()
}

fn assert_in_order_per_putter(numbers: &[u64], each: u64) {
    let mut last = std::collections::HashMap::new();
    for &n in numbers {
        let before = last.insert(n / each, n);
        assert!(before.is_none_or(|before| before < n), "{n} came after {before:?}");
    }
}

/// Q1: the order holds between processes.
pub fn q01_order_holds_between_processes<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::Put) else { return stage.assert_confined() };
    let queue = stage.queue(7);
    let helper = Helper::spawn(command);
    for n in 0..100 {
        assert_eq!(number(&get(&queue)), n);
    }
    helper.finish();
}

/// Q2: once a put has returned, every handle and thread knows of the message.
pub fn q02_a_put_is_known_at_once<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(50);
    let other = stage.open("q");
    for n in 0..50 {
        put_numbers(&queue, n..n + 1);
        let seen = thread::scope(|scope| scope.spawn(|| other.len()).join().expect("a thread that looks"));
        assert_eq!(seen.expect("a queue that works"), usize::try_from(n).expect("a small number") + 1);
        assert!(!other.is_empty().expect("a queue that works"));
        assert_eq!(other.is_full().expect("a queue that works"), n == 49);
    }
}

/// Q2: once a get has returned, every handle knows of the room, and nobody sees the message again.
pub fn q02_a_get_is_known_at_once<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(20);
    let other = stage.open("q");
    put_numbers(&queue, 0..20);
    for n in 0..20 {
        assert_eq!(number(&get(&queue)), n);
        assert!(!other.is_full().expect("a queue that works"));
        put_numbers(&other, n + 20..n + 21);
        assert!(queue.is_full().expect("a queue that works"));
    }
    assert_eq!(drain_numbers(&other), (20..40).collect::<Vec<_>>());
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q2: other processes know at once, too, and what they take is taken for everyone.
pub fn q02_a_put_is_known_in_other_processes<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::Observe) else { return stage.assert_confined() };
    let queue = stage.queue(3);
    put_numbers(&queue, 0..3);
    Helper::spawn(command).finish();
    assert_eq!(queue.len().expect("a queue that works"), 2);
    assert_eq!(drain_numbers(&queue), [1, 2]);
}

/// Q2: a message is not held back by a handle that has looked at the queue and waits for the next one.
pub fn q02_no_handle_hides_messages<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("q", &QueueOptions::new());
    thread::scope(|scope| {
        let first = scope.spawn(|| get(&stage.open("q")));
        until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
        put_numbers(&queue, 0..10);
        assert_eq!(number(&first.join().expect("a getter")), 0);
        let rest: Vec<_> = (1..10)
            .map(|_| get_within(&queue, Wait::timeout(bounds::LATE)).expect("a message nobody hides"))
            .collect();
        assert!(rest.iter().map(|message| number(message)).eq(1..10));
    });
}
