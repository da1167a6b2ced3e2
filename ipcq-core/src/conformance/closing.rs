//! Q7 closing.

use std::thread;

use super::Harness;
use super::stage::{
    Stage, assert_says, drain_numbers, get, get_within, number, put_numbers, try_get, try_put, until, within,
};
use crate::error::{GetFault, PutFault};
use crate::{Batch, Limit, Wait};

/// Q7: gets drain what is there, then say `Closed`, in every waiting form.
pub fn q07_gets_drain_and_then_say_closed<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(10);
    put_numbers(&queue, 0..5);
    queue.close().expect("an open queue closes");
    assert_eq!(queue.len().expect("a closed queue still answers"), 5);
    assert_eq!(number(&get(&queue)), 0);
    assert_eq!(drain_numbers(&queue), [1, 2, 3, 4]);
    for wait in [Wait::No, within(super::bounds::CASE), Wait::Forever] {
        assert_says!(get_within(&queue, wait), Err(GetFault::Closed));
        let many = queue.get_many(&mut Batch::new(), Limit::messages(3), wait);
        assert_says!(many, Err(GetFault::Closed));
    }
}

/// Q7: a put into a closed queue says `Closed` in every waiting form, also when the queue is full.
pub fn q07_puts_say_closed<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(2);
    let mut batch = Batch::new();
    batch.push(b"late");
    queue.close().expect("an open queue closes");
    for wait in [Wait::No, within(super::bounds::CASE), Wait::Forever] {
        assert_says!(queue.put(&[b"late"], wait), Err(PutFault::Closed));
        assert_says!(queue.put_many(&batch, 0, wait), (0, Err(PutFault::Closed)));
    }
    assert!(queue.is_empty().expect("a closed queue still answers"));
}

/// Q7: a full queue that is closed is closed, not full.
pub fn q07_a_full_queue_says_closed<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    put_numbers(&queue, 0..1);
    queue.close().expect("an open queue closes");
    for wait in [Wait::No, within(super::bounds::CASE), Wait::Forever] {
        assert_says!(queue.put(&[b"late"], wait), Err(PutFault::Closed));
    }
    assert_eq!(drain_numbers(&queue), [0]);
}

/// Q7: closing is for every handle, those opened later included, and once and for all.
pub fn q07_close_is_for_everyone<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(2);
    let other = stage.open("q");
    assert!(!other.is_closed().expect("a queue that works"));
    queue.close().expect("an open queue closes");
    assert!(other.is_closed().expect("a queue that works"));
    assert_says!(try_put(&other, b"late"), Err(PutFault::Closed));
    let later = stage.open("q");
    assert!(later.is_closed().expect("a queue that works"));
    assert!(later.stat().expect("a closed queue still answers").closed);
    assert_says!(try_get(&later), Err(GetFault::Closed));
}

/// Q7: closing twice is no error.
pub fn q07_closing_twice_is_no_error<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(2);
    put_numbers(&queue, 0..1);
    queue.close().expect("an open queue closes");
    queue.close().expect("closing twice is no error");
    stage.open("q").close().expect("closing twice is no error");
    assert_eq!(drain_numbers(&queue), [0]);
}

/// Q7: gets that wait wake and say `Closed`.
pub fn q07_close_wakes_waiting_gets<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(2);
    thread::scope(|scope| {
        let wait = || get_within(&stage.open("q"), Wait::Forever);
        let getters: Vec<_> = (0..4).map(|_| scope.spawn(wait)).collect();
        until(|| queue.stat().expect("a queue that works").waiting_getters == 4);
        queue.close().expect("an open queue closes");
        for getter in getters {
            assert_says!(getter.join().expect("a getter"), Err(GetFault::Closed));
        }
    });
}

/// Q7: puts that wait wake and say `Closed`; what they wanted to put is not in the queue.
pub fn q07_close_wakes_waiting_puts<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    put_numbers(&queue, 0..1);
    thread::scope(|scope| {
        let wait = || stage.open("q").put(&[b"late"], Wait::Forever);
        let putters: Vec<_> = (0..4).map(|_| scope.spawn(wait)).collect();
        until(|| queue.stat().expect("a queue that works").waiting_putters == 4);
        queue.close().expect("an open queue closes");
        for putter in putters {
            assert_says!(putter.join().expect("a putter"), Err(PutFault::Closed));
        }
    });
    assert_eq!(drain_numbers(&queue), [0]);
}

/// Q7: close is one instant. Every put before it is drained, none after it; once a get has said `Closed`, nothing
/// comes any more.
pub fn q07_close_is_one_instant<H: Harness>(stage: &Stage<H>) {
    for round in 0..20 {
        let queue = stage.create(&format!("round-{round}"), &crate::QueueOptions::new().capacity(8));
        let (put, got) = thread::scope(|scope| {
            let putters: Vec<_> = (0..2).map(|_| scope.spawn(|| put_until_closed(&queue))).collect();
            let getters: Vec<_> = (0..2).map(|_| scope.spawn(|| get_until_closed(&queue))).collect();
            until(|| queue.stat().expect("a queue that works").puts > 50);
            queue.close().expect("an open queue closes");
            let put: u64 = putters.into_iter().map(|putter| putter.join().expect("a putter")).sum();
            let got: u64 = getters.into_iter().map(|getter| getter.join().expect("a getter")).sum();
            (put, got)
        });
        assert_eq!(put, got);
        assert_says!(try_get(&queue), Err(GetFault::Closed));
        assert!(queue.is_empty().expect("a closed queue still answers"));
    }
}

fn put_until_closed(queue: &super::stage::Shared) -> u64 {
    let mut done = 0;
    while queue.put(&[b"message"], Wait::Forever).is_ok() {
        done += 1;
    }
    done
}

fn get_until_closed(queue: &super::stage::Shared) -> u64 {
    let mut done = 0;
    while get_within(queue, Wait::Forever).is_ok() {
        done += 1;
    }
    done
}
