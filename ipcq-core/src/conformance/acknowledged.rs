//! Q20 acknowledged delivery.

use std::thread;

use super::stage::{
    Shared, Stage, assert_says, drain_numbers, get, number, pattern, put, put_numbers, try_put, until, within,
};
use super::{Harness, bounds};
use crate::error::{CreateError, DeliveryFault, GetFault, OpenError, PutFault};
use crate::{AcknowledgedQueue, DeliveryTag, Queue, QueueOptions, Transport, Wait};

/// Makes the acknowledged queue `q`; `None`, after a look at the refusal, where the transport has none.
pub(super) fn acknowledged<H: Harness>(stage: &Stage<H>, options: &QueueOptions) -> Option<Shared> {
    let options = options.clone().acknowledged(true);
    if stage.transport().capabilities().acknowledged {
        return Some(stage.create("q", &options));
    }
    let refused = stage.transport().create(&super::stage::name("q"), &options);
    assert_says!(refused, Err(CreateError::Unsupported { .. }));
    None
}

/// As above, for `capacity` messages.
pub(super) fn queue_of<H: Harness>(stage: &Stage<H>, capacity: usize) -> Option<Shared> {
    acknowledged(stage, &QueueOptions::new().capacity(capacity))
}

/// Gets a delivery, waiting as `wait` says.
pub(super) fn deliver_within(queue: &Shared, wait: Wait) -> Result<(Vec<u8>, DeliveryTag), GetFault> {
    let mut message = Vec::new();
    queue.get_delivery(&mut message, wait).map(|tag| (message, tag))
}

/// Gets a delivery of a number; there is one, or will be.
pub(super) fn deliver(queue: &Shared) -> (u64, DeliveryTag) {
    let (message, tag) = deliver_within(queue, Wait::Forever).expect("the queue hands out a message");
    (number(&message), tag)
}

/// Gets that many deliveries.
pub(super) fn deliveries(queue: &Shared, count: usize) -> Vec<DeliveryTag> {
    (0..count).map(|_| deliver(queue).1).collect()
}

pub(super) fn acknowledge(queue: &Shared, tag: &DeliveryTag) {
    queue.acknowledge(tag).expect("this process holds it");
}

pub(super) fn give_back(queue: &Shared, tag: &DeliveryTag) {
    queue.give_back(tag).expect("this process holds it");
}

/// Asserts how many messages are ready and how many in flight, in every way that there is to see it.
pub(super) fn assert_counts(queue: &Shared, len: usize, in_flight: usize) {
    assert_eq!(queue.len().expect("a queue that works"), len);
    assert_eq!(queue.in_flight().expect("a queue that works"), in_flight);
    assert_eq!(queue.is_empty().expect("a queue that works"), len == 0);
    let is_full = len + in_flight == queue.identity().capacity;
    assert_eq!(queue.is_full().expect("a queue that works"), is_full);
    let stat = queue.stat().expect("a queue that works");
    assert_eq!((stat.len, stat.in_flight), (len, in_flight));
    assert_eq!(stat.puts - stat.gets, (len + in_flight) as u64);
}

/// Q20: a transport offers acknowledged delivery, or refuses it by name; other queues know nothing of it.
pub fn q20_only_where_offered<H: Harness>(stage: &Stage<H>) {
    if let Some(queue) = queue_of(stage, 3) {
        assert!(queue.identity().acknowledged);
        assert!(stage.open("q").identity().acknowledged);
    }
    let plain = stage.create("plain", &QueueOptions::new());
    put(&plain, b"message");
    assert!(!plain.identity().acknowledged);
    let refused = deliver_within(&plain, Wait::Forever);
    assert_says!(refused, Err(GetFault::Backend(error)) if error.to_string().contains("acknowledged"));
    assert!(plain.join(Wait::Forever).is_err());
    assert_eq!(plain.in_flight().expect("a queue that works"), 0);
    let opened = AcknowledgedQueue::<Vec<u8>, crate::Bytes>::open(stage.transport(), "plain");
    assert_says!(opened, Err(OpenError::Mismatch { what: "delivery", .. }));
    assert_eq!(get(&plain), b"message");
}

/// Q20: acknowledging a delivery removes the message for good.
pub fn q20_an_acknowledged_message_is_gone<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..3);
    for expected in 0..3 {
        let (number, tag) = deliver(&queue);
        assert_eq!((number, tag.number, tag.redeliveries), (expected, expected, 0));
        acknowledge(&queue, &tag);
    }
    assert_counts(&queue, 0, 0);
    assert_says!(deliver_within(&queue, Wait::No), Err(GetFault::Empty));
    let stat = queue.stat().expect("a queue that works");
    assert_eq!((stat.puts, stat.gets, stat.redelivered), (3, 3, 0));
}

