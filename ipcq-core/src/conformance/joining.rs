//! Q21 join.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::acknowledged::{acknowledge, assert_counts, deliver, deliveries, give_back, queue_of};
use super::holders::holder;
use super::stage::{Shared, Stage, assert_says, name, put_numbers, until, within};
use super::{Harness, bounds};
use crate::error::JoinFault;
use crate::{Transport, Wait};

fn assert_unfinished(queue: &Shared) {
    assert_says!(queue.join(Wait::No), Err(JoinFault::Unfinished));
    assert_says!(queue.join(within(bounds::BRIEF)), Err(JoinFault::Timeout));
}

fn assert_finished(queue: &Shared) {
    for wait in [Wait::No, within(bounds::CASE), Wait::Forever] {
        assert_says!(queue.join(wait), Ok(()));
    }
}

/// Q21: a join that cannot end says so in each waiting form; once it can, all of them return.
pub fn q21_join_waits_in_three_forms<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..1);
    assert_unfinished(&queue);
    let (_, tag) = deliver(&queue);
    assert_unfinished(&queue);
    acknowledge(&queue, &tag);
    assert_finished(&queue);
}

/// Q21: with nothing to wait for, join returns at once, on a closed queue too.
pub fn q21_join_of_nothing_is_done_at_once<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    assert_finished(&queue);
    put_numbers(&queue, 0..1);
    acknowledge(&queue, &deliver(&queue).1);
    queue.close().expect("an open queue closes");
    assert_finished(&queue);
}

/// Q21: join waits for what was put before it began, and for nothing that was put later. Nobody sees when it began, so
/// one that came too late waits for the later message, and is tried again with more time to begin.
pub fn q21_join_does_not_wait_for_later_puts<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    let other = stage.open("q");
    let try_once = |time: Duration| {
        put_numbers(&queue, 0..1);
        let (_, earlier) = deliver(&queue);
        thread::scope(|scope| {
            let (begin, begun) = mpsc::channel();
            let other = &other;
            let joiner = scope.spawn(move || {
                begin.send(()).expect("one who listens");
                other.join(within(bounds::SLICES))
            });
            begun.recv().expect("one who joins");
            let start = Instant::now();
            while start.elapsed() < time {
                thread::yield_now();
            }
            put_numbers(&queue, 1..3);
            acknowledge(&queue, &earlier);
            let outcome = joiner.join().expect("a joiner");
            assert_counts(&queue, 2, 0);
            deliveries(&queue, 2).iter().for_each(|tag| acknowledge(&queue, tag));
            outcome.is_ok()
        })
    };
    let mut times = (0..100).map(|tries| Duration::from_micros(100) * tries);
    assert!(times.any(try_once), "join waits for what was put later");
}

/// Q21: join waits for messages that nobody has taken.
pub fn q21_join_waits_for_what_is_ready<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..3);
    thread::scope(|scope| {
        let joiner = scope.spawn(|| stage.open("q").join(Wait::Forever));
        for _ in 0..3 {
            assert!(!joiner.is_finished());
            acknowledge(&queue, &deliver(&queue).1);
        }
        joiner.join().expect("a joiner").expect("a queue that works");
    });
}

/// Q21: join waits for what came back as for all else.
pub fn q21_join_waits_for_what_came_back<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..2);
    let tags = deliveries(&queue, 2);
    acknowledge(&queue, &tags[1]);
    give_back(&queue, &tags[0]);
    assert_unfinished(&queue);
    acknowledge(&queue, &deliver(&queue).1);
    assert_finished(&queue);
}

/// Q21: whatever the order of acknowledgements, join returns after the last, and not before.
pub fn q21_join_returns_when_the_last_is_acknowledged<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 50) else { return };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        put_numbers(&queue, 0..3);
        let tags = deliveries(&queue, 3);
        thread::scope(|scope| {
            let joiner = scope.spawn(|| stage.open("q").join(Wait::Forever));
            for place in order {
                assert!(!joiner.is_finished());
                acknowledge(&queue, &tags[place]);
            }
            joiner.join().expect("a joiner").expect("a queue that works");
        });
    }
}

/// Q21: any number may join at once.
pub fn q21_several_join_at_once<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..5);
    let tags = deliveries(&queue, 5);
    thread::scope(|scope| {
        let join = || stage.open("q").join(Wait::Forever);
        let joiners: Vec<_> = (0..4).map(|_| scope.spawn(join)).collect();
        for tag in tags.iter().rev() {
            assert!(!joiners.iter().any(thread::ScopedJoinHandle::is_finished));
            acknowledge(&queue, tag);
        }
        for joiner in joiners {
            joiner.join().expect("a joiner").expect("a queue that works");
        }
    });
}

/// Q21, Q13: a join of a queue that is removed ends with an error.
pub fn q21_join_of_a_removed_queue_ends<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..1);
    let _tag = deliver(&queue);
    thread::scope(|scope| {
        let other = stage.open("q");
        let joiner = scope.spawn(move || other.join(Wait::Forever));
        stage.transport().remove(&name("q")).expect("the queue was made before");
        let outcome = joiner.join().expect("a joiner");
        assert_says!(outcome, Err(JoinFault::Backend(error)) if error.is_gone());
    });
}

/// Q21, Q15: join returns although a worker died, once another one has done its work.
pub fn q21_join_does_not_hang_with_a_dead_holder<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..4);
    let Some(holder) = holder(stage) else { return };
    thread::scope(|scope| {
        let joiner = scope.spawn(|| stage.open("q").join(Wait::Forever));
        acknowledge(&queue, &deliver(&queue).1);
        holder.kill();
        for expected in 0..3 {
            assert!(!joiner.is_finished());
            let (number, tag) = deliver(&queue);
            assert_eq!((number, tag.redeliveries), (expected, 1));
            acknowledge(&queue, &tag);
        }
        until(|| joiner.is_finished());
        joiner.join().expect("a joiner").expect("a queue that works");
    });
}
