//! Messages that are built and read in place, where the backend can: they are messages like all others.

use std::thread;
use std::time::Duration;

use super::Harness;
use super::helper::{Helper, Role};
use super::stage::{
    Shared, Stage, assert_says, get, name, next_random, pattern, put, timed, try_get, try_put, until, within,
};
use super::{bounds, stage};
use crate::error::{GetFault, PutFault};
use crate::{Batch, Bytes, Limit, Loan, Queue, QueueOptions, Transport, Wait};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn built(queue: &Shared, message: &[u8]) -> Loan {
    let mut loan = queue.loan(message.len()).expect("there is room");
    loan.copy_from_slice(message);
    loan
}

fn put_built(queue: &Shared, message: &[u8]) {
    let mut loan = built(queue, message);
    queue.put_loan(&mut loan, Wait::Forever).expect("the queue takes a message");
    assert!(loan.is_empty());
}

fn get_loan(queue: &Shared) -> Loan {
    queue.get_loan(Wait::Forever).expect("the queue gives a message")
}

/// Q3: a message of any length that is built in place arrives whole and unchanged, and is read in place so.
pub fn q03_what_is_built_in_place_arrives_whole<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let powers = (14..=18).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]);
    for (seed, len) in (1..).zip([0, 1, 100].into_iter().chain(powers).chain([MIB, 9 * MIB + 1])) {
        let message = pattern(len, seed);
        put_built(&queue, &message);
        assert!(get(&queue) == message, "a message of {len} bytes came out changed");
        put_built(&queue, &message);
        assert!(get_loan(&queue)[..] == message, "a message of {len} bytes came out changed");
        put(&queue, &message);
        assert!(get_loan(&queue)[..] == message, "a message of {len} bytes came out changed");
    }
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q3: what is built may become shorter than was asked for, and what is too long is refused before it is built.
pub fn q03_a_loan_may_be_shortened<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("q", &QueueOptions::new().capacity(4).max_message(100 * KIB));
    for (asked, len) in [(100 * KIB, 100 * KIB), (100 * KIB, 70_000), (70_000, 3), (65_536, 0), (10, 20)] {
        let mut loan = queue.loan(asked).expect("there is room");
        assert_eq!(loan.len(), asked);
        let message = pattern(len.min(asked), 5);
        loan.truncate(len);
        loan.copy_from_slice(&message);
        queue.put_loan(&mut loan, Wait::No).expect("there is room");
        assert!(get_loan(&queue)[..] == message, "{asked} bytes, of which {len} were used");
    }
    let too_long = 100 * KIB + 1;
    assert_says!(queue.loan(too_long), Err(PutFault::TooLong { len, max: 102_400 }) if *len == too_long);
    let mut elsewhere = Loan::from(vec![0; too_long]);
    assert_says!(queue.put_loan(&mut elsewhere, Wait::Forever), Err(PutFault::TooLong { .. }));
    assert_eq!(elsewhere.len(), too_long);
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q1: there is one order for messages that are built in place and for others, however they are got.
pub fn q01_loans_and_others_have_one_order<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(64);
    let length = |n: u64| {
        let random = next_random(n + 1);
        let most = [16, 300, 70 * KIB, 300 * KIB][usize::try_from(random % 4).expect("a small number")];
        usize::try_from(random >> 8).expect("64 bits") % most
    };
    let mut batch = Batch::new();
    let (mut first, mut kept) = (0, Vec::new());
    for n in 0..1500 {
        let message = pattern(length(n), n);
        if next_random(n + 7).is_multiple_of(3) {
            put(&queue, &message)
        } else {
            put_built(&queue, &message)
        }
        let wanted = [60, 1, 30, 10][usize::try_from(n / 100 % 4).expect("a small number")];
        while n + 1 - first > wanted {
            let expected = |n| pattern(length(n), n);
            match next_random(first + 11) % 3 {
                0 => assert!(get(&queue) == expected(first), "message {first} came out changed"),
                1 => {
                    let loan = get_loan(&queue);
                    assert!(loan[..] == expected(first), "message {first} came out changed");
                    kept.push((first, loan));
                }
                _ => {
                    batch.clear();
                    let got = queue.get_many(&mut batch, Limit::messages(3), Wait::No).expect("some");
                    for (at, message) in (first..).zip(batch.iter()) {
                        assert!(message == expected(at), "message {at} came out changed");
                    }
                    first += got as u64 - 1;
                }
            }
            first += 1;
        }
        // What this process keeps for a while nobody else writes to.
        if kept.len() > 10 {
            for (at, loan) in kept.drain(..) {
                assert!(loan[..] == pattern(length(at), at), "message {at} changed while it was held");
            }
        }
    }
}

