//! Q9 many handles.

use std::sync::Arc;
use std::thread;

use super::Harness;
use super::helper::{Helper, Role};
use super::stage::{Stage, assert_says, drain_numbers, get, name, number, put_numbers, try_get};
use crate::error::{GetFault, OpenError};
use crate::{Queue, QueueOptions, Transport};

/// Q9: one handle can be used by many threads at once.
pub fn q09_one_handle_serves_many_threads<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(8);
    let sum: u64 = thread::scope(|scope| {
        (0..4).for_each(|putter| {
            drop(scope.spawn({
                let queue = Arc::clone(&queue);
                move || put_numbers(&queue, putter * 500..(putter + 1) * 500)
            }))
        });
        let take = || (0..500).map(|_| number(&get(&queue))).sum::<u64>();
        let getters: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        getters.into_iter().map(|getter| getter.join().expect("a getter")).sum()
    });
    assert_eq!(sum, (0..2000_u64).sum::<u64>());
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q9: a handle outlives the others, the one that made the queue included.
pub fn q09_handles_do_not_depend_on_each_other<H: Harness>(stage: &Stage<H>) {
    let maker = stage.queue(8);
    let first = stage.open("q");
    let second = stage.open("q");
    put_numbers(&maker, 0..2);
    drop(maker);
    put_numbers(&first, 2..3);
    assert_eq!(number(&get(&second)), 0);
    drop(first);
    assert_eq!(drain_numbers(&second), [1, 2]);
}

/// Q9: any number of handles can be opened and dropped.
pub fn q09_handles_come_and_go<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(500);
    for n in 0..500 {
        put_numbers(&stage.open("q"), n..n + 1);
        assert_eq!(number(&get(&stage.open("q"))), n);
    }
    assert_says!(try_get(&queue), Err(GetFault::Empty));
}

/// Q9: a named queue can be inherited by a child process.
pub fn q09_a_child_inherits_a_named_queue<H: Harness>(stage: &Stage<H>) {
    let Some(mut command) = stage.helper(Role::PutInherited) else { return stage.assert_confined() };
    let queue = stage.queue(10);
    queue.share_with(&mut command).expect("a child inherits the queue");
    let helper = Helper::spawn(command);
    for n in 0..100 {
        assert_eq!(number(&get(&queue)), n);
    }
    helper.finish();
}

/// Q9: an anonymous queue can be inherited, by several children, and stays what it is when they have ended.
pub fn q09_children_inherit_an_anonymous_queue<H: Harness>(stage: &Stage<H>) {
    if stage.helper(Role::PutInherited).is_none() {
        return stage.assert_confined();
    }
    let options = QueueOptions::new().capacity(300);
    let queue = stage.transport().create_anonymous(&options).expect("an anonymous queue");
    let helpers: Vec<_> = (0..3)
        .map(|_| {
            let mut command = stage.helper(Role::PutInherited).expect("asked for above");
            queue.share_with(&mut command).expect("a child inherits the queue");
            Helper::spawn(command)
        })
        .collect();
    helpers.into_iter().for_each(Helper::finish);
    assert!(queue.is_full().expect("a queue that works"));
    let mut numbers = drain_numbers(&queue);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq((0..100).flat_map(|n| [n; 3])));
}

/// Q9: a child may inherit several queues; they are numbered in the order in which they were shared.
pub fn q09_a_child_inherits_several_queues<H: Harness>(stage: &Stage<H>) {
    let Some(mut command) = stage.helper(Role::PassOnInherited) else { return stage.assert_confined() };
    let from = stage.queue(10);
    let to = stage.transport().create_anonymous(&QueueOptions::new()).expect("an anonymous queue");
    from.share_with(&mut command).expect("a child inherits the queue");
    to.share_with(&mut command).expect("a child inherits another queue");
    let helper = Helper::spawn(command);
    put_numbers(&from, 0..50);
    from.close().expect("an open queue closes");
    helper.finish();
    assert_eq!(drain_numbers(&to), (0..50).collect::<Vec<_>>());
}

