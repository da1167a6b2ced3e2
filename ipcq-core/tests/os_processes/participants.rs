//! Who is alive in a queue, seen by real processes.

use std::error::Error;
use std::sync::Barrier;
use std::sync::atomic::Ordering;

use ipcq_core::os::inherit::Inheritable;
use ipcq_core::os::participants::{JoinError, Producers};

use crate::processes::{Board, Forked, Watchdog, idle, wait_until};

type Tested = Result<(), Box<dyn Error>>;

/// A process that is a producer, or a waiter, and does nothing more.
fn idle_after(board: &Board, flag: usize, first: impl FnOnce()) -> Forked {
    let child = Forked::run(|| {
        first();
        board.raise(flag);
        idle()
    });
    board.wait_for(flag);
    child
}

#[test]
fn a_queue_without_participants_never_had_a_producer() -> Tested {
    let board = Board::new(1024)?;
    assert_eq!(board.table().producers()?, Producers::NeverAny);
    assert_eq!(board.table().waiting()?, (0, 0));
    assert!(!board.table().is_live(0)?);
    assert!(!board.table().is_live(usize::MAX)?);
    Ok(())
}

#[test]
fn a_process_has_one_slot_however_often_it_joins() -> Tested {
    let _watchdog = Watchdog::start("a_process_has_one_slot_however_often_it_joins");
    let board = Board::new(64)?;
    let barrier = Barrier::new(8);
    let indices = std::thread::scope(|scope| {
        let join = || {
            barrier.wait();
            board.participants.join(board.table()).ok()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(join)).collect();
        threads.into_iter().map(|thread| thread.join().ok().flatten()).collect::<Vec<_>>()
    });
    assert_eq!(indices, [Some(0); 8]);
    assert_eq!(board.slots()[0].owner(), std::process::id());
    let live: Vec<usize> = (0..64).filter(|&index| board.table().is_live(index).unwrap_or(true)).collect();
    assert_eq!(live, [0]);
    Ok(())
}

#[test]
fn roles_come_and_go_with_the_calls() -> Tested {
    let board = Board::new(4)?;
    let (table, me) = (board.table(), &board.participants);
    me.set_producer(table)?;
    me.set_producer(table)?;
    assert!(me.is_producer());
    assert_eq!((table.producers()?, table.live_producers()?), (Producers::Some, 1));
    me.clear_producer(table);
    assert!(!me.is_producer());
    assert_eq!((table.producers()?, table.live_producers()?), (Producers::AllLeft, 0));
    me.set_producer(table)?;
    assert_eq!(table.producers()?, Producers::Some);
    me.leave(table);
    assert!(!me.is_producer());
    assert_eq!(table.producers()?, Producers::AllLeft);
    assert!(!table.is_live(0)?);
    let joined_by_another = Forked::run(|| u8::from(matches!(me.join(table), Ok(0))));
    assert_eq!(joined_by_another.wait(), Some(1), "slot 0 is free again");
    Ok(())
}

#[test]
fn a_registered_thread_that_exits_leaves_its_process_registered() -> Tested {
    let _watchdog = Watchdog::start("a_registered_thread_that_exits_leaves_its_process_registered");
    let board = Board::new(4)?;
    std::thread::scope(|scope| {
        let registered = scope.spawn(|| board.participants.set_producer(board.table()).is_ok());
        assert!(registered.join().unwrap_or(false));
    });
    assert!(board.participants.is_producer());
    let seen_by_another = Forked::run(|| u8::from(matches!(board.table().live_producers(), Ok(1))));
    assert_eq!(seen_by_another.wait(), Some(1));
    Ok(())
}

