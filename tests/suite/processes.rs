//! A queue reaches real processes by name, by inheritance, within a message and through a fork, and whatever they do with
//! it at once, each message arrives once and in the order of its producer.

use std::collections::HashMap;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::{Bytes, Queue, QueueOptions};
use ipcq_tests::process::Process;

use crate::place::{Place, on_each_transport};

on_each_transport! {
    q09_a_child_finds_a_queue_by_name,
    q09_a_child_inherits_a_queue,
    q09_a_child_of_a_child_inherits_a_queue,
    q09_a_queue_reaches_a_process_within_a_message,
    q01_every_message_of_eight_producers_reaches_one_of_eight_consumers,
    q09_a_handle_works_on_both_sides_of_a_fork,
    q09_both_sides_of_a_fork_can_wait,
    q09_a_loan_belongs_to_one_side_of_a_fork,
}

const LIMIT: Duration = Duration::from_secs(60);

/// The queue `name` of texts, which other processes find by that name.
fn texts(place: &Place, name: &str) -> Queue<String> {
    Queue::create(&*place.transport, name, &QueueOptions::new()).expect("a free name")
}

fn q09_a_child_finds_a_queue_by_name(transport: &str) {
    let _watchdog = Watchdog::start("a queue by name", LIMIT);
    let place = Place::new(transport);
    let queue =
        Queue::<Vec<u8>, Bytes>::create(&*place.transport, "q", &QueueOptions::new()).expect("a free name");
    place.start("put", &["q", "3", "10"]).finish();
    let first: Vec<u32> = queue.try_iter().map(|bytes| number(&bytes.expect("a message"))).collect();
    assert_eq!(first, (0..10).map(|n| 3 << 20 | n).collect::<Vec<_>>());
}

fn q09_a_child_inherits_a_queue(transport: &str) {
    let _watchdog = Watchdog::start("an inherited queue", LIMIT);
    let place = Place::new(transport);
    let nameless =
        Queue::<String>::anonymous(&*place.transport, &QueueOptions::new()).expect("an anonymous queue");
    for queue in [texts(&place, "q"), nameless] {
        let mut command = place.peer("put-inherited", &["from the child"]);
        queue.share_with(&mut command).expect("a child inherits the queue");
        Process::start(&mut command).finish();
        assert_eq!(queue.try_get().expect("a message"), "from the child");
    }
}

fn q09_a_child_of_a_child_inherits_a_queue(transport: &str) {
    let _watchdog = Watchdog::start("a queue inherited twice", LIMIT);
    let place = Place::new(transport);
    let queue =
        Queue::<String>::anonymous(&*place.transport, &QueueOptions::new()).expect("an anonymous queue");
    let mut command = place.peer("pass-on-inherited", &["from far away"]);
    queue.share_with(&mut command).expect("a child inherits the queue");
    Process::start(&mut command).finish();
    assert_eq!(queue.try_get().expect("a message"), "from far away");
}

fn q09_a_queue_reaches_a_process_within_a_message(transport: &str) {
    let _watchdog = Watchdog::start("a queue within a message", LIMIT);
    let place = Place::new(transport);
    let questions =
        Queue::<(String, Queue<String>)>::create(&*place.transport, "questions", &QueueOptions::new())
            .expect("a name");
    let answers = texts(&place, "answers");
    let peer = place.start("answer", &["questions"]);
    for question in ["one", "two"] {
        questions.put((question.to_owned(), answers.clone())).expect("there is room");
        assert_eq!(answers.get().expect("an answer"), question.to_uppercase());
    }
    questions.close().expect("an open queue closes");
    peer.finish();
}

fn q01_every_message_of_eight_producers_reaches_one_of_eight_consumers(transport: &str) {
    const EACH: u32 = 3000;
    let _watchdog = Watchdog::start("eight producers and eight consumers", LIMIT);
    let place = Place::new(transport);
    let options = QueueOptions::new().capacity(100);
    let queue = Queue::<Vec<u8>, Bytes>::create(&*place.transport, "q", &options).expect("a free name");
    let consumers: Vec<_> = (0..8).map(|_| place.start("get", &["q"])).collect();
    let producers: Vec<_> =
        (0..8).map(|n: u32| place.start("put", &["q", &n.to_string(), &EACH.to_string()])).collect();
    producers.into_iter().for_each(|producer| drop(producer.finish()));
    queue.close().expect("an open queue closes");
    let mut all = Vec::new();
    for consumer in consumers {
        let lines = consumer.finish();
        let numbers: Vec<u32> = serde_json::from_str(&lines[0]).expect("a list of numbers");
        assert_in_order_per_producer(&numbers);
        all.extend(numbers);
    }
    all.sort_unstable();
    let expected: Vec<u32> = (0..8).flat_map(|producer| (0..EACH).map(move |n| producer << 20 | n)).collect();
    assert!(all == expected, "{} messages arrived, {} were put", all.len(), expected.len());
    let stat = queue.stat().expect("a closed queue still answers");
    assert_eq!((stat.len, stat.puts, stat.gets), (0, u64::from(8 * EACH), u64::from(8 * EACH)));
}

fn assert_in_order_per_producer(numbers: &[u32]) {
    let mut last = HashMap::new();
    for &number in numbers {
        let before = last.insert(number >> 20, number);
        assert!(before.is_none_or(|before| before < number), "{number:x} came after {before:x?}");
    }
}

fn q09_a_handle_works_on_both_sides_of_a_fork(transport: &str) {
    let _watchdog = Watchdog::start("a handle that is used after a fork", LIMIT);
    let place = Place::new(transport);
    let options = QueueOptions::new().capacity(20);
    let queue = Queue::<(u8, u32)>::create(&*place.transport, "q", &options).expect("a free name");
    let peer = place.start("fork", &["q"]);
    let mut next = [0; 3];
    for _ in 0..1500 {
        let (side, number) = queue.get().expect("a message");
        let next = &mut next[usize::from(side)];
        assert_eq!(number, *next, "of side {side}");
        *next += 1;
    }
    assert_eq!(next, [500; 3]);
    peer.finish();
    assert!(queue.is_empty().expect("a queue that works"));
}

fn q09_both_sides_of_a_fork_can_wait(transport: &str) {
    let _watchdog = Watchdog::start("two that wait after a fork", LIMIT);
    let place = Place::new(transport);
    let queue =
        Queue::<(u8, u32)>::create(&*place.transport, "q", &QueueOptions::new()).expect("a free name");
    let mut peer = place.start("fork-waiting", &["q"]);
    while queue.stat().expect("a queue that works").waiting_getters < 2 {
        std::thread::yield_now();
    }
    queue.put((7, 1)).expect("there is room");
    queue.put((7, 2)).expect("there is room");
    let mut lines = [peer.hear(), peer.hear()];
    lines.sort();
    assert_eq!(lines, ["7 1", "7 2"]);
    peer.finish();
}

fn q09_a_loan_belongs_to_one_side_of_a_fork(transport: &str) {
    let _watchdog = Watchdog::start("loans that are there on both sides of a fork", LIMIT);
    let place = Place::new(transport);
    let queue = place.transport.create(&"q".parse().expect("a legal name"), &QueueOptions::new());
    let queue = queue.expect("a free name");
    place.start("fork-lending", &["q"]).finish();
    assert!(queue.is_empty().expect("a queue that works"));
}

fn number(bytes: &[u8]) -> u32 {
    ipcq_tests::messages::number_of(bytes).expect("a whole message")
}
