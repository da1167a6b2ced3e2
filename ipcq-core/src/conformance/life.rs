//! Q13 life, Q14 privacy, Q15 death and Q18 no ceremony.

use std::sync::Barrier;
use std::thread;

use super::helper::{Helper, Role, flood_message};
use super::stage::{
    Stage, assert_says, drain_numbers, get, get_within, name, pattern, put, put_numbers, try_get, try_put,
    until,
};
use super::{Harness, bounds};
use crate::error::{BackendErrorKind, CreateError, GetFault, OpenError, PutFault, RemoveError};
use crate::{Capabilities, Lifetime, QueueOptions, Transport, Wait};

/// Q13: `remove` wakes everyone who waits with `Closed`.
pub fn q13_remove_wakes_everyone<H: Harness>(stage: &Stage<H>) {
    let (full, empty) = (stage.queue(1), stage.create("empty", &QueueOptions::new()));
    put_numbers(&full, 0..1);
    thread::scope(|scope| {
        let putter = scope.spawn(|| stage.open("q").put(&[b"late"], Wait::Forever));
        let getters: Vec<_> = (0..3).map(|_| scope.spawn(|| get_within(&empty, Wait::Forever))).collect();
        until(|| full.stat().expect("a queue that works").waiting_putters == 1);
        until(|| empty.stat().expect("a queue that works").waiting_getters == 3);
        for text in ["q", "empty"] {
            stage.transport().remove(&name(text)).expect("the queue is there");
        }
        assert_says!(putter.join().expect("a putter"), Err(PutFault::Closed));
        for getter in getters {
            assert_says!(getter.join().expect("a getter"), Err(GetFault::Closed));
        }
    });
}

/// Q13: of removers that race exactly one did it; to the others there was no queue.
pub fn q13_racing_removers_get_one_winner<H: Harness>(stage: &Stage<H>) {
    const REMOVERS: usize = 4;
    for round in 0..30 {
        let text = format!("round-{round}");
        let _held = stage.create(&text, &QueueOptions::new());
        let start = Barrier::new(REMOVERS);
        let remove = || {
            start.wait();
            match stage.transport().remove(&name(&text)) {
                Ok(()) => 1,
                Err(RemoveError::Missing { .. }) => 0,
                Err(error) => panic!("{error}"),
            }
        };
        let winners: usize = thread::scope(|scope| {
            let removers: Vec<_> = (0..REMOVERS).map(|_| scope.spawn(remove)).collect();
            removers.into_iter().map(|remover| remover.join().expect("a remover")).sum()
        });
        assert_eq!(winners, 1, "in round {round}");
        assert_says!(stage.transport().open(&name(&text)), Err(OpenError::Missing { .. }));
    }
}

/// Q13: after `remove`, old handles find the queue closed and empty, and their observers say that it is gone.
pub fn q13_remove_ends_the_queue_for_old_handles<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(10);
    put_numbers(&queue, 0..5);
    stage.transport().remove(&name("q")).expect("the queue is there");
    for wait in [Wait::No, Wait::timeout(bounds::CASE), Wait::Forever] {
        assert_says!(queue.put(&[b"late"], wait), Err(PutFault::Closed));
        assert_says!(get_within(&queue, wait), Err(GetFault::Closed));
    }
    let answers = [
        queue.len().map(drop),
        queue.is_empty().map(drop),
        queue.is_full().map(drop),
        queue.is_closed().map(drop),
        queue.stat().map(drop),
        queue.close(),
    ];
    for answer in answers {
        let error = answer.expect_err("a queue that is gone has no state");
        assert_eq!(error.kind(), BackendErrorKind::Gone, "{error}");
    }
}

/// Q13: after `remove` the name is free, and a new queue of that name has nothing to do with the old one.
pub fn q13_remove_frees_the_name<H: Harness>(stage: &Stage<H>) {
    let old = stage.queue(10);
    put_numbers(&old, 0..5);
    stage.transport().remove(&name("q")).expect("the queue is there");
    let new = stage.queue(2);
    assert_ne!(old.identity().incarnation, new.identity().incarnation);
    assert!(new.is_empty().expect("a new queue is empty"));
    put_numbers(&new, 7..8);
    assert_says!(try_put(&old, b"late"), Err(PutFault::Closed));
    assert_says!(try_get(&old), Err(GetFault::Closed));
    assert_eq!(drain_numbers(&stage.open("q")), [7]);
}

/// Q13: `remove` leaves nothing behind, of a queue with long messages in it neither.
pub fn q13_remove_leaves_nothing<H: Harness>(stage: &Stage<H>) {
    let once = |len: usize| {
        let queue = stage.queue(10);
        (0..5).for_each(|n| put(&queue, &pattern(len, n)));
        stage.transport().remove(&name("q")).expect("the queue is there");
        (queue, stage.harness().traces())
    };
    let (_first, before) = once(10);
    let (_second, after) = once(3_000_000);
    assert_eq!(before, after);
    assert_eq!(stage.transport().list().expect("a readable place"), []);
}

/// Q13, Q18: a named queue of a transport that keeps queues until they are removed, or as long as the process that hosts
/// them lives, needs no open handle.
pub fn q13_a_named_queue_needs_no_handle<H: Harness>(stage: &Stage<H>) {
    drop(stage.queue(10));
    if stage.transport().capabilities().lifetime != Lifetime::WhileAnyHandle {
        put_numbers(&stage.open("q"), 0..3);
        assert_eq!(drain_numbers(&stage.open("q")), [0, 1, 2]);
    } else {
        until(|| matches!(stage.transport().open(&name("q")), Err(OpenError::Missing { .. })));
    }
}