/// Q4, Q5: what is built counts from when it is put; a full queue hands it back, and a put that waits gets room.
pub fn q04_a_loan_takes_room_when_it_is_put<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(1);
    let message = pattern(100 * KIB, 1);
    let (mut first, mut second) = (built(&queue, &message), built(&queue, &message));
    assert!(queue.is_empty().expect("a queue that works"));
    queue.put_loan(&mut first, Wait::No).expect("there is room");
    assert!(queue.is_full().expect("a queue that works"));
    assert_says!(queue.put_loan(&mut second, Wait::No), Err(PutFault::Full));
    assert_says!(queue.put_loan(&mut second, within(bounds::BRIEF)), Err(PutFault::Timeout));
    assert!(second[..] == message && second.len() == message.len());
    thread::scope(|scope| {
        let putter = scope.spawn(|| queue.put_loan(&mut second, Wait::Forever));
        until(|| queue.stat().expect("a queue that works").waiting_putters == 1);
        let held = get_loan(&queue);
        putter.join().expect("a putter").expect("there is room, for what was got takes none");
        assert!(held[..] == message);
    });
    assert_says!(try_put(&queue, b"one more"), Err(PutFault::Full));
    assert!(get(&queue) == message);
}

/// Q5: getting in place waits as all gets do, and a put of what was built wakes who waits.
pub fn q05_getting_in_place_waits<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    assert_says!(queue.get_loan(Wait::No), Err(GetFault::Empty));
    let (result, took) = timed(|| queue.get_loan(within(Duration::from_millis(50))));
    assert_says!(result, Err(GetFault::Timeout));
    assert!((Duration::from_millis(50)..bounds::LATE).contains(&took), "{took:?}");
    for n in 0..20 {
        let message = pattern(40_000, n);
        thread::scope(|scope| {
            let getter = scope.spawn(|| get_loan(&stage.open("q")));
            until(|| queue.stat().expect("a queue that works").waiting_getters == 1);
            put_built(&queue, &message);
            assert!(getter.join().expect("a getter")[..] == message);
        });
    }
}

/// Q7: what is built when the queue is closed stays with its builder; what is in it is drained in place, and what was got
/// outlives it.
pub fn q07_loans_of_a_closed_queue<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let _keeper = stage.keeper("q");
    let (one, two) = (pattern(100 * KIB, 1), pattern(200 * KIB, 2));
    put_built(&queue, &one);
    let mut late = built(&queue, &two);
    queue.close().expect("a queue that works");
    assert_says!(queue.put_loan(&mut late, Wait::Forever), Err(PutFault::Closed));
    assert!(late[..] == two);
    let held = get_loan(&queue);
    assert_says!(queue.get_loan(Wait::Forever), Err(GetFault::Closed));
    stage.transport().remove(&name("q")).expect("it is there");
    drop(queue);
    assert!(held[..] == one && late[..] == two, "what was held has changed");
    let next = stage.queue(4);
    next.put_loan(&mut late, Wait::No).expect("there is room");
    assert!(get(&next) == two);
    drop(held);
}

