//! Waiting for several queues at once.

use std::process::Command;
use std::thread;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::{AcknowledgedQueue, Queue, QueueOptions, Select};
use nix::libc;

use crate::place::{Place, on_each_transport};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// What is waited for where nothing shall come.
const SHORT: Duration = Duration::from_millis(20);

on_each_transport! {
    q05_a_selection_waits_in_three_forms,
    q05_a_selection_wakes_on_the_right_queue,
    q05_a_selection_gives_each_queue_its_turn,
    q07_a_closed_queue_is_ready,
    q13_a_removed_queue_is_ready,
    q19_a_selection_notices_that_the_last_producer_was_killed,
}

fn queues(place: &Place, count: usize) -> Vec<Queue<u64>> {
    let make = |number| {
        let options = QueueOptions::new().capacity(10);
        Queue::create(&*place.transport, &format!("q{number}"), &options).expect("a free name")
    };
    (0..count).map(make).collect()
}

fn select(queues: &[Queue<u64>]) -> Select<'_> {
    let mut select = Select::new();
    queues.iter().for_each(|queue| {
        select.add(queue);
    });
    select
}

fn q05_a_selection_waits_in_three_forms(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("selecting in three forms", LONG);
    let queues = queues(&place, 3);
    let mut select = select(&queues);
    assert_eq!(select.try_ready(), None);
    assert_eq!(select.ready_timeout(SHORT), None);
    assert_eq!(select.ready_deadline(std::time::Instant::now() + SHORT), None);
    queues[1].put(7).expect("there is room");
    assert_eq!([select.try_ready(), select.ready(), select.ready_timeout(LONG)], [Some(1); 3]);
    assert_eq!(queues[1].try_get().expect("a message"), 7);
    assert_eq!(select.try_ready(), None);
    (0..3).for_each(|index| select.remove(index));
    assert_eq!(select.ready(), None, "there is nothing to wait for");
}

fn q05_a_selection_wakes_on_the_right_queue(transport: &str) {
    let count = if transport == "shm" { 100 } else { 10 };
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("selecting from many queues", LONG);
    let queues = queues(&place, count);
    let count_text = count.to_string();
    let mut peer = place.start("select", &[&count_text]);
    assert_eq!(peer.hear(), "ready");
    for message in 0..200 {
        let number = (message * 37) % count;
        queues[number].put(message as u64).expect("there is room");
        let heard = peer.hear();
        assert!(heard.starts_with(&format!("{number} {message} ")), "{heard}");
    }
    queues.iter().for_each(|queue| queue.close().expect("an open queue"));
    assert_eq!(peer.finish(), [""; 0]);
}

fn q05_a_selection_gives_each_queue_its_turn(transport: &str) {
    let place = Place::new(transport);
    let queues = queues(&place, 3);
    for queue in &queues {
        (0..5).for_each(|message| queue.put(message).expect("there is room"));
    }
    let mut select = select(&queues);
    let mut turns = Vec::new();
    while let Some(index) = select.try_ready() {
        queues[index].try_get().expect("a message");
        turns.push(index);
    }
    assert_eq!(turns, [0, 1, 2].repeat(5));
}

fn q07_a_closed_queue_is_ready(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("selecting from closed queues", LONG);
    let queues = queues(&place, 2);
    thread::scope(|scope| {
        let waits = scope.spawn(|| select(&queues).ready());
        queues[1].close().expect("an open queue");
        assert_eq!(waits.join().expect("a selection"), Some(1));
    });
    assert!(queues[1].try_get().expect_err("nothing").is_closed());
}

fn q13_a_removed_queue_is_ready(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("selecting from removed queues", LONG);
    let queues = queues(&place, 2);
    thread::scope(|scope| {
        let waits = scope.spawn(|| select(&queues).ready());
        Queue::<u64>::remove(&*place.transport, "q0").expect("a queue of this name");
        assert_eq!(waits.join().expect("a selection"), Some(0));
    });
    assert!(queues[0].try_get().is_err());
}

fn q19_a_selection_notices_that_the_last_producer_was_killed(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("selecting when producers die", LONG);
    let options = QueueOptions::new().auto_close(true);
    let queue = Queue::<u64>::create(&*place.transport, "q", &options).expect("a free name");
    let other = Queue::<u64>::create(&*place.transport, "other", &options).expect("a free name");
    let mut producer = Command::new("sleep");
    producer.arg("600");
    queue.share_with(&mut producer).expect("a queue that can be shared");
    let mut producer = producer.spawn().expect("a child");
    let mut select = Select::new();
    let (_, index) = (select.add(&other), select.add(&queue));
    assert_eq!(select.ready_timeout(SHORT), None);
    producer.kill().expect("a child");
    producer.wait().expect("a child");
    assert_eq!(select.ready(), Some(index));
    assert!(queue.try_get().expect_err("no message").is_closed());
}