/// Q13: an anonymous queue is a queue, has no name, and is in no list.
pub fn q13_an_anonymous_queue_has_no_name<H: Harness>(stage: &Stage<H>) {
    let queue =
        stage.transport().create_anonymous(&QueueOptions::new().capacity(3)).expect("an anonymous queue");
    put_numbers(&queue, 0..3);
    assert_says!(try_put(&queue, b""), Err(PutFault::Full));
    assert!(queue.identity().name.is_none() && queue.identity().address().is_none());
    assert_eq!(stage.transport().list().expect("a readable place"), []);
    assert_eq!(drain_numbers(&queue), [0, 1, 2]);
    assert_says!(try_get(&queue), Err(GetFault::Empty));
    let other = stage.transport().create_anonymous(&QueueOptions::new()).expect("another");
    assert_ne!(queue.identity().incarnation, other.identity().incarnation);
}

/// Q14: a queue is private unless a wider mode is asked for, and no mode but 600, 660 and 666 can be.
pub fn q14_only_its_user_can_open_a_queue<H: Harness>(stage: &Stage<H>) {
    for mode in [0o600, 0o660, 0o666] {
        let text = format!("mode-{mode:o}");
        let queue = stage.create(&text, &QueueOptions::new().mode(mode));
        match stage.harness().mode(&*queue) {
            Some(found) => assert_eq!(found, mode, "{found:o}"),
            None => assert!(stage.helper(Role::Put).is_none(), "a mode that nobody can tell"),
        }
    }
    let private = stage.queue(1);
    assert!(stage.harness().mode(&*private).is_none_or(|mode| mode == 0o600));
    for mode in [0, 0o400, 0o644, 0o777, 0o1666] {
        let refused = stage.transport().create(&name("other"), &QueueOptions::new().mode(mode));
        assert_says!(refused, Err(CreateError::Invalid { .. }));
    }
}

/// Q15: a putter can be killed at any time: what it had put is there, whole and in order, and the others go on.
pub fn q15_a_putter_can_be_killed<H: Harness>(stage: &Stage<H>) {
    if stage.helper(Role::Flood).is_none() {
        return stage.assert_confined();
    }
    for round in 0..5 {
        let queue = stage.queue(4);
        let helper = Helper::spawn(stage.helper(Role::Flood).expect("asked for above"));
        let mut next = 0;
        while next < 5 + round * 3 {
            assert!(get(&queue) == flood_message(next), "message {next} came out changed");
            next += 1;
        }
        helper.kill();
        while let Ok(message) = try_get(&queue) {
            assert!(message == flood_message(next), "message {next} came out changed");
            next += 1;
        }
        put_numbers(&queue, 0..4);
        assert_says!(try_put(&queue, b""), Err(PutFault::Full));
        assert_eq!(drain_numbers(&queue), [0, 1, 2, 3]);
        stage.transport().remove(&name("q")).expect("the queue is there");
    }
}

/// Q15: a getter that waits can be killed: the next message goes to one who lives, and nobody counts the dead.
pub fn q15_a_waiting_getter_can_be_killed<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::Wait) else { return stage.assert_confined() };
    let queue = stage.queue(4);
    let waiting = |queue: &super::stage::Shared| queue.stat().expect("a queue that works").waiting_getters;
    let helper = Helper::spawn(command);
    until(|| waiting(&queue) == 1);
    helper.kill();
    thread::scope(|scope| {
        let getter = scope.spawn(|| get(&queue));
        put_numbers(&queue, 0..1);
        assert_eq!(super::stage::number(&getter.join().expect("a getter")), 0);
    });
    until(|| waiting(&queue) == 0);
    assert_eq!(queue.len().expect("a queue that works"), 0);
}

/// Q18: what was put stays put when its putter ends without any clean-up.
pub fn q18_a_putter_may_end_at_once<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::PutAndAbort) else { return stage.assert_confined() };
    let queue = stage.queue(100);
    Helper::spawn(command).end();
    assert_eq!(drain_numbers(&queue), (0..100).collect::<Vec<_>>());
}

/// Q18: what was put stays put when handles are dropped while others are open.
pub fn q18_dropped_handles_need_no_flush<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(100);
    for n in 0..100 {
        put_numbers(&stage.open("q"), n..n + 1);
    }
    assert_eq!(drain_numbers(&queue), (0..100).collect::<Vec<_>>());
}

/// Q13: what a transport cannot do it says, and asking for it is refused when the queue is made.
pub fn q13_missing_capabilities_are_refused<H: Harness>(stage: &Stage<H>) {
    let Capabilities { auto_close, acknowledged, anonymous, .. } = stage.transport().capabilities();
    let asked = [
        (auto_close, QueueOptions::new().auto_close(true)),
        (acknowledged, QueueOptions::new().acknowledged(true)),
    ];
    for ((offered, options), text) in asked.iter().zip(["a", "b"]) {
        match stage.transport().create(&name(text), options) {
            Ok(_) => assert!(offered, "{options:?}"),
            Err(error) => {
                assert!(!offered, "{error}");
                assert_says!(error, CreateError::Unsupported { .. });
            }
        }
    }
    let made = stage.transport().create_anonymous(&QueueOptions::new());
    assert_eq!(made.is_ok(), anonymous);
}
