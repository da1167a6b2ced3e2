//! Single schedules.

use super::steps::Step;
use super::{CAPACITY, CLIENTS, World};
use crate::wire::{Op, STAT_FIELDS, Status};

/// Those who wait are served in the order in which they began to.
#[test]
fn waiting_is_in_turn() {
    let mut world = World::new();
    for at in 0..CLIENTS {
        world.step(at, Step::Get { messages: 0, wait: Some(19), on_read: false });
    }
    let newcomer = world.newcomer();
    world.clients.push(newcomer);
    world.step(CLIENTS, Step::Put { messages: 3, wait: None, long: false, some: false });
    for at in 0..CLIENTS {
        world.step(at, Step::Read);
    }
    assert_eq!(world.got, [1, 2, 3]);
    assert!(world.clients[3].asked.is_some());
}

/// The numbers of a STAT reply are the queue's, those who wait included.
#[test]
fn stat_counts() {
    let mut world = World::new();
    world.step(0, Step::Put { messages: 7, wait: Some(19), long: false, some: false });
    let request = world.request(1, Op::Stat, Some(19));
    let slot = world.clients[1].slot;
    world.broker.request(1, slot, request, &[], &mut world.wires).expect("a request");
    let (header, _) = world.wires.unread[&slot][0];
    assert_eq!((header.code, header.fields[0]), (Status::Stat as u8, CAPACITY as u64));
    assert_eq!((world.broker.putters.len(), STAT_FIELDS), (1, 13));
    // The putter waits, a getter does, too, for what nobody will have; another dies with a message in its hands.
    world.step(1, Step::Get { messages: 0, wait: None, on_read: false });
    world.step(1, Step::Die);
    let tally = &world.broker.tally;
    assert_eq!((tally.put_waits, tally.get_waits, tally.recoveries), (1, 0, 1));
}

/// Where nobody has died nothing is lost: what a session leaves that ends is in the queue, whether there is room or not.
#[test]
fn what_a_session_leaves_needs_no_room() {
    let put = |messages| Step::Put { messages, wait: None, long: false, some: false };
    let get = |messages| Step::Get { messages, wait: None, on_read: false };
    let mut world = World::new();
    for (at, step) in [(0, put(5)), (0, Step::Read), (1, get(1)), (0, put(2)), (0, Step::Read)] {
        world.step(at, step);
    }
    world.step(1, Step::Abandon);
    // Its client could have come back until then.
    world.step(1, Step::Pass(6000));
    assert_eq!(world.broker.store.len(), CAPACITY + 2);
    world.step(0, put(1));
    world.step(0, Step::Read);
    assert_eq!(world.put.len(), CAPACITY + 2, "there was no room for more");
    for _ in 0..CAPACITY {
        world.step(0, get(2));
        world.step(0, Step::Read);
    }
    assert_eq!(world.got, [1, 2, 3, 4, 5, 6, 7]);
}
