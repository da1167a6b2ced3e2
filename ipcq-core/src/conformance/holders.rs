//! Q20, Q15 holders of deliveries: processes that die with them, or live.

use std::sync::Mutex;
use std::thread;

use super::acknowledged::{
    acknowledge, assert_counts, deliver, deliver_within, deliveries, give_back, queue_of,
};
use super::helper::{Helper, Role};
use super::stage::{Shared, Stage, assert_says, get, number, put_numbers, until, within};
use super::{Harness, bounds};
use crate::error::GetFault;
use crate::{QueueOptions, Wait};

/// A helper that holds the numbers 0 to 2 of `queue`.
pub(super) fn holder<H: Harness>(stage: &Stage<H>) -> Option<Holder> {
    let command = stage.helper(Role::Hold)?;
    let options = QueueOptions::new();
    let (ready, leave) = (stage.create("ready", &options), stage.create("leave", &options));
    let helper = Helper::spawn(command);
    get(&ready);
    Some(Holder { helper, _leave: leave })
}

/// A helper that holds deliveries, and what would tell it to leave.
#[derive(Debug)]
pub(super) struct Holder {
    helper: Helper,
    _leave: Shared,
}

impl Holder {
    /// Kills it.
    pub(super) fn kill(self) {
        self.helper.kill();
    }
}

/// Q20, Q15: what a holder had that was killed is at the head again, in its order, for the next one.
pub fn q20_what_a_dead_holder_had_goes_back<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..5);
    let Some(helper) = holder(stage) else { return };
    assert_counts(&queue, 2, 3);
    let (_, own) = deliver(&queue);
    helper.kill();
    let next: Vec<_> =
        (0..4).map(|_| deliver(&queue)).map(|(number, tag)| (number, tag.redeliveries)).collect();
    assert_eq!(next, [(0, 1), (1, 1), (2, 1), (4, 0)]);
    acknowledge(&queue, &own);
    assert_counts(&queue, 0, 4);
}

/// Q20, Q15: a get that waits takes over what a holder had that was killed.
pub fn q20_a_dead_holder_wakes_a_waiting_get<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..3);
    let Some(helper) = holder(stage) else { return };
    thread::scope(|scope| {
        let getter = scope.spawn(|| deliver_within(&stage.open("q"), Wait::timeout(bounds::NOTICED)));
        until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
        helper.kill();
        let (message, tag) = getter.join().expect("a getter").expect("what the dead one had");
        assert_eq!((number(&message), tag.redeliveries), (0, 1));
    });
}

/// Q20: a holder that lives keeps its deliveries, however long others wait for them.
pub fn q20_a_holder_that_lives_keeps_its_own<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..3);
    let Some(helper) = holder(stage) else { return };
    assert_says!(deliver_within(&queue, within(bounds::SLICES)), Err(GetFault::Timeout));
    assert_counts(&queue, 0, 3);
    helper.kill();
    assert_eq!(deliver(&queue).0, 0);
}

/// Q20: what one process gives back another one gets.
pub fn q20_another_process_may_get_what_was_given_back<H: Harness>(stage: &Stage<H>) {
    let Some(queue) = queue_of(stage, 10) else { return };
    put_numbers(&queue, 0..5);
    let tags = deliveries(&queue, 3);
    queue.close().expect("an open queue closes");
    let Some(command) = stage.helper(Role::Work) else { return };
    let helper = Helper::spawn(command);
    tags.iter().for_each(|tag| give_back(&queue, tag));
    queue.join(Wait::Forever).expect("the worker does all of it");
    helper.finish();
    assert_counts(&queue, 0, 0);
}

/// Q20: however many threads work, and give some of it back, every message is acknowledged exactly once.
pub fn q20_many_workers_settle_every_message_once<H: Harness>(stage: &Stage<H>) {
    const MESSAGES: u64 = 2000;
    let Some(queue) = queue_of(stage, 16) else { return };
    let done = Mutex::new(Vec::new());
    let work = || {
        let queue = stage.open("q");
        let mut own = Vec::new();
        while let Ok((message, tag)) = deliver_within(&queue, Wait::Forever) {
            let number = number(&message);
            if tag.redeliveries == 0 && number.is_multiple_of(3) {
                give_back(&queue, &tag);
            } else {
                acknowledge(&queue, &tag);
                own.push(number);
            }
        }
        done.lock().expect("no worker fails").extend(own);
    };
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(work)));
        put_numbers(&queue, 0..MESSAGES);
        queue.close().expect("an open queue closes");
    });
    let mut done = done.into_inner().expect("no worker fails");
    done.sort_unstable();
    assert_eq!(done, (0..MESSAGES).collect::<Vec<_>>());
    assert_counts(&queue, 0, 0);
    let stat = queue.stat().expect("a queue that works");
    assert_eq!(stat.redelivered, MESSAGES.div_ceil(3));
}