/// Q9: a process that inherited nothing is told so.
pub fn q09_what_was_not_shared_is_missing<H: Harness>(stage: &Stage<H>) {
    for number in [0, 1, usize::MAX] {
        assert_says!(stage.transport().inherited(number), Err(error) if error.is_missing());
    }
}

/// Q9: typed handles can be cloned, compared by what they stand for, and are freed with the last one.
pub fn q09_clones_are_the_same_queue<H: Harness>(stage: &Stage<H>) {
    let queue =
        Queue::<u32>::create(stage.transport(), "q", &QueueOptions::new()).expect("a fresh name is free");
    let clone = queue.clone();
    assert_eq!(queue.identity(), clone.identity());
    thread::scope(|scope| {
        scope.spawn(move || (0..100).for_each(|n| clone.put(n).expect("there is room")));
        assert!((0..100).all(|n| queue.get().expect("a message") == n));
    });
}

/// Q9: a handle can travel inside a message, and stands for the same queue where it arrives.
pub fn q09_a_handle_travels_inside_a_message<H: Harness>(stage: &Stage<H>) {
    let options = QueueOptions::new();
    let carrier =
        Queue::<(u8, Queue<String>)>::create(stage.transport(), "carrier", &options).expect("a free name");
    let answers = Queue::<String>::create(stage.transport(), "answers", &options).expect("a free name");
    carrier.put((7, answers.clone())).expect("there is room");
    let (number, arrived) = carrier.get().expect("a message");
    assert_eq!((number, arrived.identity()), (7, answers.identity()));
    arrived.put("it works".to_owned()).expect("there is room");
    assert_eq!(answers.get().expect("a message"), "it works");
}

/// Q9: a handle in a message keeps nothing alive: when its queue has been removed, opening it is `Gone`, also when a
/// later queue has the name.
pub fn q09_a_handle_of_an_earlier_queue_is_gone<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(10);
    let address = queue.identity().address().expect("a named queue has an address");
    assert_eq!(address.open().expect("the queue is there").identity(), queue.identity());
    stage.transport().remove(&name("q")).expect("the queue is there");
    assert_says!(address.open(), Err(OpenError::Gone { .. }));
    let later = stage.queue(10);
    assert_says!(address.open(), Err(OpenError::Gone { .. }));
    assert!(later.is_empty().expect("a new queue is empty"));
}

/// Q9: a message that holds a handle of a queue that is gone is an error for its receiver alone.
pub fn q09_a_message_with_a_handle_that_is_gone_is_an_error<H: Harness>(stage: &Stage<H>) {
    let options = QueueOptions::new();
    let carrier =
        Queue::<Queue<String>>::create(stage.transport(), "carrier", &options).expect("a free name");
    let gone = Queue::<String>::create(stage.transport(), "gone", &options).expect("a free name");
    carrier.put(gone.clone()).expect("there is room");
    stage.transport().remove(&name("gone")).expect("the queue is there");
    let error = carrier.get().expect_err("the queue inside the message is gone");
    assert!(error.is_decode() && error.bytes().is_some(), "{error}");
    assert!(carrier.try_get().expect_err("nothing is left").is_empty());
}

/// Q9: an anonymous queue travels by inheritance only: putting it into a message is an error that hands it back.
pub fn q09_an_anonymous_queue_is_refused_in_a_message<H: Harness>(stage: &Stage<H>) {
    let options = QueueOptions::new();
    let carrier =
        Queue::<Queue<String>>::create(stage.transport(), "carrier", &options).expect("a free name");
    let nameless = Queue::<String>::anonymous(stage.transport(), &options).expect("an anonymous queue");
    let error = carrier.put(nameless.clone()).expect_err("it has no name to be found by");
    assert!(error.is_encode(), "{error}");
    assert_eq!(error.into_inner().identity(), nameless.identity());
    assert!(carrier.is_empty().expect("a queue that works"));
}
