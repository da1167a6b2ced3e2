//! Q19 nobody left.

use std::thread;

use super::helper::{Helper, Role};
use super::stage::{
    Shared, Stage, assert_says, drain_numbers, get, get_within, name, put_numbers, try_get, try_put, until,
};
use super::{Harness, bounds};
use crate::error::{CreateError, GetFault, PutFault};
use crate::{QueueOptions, Transport, Wait};

/// The queue `q`, which closes by itself; `None`, after checking that it is refused, where there is none.
fn queue_that_closes<H: Harness>(stage: &Stage<H>) -> Option<Shared> {
    let options = QueueOptions::new().capacity(200).auto_close(true);
    if stage.transport().capabilities().auto_close {
        return Some(stage.create("q", &options));
    }
    let refused = stage.transport().create(&name("q"), &options);
    assert_says!(refused, Err(CreateError::Unsupported { .. }));
    None
}

fn is_closed(queue: &Shared) -> bool {
    queue.is_closed().expect("a queue that works")
}

/// Q19: the queue closes when its last producer has left; getters drain it first.
pub fn q19_the_last_producer_closes<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_that_closes(stage) else { return };
    queue.register_producer().expect("one more producer");
    put_numbers(&queue, 0..3);
    assert!(!is_closed(&queue));
    queue.unregister_producer().expect("a producer may leave");
    until(|| is_closed(&queue));
    assert_says!(try_put(&queue, b"late"), Err(PutFault::Closed));
    assert_eq!(drain_numbers(&queue), [0, 1, 2]);
    assert_says!(get_within(&queue, Wait::Forever), Err(GetFault::Closed));
}

/// Q19: the first put registers a producer by itself, and a second registration of a process is the same one.
pub fn q19_the_first_put_registers<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_that_closes(stage) else { return };
    put_numbers(&queue, 0..1);
    queue.register_producer().expect("a producer that is there already");
    stage.open("q").register_producer().expect("a producer that is there already");
    queue.unregister_producer().expect("a producer may leave");
    until(|| is_closed(&queue));
    assert_eq!(drain_numbers(&queue), [0]);
}

/// Q19: a queue that never had a producer does not close.
pub fn q19_without_a_producer_it_stays_open<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_that_closes(stage) else { return };
    let wait = Wait::timeout(std::time::Duration::from_millis(150));
    assert_says!(get_within(&queue, wait), Err(GetFault::Timeout));
    queue.unregister_producer().expect("one that is none may leave");
    assert!(!is_closed(&queue));
    assert_says!(try_get(&queue), Err(GetFault::Empty));
}

/// Q19: a getter that waits wakes with `Closed` when the last producer leaves.
pub fn q19_a_waiting_getter_wakes<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_that_closes(stage) else { return };
    queue.register_producer().expect("one more producer");
    thread::scope(|scope| {
        let getter = scope.spawn(|| get_within(&stage.open("q"), Wait::Forever));
        until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
        queue.unregister_producer().expect("a producer may leave");
        assert_says!(getter.join().expect("a getter"), Err(GetFault::Closed));
    });
}

/// Q19: dropping the last handle of a process ends its registration.
pub fn q19_dropping_the_last_handle_leaves<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_that_closes(stage) else { return };
    let other = stage.open("q");
    put_numbers(&other, 0..2);
    // It has put nothing, and keeps a queue that would end with its last handle.
    let _keeper = stage.keeper("q");
    drop((queue, other));
    let later = stage.open("q");
    until(|| is_closed(&later));
    assert_eq!(drain_numbers(&later), [0, 1]);
}

/// Q19: a queue that was not made for it does not close when producers leave.
pub fn q19_only_where_asked_for<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(10);
    queue.register_producer().expect("registering is without effect");
    put_numbers(&queue, 0..1);
    queue.unregister_producer().expect("leaving is without effect");
    assert!(!is_closed(&queue));
    put_numbers(&queue, 1..2);
    assert_eq!(drain_numbers(&queue), [0, 1]);
}

/// Q19: a producer that exits has left: getters that wait for more are told, soon.
pub fn q19_a_producer_that_exits_has_left<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::Put) else { return stage.assert_confined() };
    let Some(queue) = queue_that_closes(stage) else { return };
    let helper = Helper::spawn(command);
    for n in 0..100 {
        assert_eq!(super::stage::number(&get(&queue)), n);
    }
    assert_says!(get_within(&queue, Wait::Forever), Err(GetFault::Closed));
    helper.finish();
}

/// Q19: a producer that is killed has left, within the second that the contract gives.
pub fn q19_a_producer_that_is_killed_has_left<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::Produce) else { return stage.assert_confined() };
    let Some(queue) = queue_that_closes(stage) else { return };
    let ready = stage.create("ready", &QueueOptions::new());
    let _leave = stage.create("leave", &QueueOptions::new());
    let helper = Helper::spawn(command);
    get(&ready);
    assert_says!(try_get(&queue), Err(GetFault::Empty));
    helper.kill();
    assert_says!(get_within(&queue, Wait::timeout(bounds::NOTICED)), Err(GetFault::Closed));
}

/// Q19: as long as one producer of several is there, the queue stays open.
pub fn q19_one_producer_is_enough<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.helper(Role::Produce) else { return stage.assert_confined() };
    let Some(queue) = queue_that_closes(stage) else { return };
    let (ready, leave) =
        (stage.create("ready", &QueueOptions::new()), stage.create("leave", &QueueOptions::new()));
    queue.register_producer().expect("one more producer");
    let helper = Helper::spawn(command);
    get(&ready);
    queue.unregister_producer().expect("a producer may leave");
    let wait = Wait::timeout(std::time::Duration::from_millis(150));
    assert_says!(get_within(&queue, wait), Err(GetFault::Timeout));
    leave.close().expect("an open queue closes");
    assert_says!(get_within(&queue, Wait::Forever), Err(GetFault::Closed));
    helper.finish();
}

/// Q19: sharing a queue with a child registers the child before the call returns, so that the parent may leave.
pub fn q19_a_child_is_registered_before_it_runs<H: Harness>(stage: &Stage<H>) {
    let Some(mut command) = stage.helper(Role::PutInherited) else { return stage.assert_confined() };
    let Some(queue) = queue_that_closes(stage) else { return };
    queue.register_producer().expect("one more producer");
    queue.share_with(&mut command).expect("a child inherits the queue");
    let helper = Helper::spawn(command);
    queue.unregister_producer().expect("a producer may leave");
    for n in 0..100 {
        assert_eq!(super::stage::number(&get(&queue)), n);
    }
    assert_says!(get_within(&queue, Wait::Forever), Err(GetFault::Closed));
    helper.finish();
}