/// Q2, Q9: a loan can go to another thread, and what was got can be changed and put again, here or elsewhere.
pub fn q09_a_loan_can_be_passed_on<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let other = stage.create("other", &QueueOptions::new().capacity(4));
    let mut message = pattern(130_000, 3);
    put_built(&queue, &message);
    for round in 0..10_u8 {
        let mut loan = get_loan(&queue);
        assert!(loan[..] == message);
        loan[usize::from(round)] = round;
        message[usize::from(round)] = round;
        let to = if round % 3 == 2 { &other } else { &queue };
        thread::scope(|scope| {
            scope.spawn(move || to.put_loan(&mut loan, Wait::No).expect("there is room")).join()
        })
        .expect("a putter");
        assert_eq!(to.len().expect("a queue that works"), 1);
        if round % 3 == 2 {
            let mut loan = get_loan(&other);
            queue.put_loan(&mut loan, Wait::No).expect("there is room");
        }
    }
    assert!(get(&queue) == message);
}

/// Q1, Q9: several threads build, put and get at once, and each message goes to exactly one of them, unchanged.
pub fn q01_loans_of_many_threads_are_kept_apart<H: Harness>(stage: &Stage<H>) {
    const EACH: u64 = 100;
    let queue = stage.queue(8);
    let message = |n: u64| {
        [&n.to_le_bytes()[..], &pattern(40 * KIB + usize::try_from(n % 7).expect("small") * 9000, n)].concat()
    };
    let mut got = thread::scope(|scope| {
        for thread in 0..3 {
            let queue = &queue;
            scope.spawn(move || {
                for n in thread * EACH..(thread + 1) * EACH {
                    if n % 5 == 0 { put(queue, &message(n)) } else { put_built(queue, &message(n)) }
                }
            });
        }
        let getters = [0, 1, 2].map(|_| {
            scope.spawn(|| {
                let mut numbers = Vec::new();
                for _ in 0..EACH {
                    let loan = get_loan(&queue);
                    let n = stage::number(&loan[..8]);
                    assert!(loan[..] == message(n), "message {n} came out changed");
                    numbers.push(n);
                }
                numbers
            })
        });
        getters.map(|getter| getter.join().expect("a getter")).concat()
    });
    got.sort_unstable();
    assert_eq!(got, (0..3 * EACH).collect::<Vec<_>>());
    assert!(try_get(&queue).is_err());
}

/// Q15: loans that are dropped give their memory back, as messages that are got do: memory follows content.
pub fn q15_memory_of_loans_is_given_back<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(64);
    let bytes = || queue.stat().expect("a queue that works").bytes;
    put(&queue, b"first");
    get(&queue);
    let before = bytes();
    for round in 0..4 {
        let loans: Vec<_> = (0..8).map(|_| queue.loan((1 + round) * MIB).expect("there is room")).collect();
        for mut loan in loans {
            loan.fill(7);
            queue.put_loan(&mut loan, Wait::No).expect("there is room");
        }
        let held: Vec<_> = (0..4).map(|_| get_loan(&queue)).collect();
        (0..4).for_each(|_| drop(get(&queue)));
        drop(held);
    }
    until(|| bytes() <= before + MIB as u64);
}

/// Q15: what a killed process had on loan is given back, whether it built it or had got it; what it had put stays.
pub fn q15_what_a_dead_borrower_had_is_given_back<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(64);
    let Some(command) = stage.helper(Role::Borrow) else { return stage.assert_confined() };
    let _keeper = stage.keeper("q");
    let ready = stage.create("ready", &QueueOptions::new());
    let _leave = stage.create("leave", &QueueOptions::new());
    put(&queue, b"first");
    get(&queue);
    let bytes = || queue.stat().expect("a queue that works").bytes;
    let before = bytes();
    let message = pattern(3 * MIB, 1);
    (0..4).for_each(|_| put_built(&queue, &message));
    let helper = Helper::spawn(command);
    get(&ready);
    helper.kill();
    assert_eq!(queue.len().expect("a queue that works"), 4);
    (0..3).for_each(|_| assert!(get_loan(&queue)[..] == message));
    assert!(get_loan(&queue)[..] == *super::helper::BORROWED, "what it had put has changed");
    assert!(queue.is_empty().expect("a queue that works"));
    until(|| bytes() <= before + MIB as u64);
    // One that comes after it, and lives, has its place, and nothing of what it had.
    put_built(&queue, &message);
    let Some(command) = stage.helper(Role::Borrow) else { return };
    let helper = Helper::spawn(command);
    get(&ready);
    until(|| bytes() <= before + 10 * MIB as u64);
    helper.kill();
    put_built(&queue, &message);
    assert!(get_loan(&queue)[..] == *super::helper::BORROWED && get_loan(&queue)[..] == message);
}

