//! Q20, Q21 limits of acknowledged delivery: leases, and dead letters.

use std::thread;
use std::time::Duration;

use super::Harness;
use super::acknowledged::{
    acknowledge, acknowledged, assert_counts, deliver, deliver_within, deliveries, give_back,
};
use super::stage::{Shared, Stage, assert_says, drain_numbers, name, number, put, put_numbers, until};
use crate::error::{CreateError, DeliveryFault, GetFault};
use crate::{QueueOptions, Transport, Wait};

/// A lease that runs out while a test looks on.
const SHORT: Duration = Duration::from_millis(30);
/// One that does not.
const LONG: Duration = Duration::from_secs(600);

/// Makes a queue with leases of `time`.
fn leased<H: Harness>(stage: &Stage<H>, time: Duration) -> Option<Shared> {
    acknowledged(stage, &QueueOptions::new().capacity(5).lease(time))
}

/// Makes a queue that redelivers `times` times, and opens its dead-letter queue.
fn limited<H: Harness>(stage: &Stage<H>, times: u32) -> Option<(Shared, Shared)> {
    let queue = acknowledged(stage, &QueueOptions::new().capacity(3).max_redeliveries(times))?;
    Some((queue, stage.open("q.dead")))
}

/// Q20: when its lease has run out, a delivery goes back, and acknowledging it is an error.
pub fn q20_a_lease_that_ran_out_is_an_error<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = leased(stage, SHORT) else { return };
    assert_eq!(stage.open("q").identity().lease, Some(SHORT));
    put_numbers(&queue, 0..2);
    let tags = deliveries(&queue, 2);
    thread::sleep(SHORT);
    assert_says!(queue.acknowledge(&tags[0]), Err(DeliveryFault::Expired));
    assert_says!(queue.give_back(&tags[1]), Err(DeliveryFault::Expired));
    let (message, again) = deliver_within(&queue, Wait::Forever).expect("what went back");
    assert_eq!((number(&message), again.redeliveries), (0, 1));
    assert_says!(queue.acknowledge(&tags[0]), Err(DeliveryFault::Expired));
}

/// Q20: who waits gets what another holder kept for too long.
pub fn q20_a_lease_that_runs_out_wakes_a_waiting_get<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = leased(stage, SHORT) else { return };
    put_numbers(&queue, 0..1);
    let (_, tag) = deliver(&queue);
    let (number, again) = deliver(&stage.open("q"));
    assert_eq!((number, again.redeliveries), (0, 1));
    assert_says!(queue.acknowledge(&tag), Err(DeliveryFault::Expired));
}

/// Q20: until its lease has run out a delivery is its holder's.
pub fn q20_within_its_lease_a_delivery_is_kept<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = leased(stage, LONG) else { return };
    put_numbers(&queue, 0..2);
    let (_, tag) = deliver(&queue);
    let (_, other) = deliver(&queue);
    assert_says!(deliver_within(&queue, Wait::timeout(SHORT)), Err(GetFault::Timeout));
    acknowledge(&queue, &tag);
    give_back(&queue, &other);
    assert_counts(&queue, 1, 0);
}

/// Q20: a message that comes back more often than it may be redelivered goes to the queue of dead letters.
pub fn q20_too_many_redeliveries_lead_to_the_dead_letters<H: Harness>(stage: &Stage<H>) {
    let Some((queue, dead)) = limited(stage, 2) else { return };
    assert_eq!(queue.identity().max_redeliveries, Some(2));
    assert_eq!(dead.identity().codec, queue.identity().codec);
    assert_eq!(stage.transport().list().expect("a directory"), [name("q"), name("q.dead")]);
    put_numbers(&queue, 0..2);
    for times in 0..=2 {
        let (number, tag) = deliver(&queue);
        assert_eq!((number, tag.redeliveries), (0, times));
        assert_eq!(dead.len().expect("a queue that works"), 0);
        give_back(&queue, &tag);
    }
    assert_eq!(drain_numbers(&dead), [0]);
    assert_counts(&queue, 1, 0);
    assert_eq!(deliver(&queue).0, 1);
    let stat = queue.stat().expect("a queue that works");
    assert_eq!((stat.puts, stat.gets, stat.redelivered), (2, 1, 2));
}