#[test]
fn a_process_killed_while_idle_is_dead_at_once() -> Tested {
    let _watchdog = Watchdog::start("a_process_killed_while_idle_is_dead_at_once");
    let board = Board::new(4)?;
    let child = idle_after(&board, 0, || {
        board.participants.set_producer(board.table()).expect("there are slots");
    });
    assert!(board.table().is_live(0)?);
    assert_eq!(board.table().producers()?, Producers::Some);
    child.kill();
    assert!(!board.table().is_live(0)?);
    assert_eq!((board.table().producers()?, board.table().live_producers()?), (Producers::AllLeft, 0));
    // The dead one's slot is taken over, and nothing of it with it.
    assert_eq!(board.participants.join(board.table())?, 0);
    assert_eq!(board.table().producers()?, Producers::AllLeft);
    Ok(())
}

#[test]
fn processes_killed_anywhere_leave_a_table_that_works() -> Tested {
    let _watchdog = Watchdog::start("processes_killed_anywhere_leave_a_table_that_works");
    let board = Board::new(4)?;
    let comes_and_goes = || {
        Forked::run(|| {
            loop {
                board.participants.set_producer(board.table()).expect("there are slots");
                drop(board.participants.waiting_get(board.table()));
                board.flag(0).fetch_add(1, Ordering::SeqCst);
                board.participants.leave(board.table());
            }
        })
    };
    for round in 0..100 {
        let pair = [comes_and_goes(), comes_and_goes()];
        // A different moment each time.
        let seen = board.flag(0).load(Ordering::SeqCst);
        wait_until("they come and go", || {
            board.flag(0).load(Ordering::SeqCst).wrapping_sub(seen) > round % 7
        });
        pair.into_iter().for_each(Forked::kill);
        assert_eq!(board.table().live_producers()?, 0);
        assert_eq!(board.table().producers()?, Producers::AllLeft);
        assert_eq!(board.table().waiting()?, (0, 0));
        assert_eq!(board.participants.join(board.table())?, 0);
        assert_eq!(board.table().producers()?, Producers::AllLeft);
        board.participants.leave(board.table());
    }
    Ok(())
}

#[test]
fn a_fork_child_has_no_registration_and_keeps_none_alive() -> Tested {
    let _watchdog = Watchdog::start("a_fork_child_has_no_registration_and_keeps_none_alive");
    let board = Board::new(4)?;
    let (inherited_nothing, may_register, registered, may_exit) = (1, 2, 3, 4);
    let parent = idle_after(&board, 0, || {
        board.participants.set_producer(board.table()).expect("there are slots");
        // Outlives its parent, and ends by itself when told to, or by its alarm.
        let child = Forked::run(|| {
            let is_none = !board.participants.is_producer();
            board.participants.leave(board.table());
            board.participants.clear_producer(board.table());
            if is_none && matches!(board.table().live_producers(), Ok(1)) {
                board.raise(inherited_nothing);
            }
            board.wait_for(may_register);
            board.participants.set_producer(board.table()).expect("there are slots");
            board.raise(registered);
            board.wait_for(may_exit);
            0
        });
        std::mem::forget(child);
    });
    board.wait_for(inherited_nothing);
    assert_eq!(board.table().producers()?, Producers::Some);
    parent.kill();
    assert_eq!(board.table().producers()?, Producers::AllLeft, "the child still has the descriptor");
    board.raise(may_register);
    board.wait_for(registered);
    assert_eq!((board.table().producers()?, board.table().live_producers()?), (Producers::Some, 1));
    board.raise(may_exit);
    wait_until("the child has ended", || matches!(board.table().producers(), Ok(Producers::AllLeft)));
    Ok(())
}

#[test]
fn a_fork_in_the_middle_of_a_join_leaves_the_child_able_to_join() -> Tested {
    let _watchdog = Watchdog::start("a_fork_in_the_middle_of_a_join_leaves_the_child_able_to_join");
    let board = Board::new(8)?;
    let stop = board.flag(0);
    let statuses = std::thread::scope(|scope| {
        scope.spawn(|| {
            while stop.load(Ordering::SeqCst) == 0 {
                board.participants.set_producer(board.table()).expect("there are slots");
                board.participants.leave(board.table());
            }
        });
        let child = || Forked::run(|| board.participants.set_producer(board.table()).is_err().into()).wait();
        let statuses: Vec<_> = (0..50).map(|_| child()).collect();
        board.raise(0);
        statuses
    });
    assert_eq!(statuses, [Some(0); 50]);
    Ok(())
}