/// Q15: the same where the next one comes at once, and is asked for what the dead one had.
pub fn q15_what_many_dead_borrowers_had_does_not_pile_up<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(64);
    let Some(command) = stage.helper(Role::Borrow) else { return stage.assert_confined() };
    let _keeper = stage.keeper("q");
    let ready = stage.create("ready", &QueueOptions::new());
    let _leave = stage.create("leave", &QueueOptions::new());
    let message = pattern(3 * MIB, 1);
    let (mut command, mut last) = (Some(command), None);
    let before = queue.stat().expect("a queue that works").bytes;
    for _ in 0..4 {
        // Not built in place: who borrows looks for what is over.
        put(&queue, &message);
        let helper = Helper::spawn(command.take().or_else(|| stage.helper(Role::Borrow)).expect("as before"));
        get(&ready);
        assert!(get(&queue) == super::helper::BORROWED);
        if let Some(dead) = last.replace(helper) {
            Helper::kill(dead);
        }
    }
    // The last one lives, and has 5 MiB.
    until(|| queue.stat().expect("a queue that works").bytes <= before + 7 * MIB as u64);
}

/// Q17: what cannot be lent is an error at once, and leaves the queue as it was.
pub fn q17_a_loan_without_room_for_it_is_an_error<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create(
        "q",
        &QueueOptions::new().capacity(4).max_message(usize::try_from(u32::MAX).expect("64 bits")),
    );
    put(&queue, b"first");
    let Some(command) = stage.cramped_helper(Role::BorrowTooMuch) else { return stage.assert_confined() };
    Helper::spawn(command).finish();
    assert_eq!(get(&queue), b"first");
    assert_eq!(get(&queue), b"second");
}

/// Q3, Q4, Q7: the typed handle hands a loan back that it did not put, and says why it did not lend one.
pub fn q04_a_full_queue_hands_the_loan_back<H: Harness>(stage: &Stage<H>) {
    let options = QueueOptions::new().capacity(1).max_message(MIB);
    let queue =
        Queue::<Vec<u8>, Bytes>::create(stage.transport(), "q", &options).expect("a fresh name is free");
    let loan = |fill: u8| {
        let mut loan = queue.loan(100 * KIB).expect("there is room");
        loan.fill(fill);
        loan
    };
    queue.put_loan(loan(1)).expect("there is room");
    let refused = queue.try_put_loan(loan(2)).expect_err("it is full");
    assert!(refused.is_full());
    let refused = queue.put_loan_timeout(refused.into_inner(), bounds::BRIEF).expect_err("it is full");
    assert!(refused.is_timeout());
    let two = refused.into_inner();
    assert!(two.iter().all(|byte| *byte == 2) && two.len() == 100 * KIB);
    assert!(queue.get_loan().expect("a message").iter().all(|byte| *byte == 1));
    assert!(queue.try_get_loan().expect_err("it is empty").is_empty());
    assert!(queue.get_loan_timeout(bounds::BRIEF).expect_err("it is empty").is_timeout());
    queue.close().expect("a queue that works");
    let refused = queue.put_loan(two).expect_err("it is closed");
    assert!(refused.is_closed() && refused.into_inner().into_vec() == vec![2; 100 * KIB]);
    let refused = queue.loan(MIB + 1).expect_err("it is too long");
    assert!(refused.is_too_long() && refused.to_string().contains("1048577 bytes"), "{refused}");
}