/// Q20: while the queue of dead letters is full or closed, a message goes back instead, and is handed out once more.
pub fn q20_a_full_dead_letter_queue_puts_the_message_back<H: Harness>(stage: &Stage<H>) {
    let Some((queue, dead)) = limited(stage, 0) else { return };
    while dead.put(&[b"filling"], Wait::No).is_ok() {}
    put_numbers(&queue, 0..1);
    for times in 0..3 {
        let (number, tag) = deliver(&queue);
        assert_eq!((number, tag.redeliveries), (0, times));
        give_back(&queue, &tag);
        assert_counts(&queue, 1, 0);
    }
    let (_, tag) = deliver(&queue);
    assert_eq!(super::stage::get(&dead), b"filling");
    give_back(&queue, &tag);
    assert_counts(&queue, 0, 0);
    assert_eq!(dead.len().expect("a queue that works"), 3);
    put_numbers(&queue, 1..2);
    dead.close().expect("an open queue closes");
    give_back(&queue, &deliver(&queue).1);
    assert_counts(&queue, 1, 0);
}

/// Q20: a queue of dead letters that is removed puts messages back; one made in its place gets them with the
/// next get.
pub fn q20_a_removed_dead_letter_queue_puts_the_message_back<H: Harness>(stage: &Stage<H>) {
    let Some((queue, dead)) = limited(stage, 0) else { return };
    put_numbers(&queue, 0..2);
    stage.transport().remove(&name("q.dead")).expect("the queue was made before");
    drop(dead);
    give_back(&queue, &deliver(&queue).1);
    assert_counts(&queue, 2, 0);
    let dead = stage.create("q.dead", &QueueOptions::new());
    assert_eq!(deliver(&queue).0, 1);
    assert_eq!(drain_numbers(&dead), [0]);
    assert_counts(&queue, 0, 1);
}

/// Q20, Q13: dead letters stay when their queue is removed, and when it is made again.
pub fn q20_dead_letters_outlive_their_queue<H: Harness>(stage: &Stage<H>) {
    let Some((queue, dead)) = limited(stage, 0) else { return };
    put(&queue, b"letter");
    let (_, tag) = deliver_within(&queue, Wait::No).expect("a message");
    give_back(&queue, &tag);
    stage.transport().remove(&name("q")).expect("the queue was made before");
    assert_eq!(dead.len().expect("a queue that works"), 1);
    let (_queue, again) = limited(stage, 0).expect("the name is free");
    assert_eq!(super::stage::get(&again), b"letter");
}

/// Q20: what makes no sense is refused when the queue is made.
pub fn q20_limits_are_for_acknowledged_queues<H: Harness>(stage: &Stage<H>) {
    let options = QueueOptions::new();
    let make = |queue: &str, options: &QueueOptions| stage.transport().create(&name(queue), options);
    assert_says!(make("a", &options.clone().lease(LONG)), Err(CreateError::Invalid { .. }));
    assert_says!(make("a", &options.clone().max_redeliveries(3)), Err(CreateError::Invalid { .. }));
    if stage.transport().capabilities().acknowledged {
        let options = options.acknowledged(true);
        let endless = options.clone().lease(Duration::ZERO);
        assert_says!(make("a", &endless), Err(CreateError::Invalid { .. }));
        let limited = options.max_redeliveries(1);
        assert_says!(make(&"x".repeat(198), &limited), Err(CreateError::Name(_)));
        let anonymous = stage.transport().create_anonymous(&limited);
        assert_says!(anonymous, Err(CreateError::Invalid { .. }));
    }
    assert_eq!(stage.transport().list().expect("a directory"), []);
}

/// Q21: a message that went to the dead letters is not waited for.
pub fn q21_dead_letters_are_not_joined<H: Harness>(stage: &Stage<H>) {
    let Some((queue, dead)) = limited(stage, 1) else { return };
    put_numbers(&queue, 0..1);
    thread::scope(|scope| {
        let joiner = scope.spawn(|| stage.open("q").join(Wait::Forever));
        until(|| give_back_one(&queue) == 1);
        joiner.join().expect("a joiner").expect("a queue that works");
    });
    assert_eq!(drain_numbers(&dead), [0]);
}

/// Gives one message back; returns how often it had come back.
fn give_back_one(queue: &Shared) -> u32 {
    let (_, tag) = deliver(queue);
    give_back(queue, &tag);
    tag.redeliveries
}
