//! Real processes that hold deliveries, in the states that a process can be in beside living and dead (Q20).

use std::sync::Arc;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::{Channel, GetFault, QueueOptions, Wait};
use ipcq_tests::process::Process;
use nix::sys::signal::Signal;

use crate::place::Place;

/// Makes a test of each function for each backend whose queues hand out what is to be acknowledged, and can be inherited.
macro_rules! on_each_with_deliveries {
    ($($test:ident),* $(,)?) => {
        mod pipe {
            $(#[test]
            fn $test() {
                super::$test("pipe");
            })*
        }

        mod shm {
            $(#[test]
            fn $test() {
                super::$test("shm");
            })*
        }
    };
}

on_each_with_deliveries! {
    q20_a_stopped_holder_keeps_its_own,
    q20_both_sides_of_a_fork_hold_their_own,
    q20_what_a_dead_heir_had_goes_back,
}

const LIMIT: Duration = Duration::from_secs(60);
/// Long beside the time after which a dead holder is found.
const LONG: Duration = Duration::from_millis(300);

/// Puts three messages.
fn fill(queue: &dyn Channel) {
    for message in [b"a", b"b", b"c"] {
        queue.put(&[message], Wait::No).expect("there is room");
    }
}

fn options() -> QueueOptions {
    QueueOptions::new().capacity(10).acknowledged(true)
}

fn create(place: &Place) -> Arc<dyn Channel> {
    let name = "q".parse().expect("a legal name");
    place.transport.create(&name, &options()).expect("a free name")
}

fn counts(queue: &dyn Channel) -> (usize, usize) {
    (queue.len().expect("a queue that works"), queue.in_flight().expect("a queue that works"))
}

/// Expects the first message, with so many redeliveries, within [`LONG`].
fn expect_first(queue: &dyn Channel, redeliveries: u32) {
    let mut message = Vec::new();
    let tag = queue.get_delivery(&mut message, Wait::timeout(LONG)).expect("the first message");
    assert_eq!((&message[..], tag.redeliveries), (&b"a"[..], redeliveries));
}

fn q20_a_stopped_holder_keeps_its_own(transport: &str) {
    let _watchdog = Watchdog::start("a stopped holder", LIMIT);
    let place = Place::new(transport);
    let queue = create(&place);
    fill(&*queue);
    let mut holder = place.start("hold", &["q", "3"]);
    assert_eq!(holder.hear(), "held");
    holder.signal(Signal::SIGSTOP);
    let waited = queue.get_delivery(&mut Vec::new(), Wait::timeout(LONG));
    assert!(matches!(waited, Err(GetFault::Timeout)), "{waited:?}");
    assert_eq!(counts(&*queue), (0, 3));
    holder.signal(Signal::SIGCONT);
    holder.kill();
    expect_first(&*queue, 1);
}

fn q20_both_sides_of_a_fork_hold_their_own(transport: &str) {
    let _watchdog = Watchdog::start("a fork of a holder", LIMIT);
    let place = Place::new(transport);
    let queue = create(&place);
    fill(&*queue);
    place.start("fork-holding", &["q"]).finish();
    assert_eq!(counts(&*queue), (1, 0));
    queue
        .acknowledge(&queue.get_delivery(&mut Vec::new(), Wait::No).expect("a message"))
        .expect("it is held");
    queue.join(Wait::No).expect("all is done");
}

fn q20_what_a_dead_heir_had_goes_back(transport: &str) {
    let _watchdog = Watchdog::start("an inherited acknowledged queue", LIMIT);
    let place = Place::new(transport);
    let nameless = place.transport.create_anonymous(&options()).expect("an anonymous queue");
    for queue in [create(&place), nameless] {
        fill(&*queue);
        let mut command = place.peer("hold-inherited", &["2"]);
        queue.share_with(&mut command).expect("a child inherits the queue");
        let mut holder = Process::start(&mut command);
        assert_eq!(holder.hear(), "held");
        assert_eq!(counts(&*queue), (1, 2));
        holder.kill();
        expect_first(&*queue, 1);
        assert_eq!(counts(&*queue), (2, 1));
    }
}