/// Q20: a delivery that is dropped, in whatever form, puts the message back.
pub fn q20_a_dropped_delivery_goes_back<H: Harness>(stage: &Stage<H>) {
    if queue_of(stage, 5).is_none() {
        return;
    }
    let queue = AcknowledgedQueue::<String>::create(stage.transport(), "typed", &QueueOptions::new())
        .expect("a fresh name is free");
    queue.put("sweep".to_owned()).expect("there is room");
    drop(queue.get().expect("a message"));
    drop(queue.get().expect("a message").into_parts());
    queue.get().expect("a message").give_back().expect("this process holds it");
    let delivery = queue.try_get().expect("a message");
    assert_eq!((delivery.as_str(), delivery.redeliveries()), ("sweep", 3));
    let (value, receipt) = delivery.into_parts();
    assert_eq!((value.as_str(), queue.in_flight().expect("a queue that works")), ("sweep", 1));
    receipt.acknowledge().expect("this process holds it");
    assert!(queue.try_get().expect_err("nothing is left").is_empty());
    queue.try_join().expect("all is acknowledged");
}

/// Q20: messages that went back leave in the order of their puts, whatever the order in which they went back.
pub fn q20_what_goes_back_keeps_its_place<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..6);
    let tags = deliveries(&queue, 4);
    for place in [2, 0, 3, 1] {
        give_back(&queue, &tags[place]);
    }
    assert_counts(&queue, 6, 0);
    assert_eq!((0..6).map(|_| deliver(&queue).0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

/// Q20: a message that went back goes out before those that were put later, also when it was given out in between.
pub fn q20_what_goes_back_goes_out_before_the_rest<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..4);
    let (_, zero) = deliver(&queue);
    let (_, one) = deliver(&queue);
    give_back(&queue, &one);
    assert_eq!(deliver(&queue).0, 1);
    assert_eq!(deliver(&queue).0, 2);
    give_back(&queue, &zero);
    put_numbers(&queue, 4..5);
    assert_eq!(deliver(&queue).0, 0);
    assert_eq!(deliver(&queue).0, 3);
    assert_eq!(deliver(&queue).0, 4);
    assert_counts(&queue, 0, 5);
}

/// Q20: the redelivery count says how often a message was put back.
pub fn q20_redeliveries_are_counted<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..2);
    for times in 0..5 {
        let (number, tag) = deliver(&queue);
        assert_eq!((number, tag.redeliveries), (0, times));
        give_back(&queue, &tag);
    }
    assert_eq!(queue.stat().expect("a queue that works").redelivered, 4);
    acknowledge(&queue, &deliver(&queue).1);
    assert_eq!(deliver(&queue).1.redeliveries, 0);
    assert_eq!(queue.stat().expect("a queue that works").redelivered, 5);
}

/// Q20, Q6: `len` counts what is ready, and `in_flight` what is handed out, after every step and for every handle.
pub fn q20_len_and_in_flight_are_exact<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 4) else { return };
    let other = stage.open("q");
    for _ in 0..3 {
        put_numbers(&queue, 0..4);
        assert_counts(&other, 4, 0);
        let tags = deliveries(&queue, 3);
        assert_counts(&other, 1, 3);
        give_back(&other, &tags[1]);
        assert_counts(&other, 2, 2);
        acknowledge(&queue, &tags[0]);
        assert_counts(&other, 2, 1);
        acknowledge(&queue, &tags[2]);
        assert_counts(&other, 2, 0);
        for left in [1, 0] {
            acknowledge(&queue, &deliver(&queue).1);
            assert_counts(&other, left, 0);
        }
    }
}

/// Q20, Q4: what is in flight or came back takes room; only what is acknowledged makes some.
pub fn q20_what_is_in_flight_takes_room<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 3) else { return };
    put_numbers(&queue, 0..3);
    let tags = deliveries(&queue, 3);
    let assert_full = || {
        assert_says!(try_put(&queue, b"late"), Err(PutFault::Full));
        assert_says!(queue.put(&[b"late"], within(bounds::BRIEF)), Err(PutFault::Timeout));
    };
    assert_full();
    give_back(&queue, &tags[2]);
    assert_full();
    acknowledge(&queue, &tags[0]);
    put_numbers(&queue, 3..4);
    assert_full();
    assert_counts(&queue, 2, 1);
}

