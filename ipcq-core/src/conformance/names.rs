//! Q11 names and Q12 making and opening.

use std::sync::Barrier;
use std::thread;

use super::Harness;
use super::stage::{Stage, assert_says, drain_numbers, get, name, put, put_numbers};
use crate::error::{CreateError, OpenError, RemoveError};
use crate::{QueueName, QueueOptions, Transport};

/// Q11: every legal name works: of one character and of 200, with all that is allowed.
pub fn q11_every_legal_name_works<H: Harness>(stage: &Stage<H>) {
    let all = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    let long = ["x".repeat(200), format!("{all}{all}{all}a.")];
    let short = ["a", "Z", "0", "_", "a.", "a-", "a..b", "con", "a.lock", "q.tmp", "queue", "_.-"];
    let names: Vec<_> = short.into_iter().chain(long.iter().map(String::as_str)).collect();
    let queues: Vec<_> = names.iter().map(|text| stage.create(text, &QueueOptions::new())).collect();
    for (queue, text) in queues.iter().zip(&names) {
        put(queue, text.as_bytes());
    }
    for text in &names {
        let queue = stage.open(text);
        assert_eq!(get(&queue), text.as_bytes());
        assert_eq!(queue.identity().name, Some(name(text)));
    }
    assert_eq!(stage.transport().list().expect("a readable place").len(), names.len());
}

/// Q11: every legal name works in a directory of any depth.
pub fn q11_a_directory_may_be_deep<H: Harness>(stage: &Stage<H>) {
    let Some(harness) = H::deep() else {
        return assert!(stage.harness().place().is_none(), "other processes reach a place by its path");
    };
    let long = name(&"x".repeat(200));
    let made = harness.transport().create(&long, &QueueOptions::new()).expect("a fresh name is free");
    put_numbers(&made, 0..3);
    assert_eq!(
        drain_numbers(&harness.transport().open(&long).expect("the queue was made before")),
        [0, 1, 2]
    );
    assert_eq!(harness.transport().list().expect("a readable place"), std::slice::from_ref(&long));
    harness.transport().remove(&long).expect("the queue is there");
}

/// Q11: names that differ in case, or of which one begins like the other, are different queues.
pub fn q11_similar_names_are_different_queues<H: Harness>(stage: &Stage<H>) {
    let names = ["jobs", "Jobs", "jobs.", "jobs.1", "jobs-1", "job"];
    let queues = names.map(|text| stage.create(text, &QueueOptions::new()));
    for (queue, n) in queues.iter().zip(0..) {
        put_numbers(queue, n..n + 1);
    }
    for (text, n) in names.iter().zip(0..) {
        assert_eq!(drain_numbers(&stage.open(text)), [n], "{text}");
    }
}

/// Q11: anything else is refused, with the rule that it breaks.
pub fn q11_other_names_are_refused<H: Harness>(_: &Stage<H>) {
    let long = "x".repeat(201);
    let illegal =
        ["", ".", "..", "../q", "a/b", "/q", "-x", ".x", "a b", "a\0", "ä", "a\n", "ａ", "*", &long];
    for text in illegal {
        let error = QueueName::new(text).expect_err("an illegal name is refused");
        assert!(error.to_string().contains("queue name"), "{error}");
        assert_eq!(error.name(), text);
    }
}

/// Q12: `create` fails if the name exists, and leaves the queue as it is.
pub fn q12_create_fails_if_the_name_exists<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(3);
    put_numbers(&queue, 0..2);
    let again = stage.transport().create(&name("q"), &QueueOptions::new().capacity(9));
    assert_says!(again, Err(CreateError::Exists { queue }) if queue.ends_with(":q"));
    assert_eq!(stage.open("q").identity(), queue.identity());
    assert_eq!(drain_numbers(&queue), [0, 1]);
}