#[test]
fn waiting_calls_are_counted_while_their_process_lives() -> Tested {
    let _watchdog = Watchdog::start("waiting_calls_are_counted_while_their_process_lives");
    let board = Board::new(4)?;
    let mine = board.participants.waiting_get(board.table())?;
    let child = idle_after(&board, 0, || {
        for _ in 0..3 {
            let waiting = board.participants.waiting_put(board.table()).expect("there are slots");
            std::mem::forget(waiting);
        }
    });
    assert_eq!(board.table().waiting()?, (3, 1));
    drop(mine);
    assert_eq!(board.table().waiting()?, (3, 0));
    child.kill();
    assert_eq!(board.table().waiting()?, (0, 0));
    Ok(())
}

#[test]
fn a_table_that_is_full_says_so_until_somebody_dies() -> Tested {
    let _watchdog = Watchdog::start("a_table_that_is_full_says_so_until_somebody_dies");
    let board = Board::new(2)?;
    let join = || {
        board.participants.join(board.table()).expect("there are slots");
    };
    let first = idle_after(&board, 0, join);
    let _second = idle_after(&board, 1, join);
    let refused = board.participants.join(board.table());
    assert!(matches!(refused, Err(JoinError::NoSlot { slots: 2 })), "{refused:?}");
    first.kill();
    assert_eq!(board.participants.join(board.table())?, 0);
    Ok(())
}

#[test]
fn producers_that_hand_over_are_never_said_to_have_left() -> Tested {
    let _watchdog = Watchdog::start("producers_that_hand_over_are_never_said_to_have_left");
    let board = Board::new(64)?;
    let last_one_is_about_to_leave = board.flag(0);
    let (first_is_there, generation) = (1, board.flag(2));
    let chain = Forked::run(|| {
        board.participants.set_producer(board.table()).expect("there are slots");
        board.raise(first_is_there);
        for next in 1..=150 {
            // The parent leaves when its child is registered; the child goes on with the next round.
            // SAFETY: the process has one thread.
            if unsafe { libc::fork() } != 0 {
                wait_until("the child is registered", || generation.load(Ordering::SeqCst) >= next);
                return 0;
            }
            // SAFETY: an alarm ends a child that hangs; no handler is installed.
            unsafe { libc::alarm(60) };
            board.participants.set_producer(board.table()).expect("there are slots");
            generation.store(next, Ordering::SeqCst);
        }
        board.raise(0);
        0
    });
    board.wait_for(first_is_there);
    let mut looks = 0_u32;
    while board.table().producers()? == Producers::Some {
        looks += 1;
    }
    assert_eq!(last_one_is_about_to_leave.load(Ordering::SeqCst), 1, "said to have left after {looks} looks");
    assert_eq!(chain.wait(), Some(0));
    Ok(())
}

#[test]
fn any_content_of_the_table_is_survived() -> Tested {
    let _watchdog = Watchdog::start("any_content_of_the_table_is_survived");
    let board = Board::new(1024)?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..40_u32 {
        for word in board.words() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let own_number = (random & 7 == 0).then(std::process::id);
            let value = own_number.unwrap_or(u32::try_from(random >> 32).unwrap_or(0));
            word.store(if round == 0 { u32::MAX } else { value }, Ordering::Relaxed);
        }
        let table = board.table();
        assert_eq!(table.live_producers()?, 0, "nobody holds a lock");
        assert_eq!(table.waiting()?, (0, 0));
        assert_eq!(table.producers()?, Producers::AllLeft);
        board.participants.set_producer(table)?;
        assert_eq!(table.live_producers()?, 1);
        let waiting = board.participants.waiting_put(table)?;
        assert_eq!(table.waiting()?, (1, 0));
        drop(waiting);
        board.participants.leave(table);
    }
    Ok(())
}