#[test]
fn queues_of_several_transports_and_types_can_be_waited_for() {
    let _watchdog = Watchdog::start("selecting across transports", LONG);
    let places = ["shm", "pipe", "zmq"].map(Place::new);
    let all: Vec<_> = places.iter().map(|place| queues(place, 1).remove(0)).collect();
    let jobs = AcknowledgedQueue::<String>::create(&*places[0].transport, "jobs", &QueueOptions::new())
        .expect("a free name");
    let mut select = select(&all);
    let of_jobs = select.add(&jobs);
    for round in 0..30 {
        let number = round % all.len();
        thread::scope(|scope| {
            let waits = scope.spawn(|| select.ready());
            all[number].put(round as u64).expect("there is room");
            assert_eq!(waits.join().expect("a selection"), Some(number));
        });
        assert_eq!(all[number].try_get().expect("a message"), round as u64);
    }
    jobs.put("sweep".to_owned()).expect("there is room");
    assert_eq!(select.ready(), Some(of_jobs));
    let job = jobs.try_get().expect("a message");
    jobs.close().expect("an open queue");
    assert_eq!(select.ready_timeout(SHORT), None, "the job may come back");
    drop(job);
    assert_eq!(select.ready(), Some(of_jobs));
}

/// Several selections and plain getters take everything, each message once, whoever was woken for it.
#[test]
fn selections_and_getters_miss_nothing_between_them() {
    const MESSAGES: u64 = 20_000;
    for transport in ["shm", "pipe"] {
        let place = Place::new(transport);
        let _watchdog = Watchdog::start("selections beside getters", LONG);
        let queues = queues(&place, 3);
        let select_all = || {
            let (mut select, mut sum) = (select(&queues), 0);
            while let Some(index) = select.ready() {
                match queues[index].try_get() {
                    Ok(message) => sum += message,
                    Err(error) if error.is_closed() => select.remove(index),
                    Err(error) => assert!(error.is_empty() || error.is_busy(), "{error}"),
                }
            }
            sum
        };
        let get_all =
            |queue: &Queue<u64>| queue.iter().map(|message| message.expect("a message")).sum::<u64>();
        thread::scope(|scope| {
            let getters: Vec<_> = queues.iter().map(|queue| scope.spawn(move || get_all(queue))).collect();
            let selections = [scope.spawn(select_all), scope.spawn(select_all)];
            for (message, queue) in (0..MESSAGES).zip(queues.iter().cycle()) {
                queue.put(message).expect("an open queue");
            }
            queues.iter().for_each(|queue| queue.close().expect("an open queue"));
            let sums = getters.into_iter().chain(selections).map(|got| got.join().expect("no panic"));
            assert_eq!(sums.sum::<u64>(), MESSAGES * (MESSAGES - 1) / 2, "{transport}");
        });
    }
}

/// A filter of system calls, as containers have them, that knows no `futex_waitv`: for the calling thread.
fn forbid_waiting_for_several() {
    const LOAD: u16 = 0x20;
    const IS_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let number = u32::try_from(libc::SYS_futex_waitv).expect("a small number");
    let mut steps = [
        step(LOAD, 0, 0),
        libc::sock_filter { jf: 1, ..step(IS_EQUAL, 0, number) },
        step(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
    // SAFETY: this thread will get no more rights than it has, which it does not need.
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(answer, 0);
    // SAFETY: the program has as many steps as it says, and the kernel checks and copies them.
    let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_system_that_cannot_wait_for_several_words_will_do() {
    let _watchdog = Watchdog::start("selecting without futex_waitv", LONG);
    let place = Place::new("shm");
    let queues = queues(&place, 3);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            forbid_waiting_for_several();
            let mut select = select(&queues);
            for round in 0..20 {
                assert_eq!(select.ready(), Some(round % 3));
                queues[round % 3].try_get().expect("a message");
                queues[(round + 1) % 3].put(0).expect("there is room");
            }
            select.try_ready();
            assert_eq!(select.ready_timeout(SHORT), Some(2));
            queues[2].try_get().expect("a message");
            assert_eq!(select.ready_timeout(SHORT), None);
        });
        thread::park_timeout(SHORT);
        queues[0].put(0).expect("there is room");
        waits.join().expect("a selection");
    });
}