/// Q20, Q5: an acknowledgement wakes a put that waits for room.
pub fn q20_an_acknowledgement_wakes_a_waiting_put<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 1) else { return };
    put_numbers(&queue, 0..1);
    let (_, tag) = deliver(&queue);
    thread::scope(|scope| {
        let putter = scope.spawn(|| put_numbers(&stage.open("q"), 1..2));
        until(|| queue.stat().expect("a queue that works").waiting_putters == 1);
        acknowledge(&queue, &tag);
        putter.join().expect("a putter");
    });
    assert_eq!(deliver(&queue).0, 1);
}

/// Q20, Q5: giving back wakes a get that waits.
pub fn q20_giving_back_wakes_a_waiting_get<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..1);
    let (_, tag) = deliver(&queue);
    thread::scope(|scope| {
        let getter = scope.spawn(|| deliver(&stage.open("q")).0);
        until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
        give_back(&queue, &tag);
        assert_eq!(getter.join().expect("a getter"), 0);
    });
}

/// Q20, Q7: a closed queue says so to gets only when nothing is ready or in flight; until then it is empty, or they
/// wait.
pub fn q20_closed_only_when_nothing_can_come_back<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..2);
    let tags = deliveries(&queue, 2);
    queue.close().expect("an open queue closes");
    assert_says!(deliver_within(&queue, Wait::No), Err(GetFault::Empty));
    assert_says!(deliver_within(&queue, within(bounds::BRIEF)), Err(GetFault::Timeout));
    assert_says!(super::stage::try_get(&queue), Err(GetFault::Empty));
    acknowledge(&queue, &tags[0]);
    assert_says!(deliver_within(&queue, Wait::No), Err(GetFault::Empty));
    give_back(&queue, &tags[1]);
    acknowledge(&queue, &deliver(&queue).1);
    for wait in [Wait::No, within(bounds::CASE), Wait::Forever] {
        assert_says!(deliver_within(&queue, wait), Err(GetFault::Closed));
    }
}

/// Q20, Q7: gets that wait on a closed queue wake and say `Closed` with the last acknowledgement.
pub fn q20_the_last_acknowledgement_wakes_gets_on_a_closed_queue<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..1);
    let (_, tag) = deliver(&queue);
    queue.close().expect("an open queue closes");
    thread::scope(|scope| {
        let wait = || deliver_within(&stage.open("q"), Wait::Forever);
        let getters: Vec<_> = (0..3).map(|_| scope.spawn(wait)).collect();
        until(|| queue.stat().expect("a queue that works").waiting_getters == 3);
        acknowledge(&queue, &tag);
        for getter in getters {
            assert_says!(getter.join().expect("a getter"), Err(GetFault::Closed));
        }
    });
}

/// Q20: a closed queue takes back what was handed out, and hands it out again.
pub fn q20_giving_back_into_a_closed_queue_succeeds<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 2) else { return };
    put_numbers(&queue, 0..2);
    let tags = deliveries(&queue, 2);
    queue.close().expect("an open queue closes");
    give_back(&queue, &tags[1]);
    give_back(&queue, &tags[0]);
    assert_counts(&queue, 2, 0);
    assert_says!(try_put(&queue, b"late"), Err(PutFault::Closed));
    assert_eq!(drain_numbers(&queue), [0, 1]);
    assert_says!(deliver_within(&queue, Wait::Forever), Err(GetFault::Closed));
}

/// Q20: a delivery that was acknowledged or given back is nobody's any more.
pub fn q20_a_delivery_is_settled_once<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 5) else { return };
    put_numbers(&queue, 0..3);
    let assert_settled = |tag: &DeliveryTag| {
        let settled = |outcome: Result<(), DeliveryFault>| {
            matches!(outcome, Err(DeliveryFault::Expired | DeliveryFault::NotHeld))
        };
        assert!(settled(queue.acknowledge(tag)) && settled(queue.give_back(tag)));
    };
    let (_, zero) = deliver(&queue);
    acknowledge(&queue, &zero);
    assert_settled(&zero);
    let (_, one) = deliver(&queue);
    give_back(&queue, &one);
    assert_settled(&one);
    let (_, again) = deliver(&queue);
    assert_eq!((again.number, again.redeliveries), (1, 1));
    assert_settled(&one);
    assert_counts(&queue, 1, 1);
    acknowledge(&queue, &again);
    assert_counts(&queue, 1, 0);
}

