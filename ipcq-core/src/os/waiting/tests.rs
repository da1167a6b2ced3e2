//! When waiters give way, and how long they wait for locks.

use std::fs;
use std::sync::mpsc;

use super::*;

/// A queue of which nothing is used but where callers sleep.
#[derive(Default)]
struct Sleepers {
    event: Event,
    lock: RobustLock,
    turns: Turns,
}

impl TwoSided for Sleepers {
    fn event(&self, _: Side) -> &Event {
        &self.event
    }

    fn lock_of(&self, _: Side) -> &RobustLock {
        &self.lock
    }

    fn turns(&self) -> &Turns {
        &self.turns
    }

    fn can_go_on(&self, _: Side) -> bool {
        false
    }

    fn identity(&self) -> &Identity {
        unreachable!("whoever gives way needs no name")
    }

    fn backlog(&self, _: Side) -> usize {
        0
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn close_if_abandoned(&self) -> bool {
        false
    }

    fn count_waiter(&self, _: Side) -> Option<Waiting<'_>> {
        None
    }

    fn do_chores(&self, _: &dyn Fn() -> bool) {}
}

impl Sleepers {
    /// Has the calling thread go on for longer than a turn.
    fn go_on_for_long(&self) {
        let began = Instant::now() - 2 * LONG_TURN;
        TURN_HERE.set(Some(Turn { began, ..self.turns.turn(Side::Put, Instant::now()) }));
    }
}

/// The bit is clear from when somebody is woken until that runs, which may be long; others sleep meanwhile.
#[test]
fn who_gives_way_finds_sleepers_of_whom_the_bit_does_not_tell() {
    let (queue, (tell, told)) = (Sleepers::default(), mpsc::channel());
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let line = queue.event.announce();
            tell.send(nix::unistd::gettid()).expect("somebody to tell");
            queue.event.sleep(line, Duration::from_secs(60))
        });
        let id = told.recv().expect("a thread");
        let state = || fs::read_to_string(format!("/proc/self/task/{id}/stat")).expect("a thread");
        while !state().contains(") S ") {
            thread::yield_now();
        }
        queue.event.as_word().store(0, Ordering::SeqCst);
        assert!(!queue.give_way(Side::Put, Wait::Forever), "its turn has just begun");
        queue.go_on_for_long();
        assert!(queue.give_way(Side::Put, Wait::Forever), "somebody sleeps");
        assert!(sleeper.join().expect("a thread"), "it was not woken");
    });
}

#[test]
fn a_turn_begins_anew_where_nobody_sleeps() {
    let queue = Sleepers::default();
    queue.go_on_for_long();
    assert!(!queue.give_way(Side::Put, Wait::Forever));
    assert!(!queue.turns.is_over(Side::Put));
}

#[test]
fn a_call_that_does_not_wait_has_one_patience() {
    let patience = Patience::default();
    let end = patience.deadline(Wait::No).expect("an end");
    thread::sleep(Duration::from_millis(1));
    assert_eq!(patience.deadline(Wait::No), Some(end));
    assert_eq!(patience.deadline_for_more(Wait::No), Some(end));
}

#[test]
fn who_has_messages_does_not_wait_for_more_beyond_its_deadline() {
    let patience = Patience::default();
    let soon = Instant::now() + PATIENCE / 100;
    assert_eq!(patience.deadline_for_more(Wait::Until(soon)), Some(soon));
    let late = Instant::now() + Duration::from_secs(3600);
    assert_ne!(patience.deadline_for_more(Wait::Until(late)), Some(late));
    assert!(patience.deadline_for_more(Wait::Forever).is_some());
}
