//! Single schedules.

use super::World;
use crate::schedule::CAPACITY;
use crate::schedule::jobs::Step;

/// A message that goes back leaves before those that were put later, whoever had it.
#[test]
fn what_goes_back_keeps_its_place() {
    let mut world = World::new(false, false);
    let both_get = |world: &mut World| {
        for at in [1, 2] {
            world.step(at, Step::Get { waits: false, for_good: false });
            world.step(at, Step::Read);
        }
    };
    world.step(0, Step::Put(3));
    world.step(0, Step::Read);
    both_get(&mut world);
    world.step(3, Step::Get { waits: false, for_good: false });
    [2, 1].into_iter().for_each(|at| world.step(at, Step::Die));
    both_get(&mut world);
    assert_eq!(world.workers[1].holds.keys().copied().collect::<Vec<_>>(), [0]);
    assert_eq!(world.workers[2].holds.keys().copied().collect::<Vec<_>>(), [1]);
}

/// What was taken for good, and not read when its session ends, goes back whether there is room or not: nobody has died.
#[test]
fn what_a_session_leaves_needs_no_room() {
    let mut world = World::new(false, false);
    let put = Step::Put(3);
    let steps = [(0, put), (0, Step::Read), (0, put), (0, Step::Read)];
    steps.into_iter().for_each(|(at, step)| world.step(at, step));
    let ready = world.broker.ready();
    world.step(1, Step::Get { waits: false, for_good: true });
    world.step(0, Step::Put(1));
    world.step(0, Step::Read);
    assert_eq!(world.broker.ready(), CAPACITY);
    world.step(1, Step::Leave);
    assert_eq!((ready, world.broker.ready()), (CAPACITY, CAPACITY + 1));
}