/// Q20: a get without a delivery takes the message for good, in its place in the order.
pub fn q20_a_plain_get_takes_for_good<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 4) else { return };
    put_numbers(&queue, 0..4);
    let tags = deliveries(&queue, 2);
    give_back(&queue, &tags[0]);
    assert_eq!(number(&get(&queue)), 0);
    assert_eq!(number(&get(&queue)), 2);
    assert_counts(&queue, 1, 1);
    put_numbers(&queue, 4..6);
    assert_eq!(drain_numbers(&queue), [3, 4, 5]);
    assert_counts(&queue, 0, 1);
    let plain = Queue::<Vec<u8>, crate::Bytes>::open(stage.transport(), "q").expect("the queue is there");
    plain.put(b"typed".to_vec()).expect("there is room");
    assert_eq!(plain.get().expect("a message"), b"typed");
    acknowledge(&queue, &tags[1]);
    assert_counts(&queue, 0, 0);
}

/// Q20, Q3: messages of any length come back whole, and those before and after them.
pub fn q20_every_length_comes_back_whole<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 100) else { return };
    let lengths = [0, 1, 7, 8, 100, 1023, 1024, 1025, 4096, 65_535, 65_536, 70_000, 300_000, 3_000_000];
    for round in 0..3 {
        for (seed, len) in lengths.iter().enumerate() {
            put(&queue, &pattern(*len, seed as u64 + 1));
        }
        let mut tags = Vec::new();
        for (seed, len) in lengths.iter().enumerate() {
            let (message, tag) = deliver_within(&queue, Wait::No).expect("a message");
            assert!(message == pattern(*len, seed as u64 + 1), "message of {len} bytes");
            tags.push(tag);
        }
        for tag in tags.iter().skip(round % 2).step_by(2).chain(tags.iter().skip((round + 1) % 2).step_by(2))
        {
            give_back(&queue, tag);
        }
        for (seed, len) in lengths.iter().enumerate() {
            let (message, tag) = deliver_within(&queue, Wait::No).expect("a message");
            assert!(message == pattern(*len, seed as u64 + 1), "message of {len} bytes, given back");
            acknowledge(&queue, &tag);
        }
    }
    assert_counts(&queue, 0, 0);
}

/// Q20, Q16: a message that does not decode is an error with its bytes for one getter, and then gone.
pub fn q20_a_message_that_does_not_decode_is_gone<H: Harness>(stage: &Stage<H>) {
    if queue_of(stage, 5).is_none() {
        return;
    }
    let queue = AcknowledgedQueue::<String>::create(stage.transport(), "typed", &QueueOptions::new())
        .expect("a fresh name is free");
    put(queue.channel(), &[0xff]);
    queue.put("sound".to_owned()).expect("there is room");
    let error = queue.get().expect_err("bytes that are no string");
    assert!(error.is_decode() && error.bytes() == Some(&[0xff]), "{error}");
    assert_eq!(queue.get().expect("a message").as_str(), "sound");
    assert_counts(queue.channel(), 1, 0);
}

/// Q20: many messages may be in flight at once, and settle in any order.
pub fn q20_many_deliveries_at_once<H: Harness>(stage: &Stage<H>) {
    const MESSAGES: u64 = 3000;
    let Some(queue) = queue_of(stage, 3000) else { return };
    put_numbers(&queue, 0..MESSAGES);
    let mut tags: Vec<_> = (0..MESSAGES).map(|_| deliver(&queue).1).collect();
    assert_counts(&queue, 0, 3000);
    // 7 and 3000 have no common divisor: all of them, in an order that is none.
    tags.sort_by_key(|tag| tag.number * 7 % MESSAGES);
    for tag in &tags {
        if tag.number.is_multiple_of(2) { acknowledge(&queue, tag) } else { give_back(&queue, tag) }
    }
    assert_counts(&queue, 1500, 0);
    assert_eq!(drain_numbers(&queue), (0..MESSAGES).filter(|n| n % 2 == 1).collect::<Vec<_>>());
}

/// Q20, Q13: with a queue that is removed go its deliveries: settling one is an error, and dropping it none.
pub fn q20_a_queue_that_is_removed_takes_its_deliveries_along<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 3) else { return };
    put_numbers(&queue, 0..2);
    let tags = deliveries(&queue, 2);
    stage.transport().remove(&super::stage::name("q")).expect("the queue was made before");
    assert!(queue.acknowledge(&tags[0]).is_err());
    assert!(queue.give_back(&tags[1]).is_err());
    assert_says!(deliver_within(&queue, Wait::Forever), Err(GetFault::Closed));
    let again = queue_of(stage, 3).expect("the name is free");
    assert_counts(&again, 0, 0);
}