/// Q12: `open` fails if there is no queue of the name, and `remove` too.
pub fn q12_open_fails_if_there_is_none<H: Harness>(stage: &Stage<H>) {
    let transport = stage.transport();
    assert_says!(transport.open(&name("nothing")), Err(OpenError::Missing { queue }) if queue.ends_with(":nothing"));
    let removed = transport.remove(&name("nothing"));
    assert_says!(removed, Err(RemoveError::Missing { queue }) if queue.ends_with(":nothing"));
    let _queue = stage.queue(1);
    transport.remove(&name("q")).expect("the queue is there");
    assert_says!(transport.open(&name("q")), Err(OpenError::Missing { .. }));
    assert_says!(transport.remove(&name("q")), Err(RemoveError::Missing { .. }));
}

/// Q12: of creators that race exactly one wins; the others are told that the queue exists, and can open it.
pub fn q12_racing_creators_get_one_winner<H: Harness>(stage: &Stage<H>) {
    const CREATORS: usize = 4;
    for round in 0..30 {
        let text = format!("round-{round}");
        let start = Barrier::new(CREATORS);
        let create = |capacity: usize| {
            start.wait();
            match stage.transport().create(&name(&text), &QueueOptions::new().capacity(capacity)) {
                Ok(queue) => (queue, true),
                Err(CreateError::Exists { .. }) => (stage.open(&text), false),
                Err(error) => panic!("{error}"),
            }
        };
        let create = &create;
        let made: Vec<_> = thread::scope(|scope| {
            let creators: Vec<_> = (1..=CREATORS).map(|n| scope.spawn(move || create(n))).collect();
            creators.into_iter().map(|creator| creator.join().expect("a creator")).collect()
        });
        assert_eq!(made.iter().filter(|(_, won)| *won).count(), 1);
        let (winner, _) = made.iter().find(|(_, won)| *won).expect("one winner");
        assert!(made.iter().all(|(queue, _)| queue.identity() == winner.identity()));
    }
}

/// Q12: what was fixed when the queue was made is the same for everyone who opens it.
pub fn q12_what_was_fixed_is_seen_by_all<H: Harness>(stage: &Stage<H>) {
    let auto_close = stage.transport().capabilities().auto_close;
    let options = QueueOptions::new().capacity(12).max_message(3456).auto_close(auto_close).codec("mine");
    let made = stage.create("q", &options);
    let identity = made.identity();
    assert_eq!((identity.capacity, identity.max_message, identity.auto_close), (12, 3456, auto_close));
    assert_eq!((identity.codec.as_str(), identity.transport), ("mine", stage.transport().name()));
    assert_eq!(stage.open("q").identity(), identity);
    let address = identity.address().expect("a named queue has an address");
    assert_eq!(address.name().as_str(), "q");
}

/// Q12: the list holds the queues there are, sorted.
pub fn q12_the_list_is_sorted_and_complete<H: Harness>(stage: &Stage<H>) {
    let list = || stage.transport().list().expect("a readable place");
    assert_eq!(list(), []);
    let queues = ["b", "a", "C", "10", "9"].map(|text| stage.create(text, &QueueOptions::new()));
    let mut expected: Vec<_> = queues.iter().filter_map(|queue| queue.identity().name.clone()).collect();
    expected.sort();
    assert_eq!(list(), expected);
    stage.transport().remove(&name("a")).expect("the queue is there");
    expected.retain(|kept| kept.as_str() != "a");
    assert_eq!(list(), expected);
}

/// Q12: options that no queue can have are refused by every transport, and leave nothing behind.
pub fn q12_impossible_options_are_refused<H: Harness>(stage: &Stage<H>) {
    let plain = QueueOptions::new;
    let bad =
        [plain().codec(""), plain().codec("with space"), plain().codec(&"x".repeat(33)), plain().capacity(0)];
    for options in bad {
        let refused = stage.transport().create(&name("q"), &options);
        assert_says!(refused, Err(CreateError::Invalid { .. }));
    }
    assert_eq!(stage.transport().list().expect("a readable place"), []);
}
