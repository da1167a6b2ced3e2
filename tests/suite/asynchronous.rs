//! Futures that put and get: dropped at any await, they lose and double nothing.

use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::memory::MemoryTransport;
use ipcq_core::{AcknowledgedQueue, GetError, PutError, Queue, QueueOptions, Transport};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;

use crate::place::{Place, on_each_transport};

const LONG: Duration = Duration::from_secs(60);

on_each_transport! {
    q05_many_futures_share_a_thread,
    q05_a_future_wakes,
    q05_a_future_that_nobody_polls_does_not_hold_up_others,
    q07_closing_ends_futures,
    q09_futures_wait_on_both_sides_of_a_fork,
    q15_tasks_take_each_message_once,
}

fn numbers(transport: &dyn Transport, capacity: usize) -> Queue<u64> {
    Queue::create(transport, "q", &QueueOptions::new().capacity(capacity)).expect("a free name")
}

type Get<'a> = Pin<Box<dyn Future<Output = Result<u64, GetError>> + 'a>>;
type Put<'a> = Pin<Box<dyn Future<Output = Result<(), PutError<u64>>> + 'a>>;

fn poll<O>(future: &mut Pin<Box<dyn Future<Output = O> + '_>>) -> Poll<O> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[derive(Clone, Copy, Debug)]
enum Step {
    BeginGet,
    BeginPut,
    PollGet(usize),
    PollPut(usize),
    DropGet(usize),
    DropPut(usize),
    TryGet,
    TryPut,
    /// Lets the thread by which futures wait get on with it.
    Pause,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::BeginGet),
        4 => Just(Step::BeginPut),
        6 => (0_usize..8).prop_map(Step::PollGet),
        6 => (0_usize..8).prop_map(Step::PollPut),
        3 => (0_usize..8).prop_map(Step::DropGet),
        3 => (0_usize..8).prop_map(Step::DropPut),
        2 => Just(Step::TryGet),
        2 => Just(Step::TryPut),
        2 => Just(Step::Pause),
    ];
    vec(step, 1..100)
}

/// What was put and got, as futures and calls said.
#[derive(Default)]
struct Account {
    next: u64,
    put: Vec<u64>,
    got: Vec<u64>,
}

/// Plays `steps`, each future polled and dropped whenever they say so; at the end every message whose put was done has
/// been got once, and no other.
fn play(transport: &dyn Transport, steps: &[Step]) -> Result<(), TestCaseError> {
    let queue = numbers(transport, 2);
    let (mut gets, mut puts, mut account) =
        (Vec::<Get<'_>>::new(), Vec::<(u64, Put<'_>)>::new(), Account::default());
    for step in steps {
        match *step {
            Step::BeginGet => gets.push(Box::pin(queue.get_async())),
            Step::BeginPut => {
                puts.push((account.next, Box::pin(queue.put_async(account.next))));
                account.next += 1;
            }
            Step::PollGet(n) if n < gets.len() => {
                if let Poll::Ready(got) = poll(&mut gets[n]) {
                    account.got.push(got.expect("a queue that works"));
                    drop(gets.remove(n));
                }
            }
            Step::PollPut(n) if n < puts.len() => {
                if let Poll::Ready(put) = poll(&mut puts[n].1) {
                    put.expect("a queue that works");
                    account.put.push(puts.remove(n).0);
                }
            }
            Step::DropGet(n) if n < gets.len() => drop(gets.remove(n)),
            Step::DropPut(n) if n < puts.len() => drop(puts.remove(n)),
            Step::TryGet => account.got.extend(queue.try_get().ok()),
            Step::TryPut => {
                account.put.extend(queue.try_put(account.next).ok().map(|()| account.next));
                account.next += 1;
            }
            Step::Pause => thread::yield_now(),
            _ => {}
        }
    }
    drop((gets, puts));
    account.got.extend(std::iter::from_fn(|| queue.try_get().ok()));
    prop_assert_eq!(account.put, account.got);
    Queue::<u64>::remove(transport, "q").expect("a queue of this name");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn dropped_futures_lose_nothing_in_memory(steps in steps()) {
        let _watchdog = Watchdog::start("futures in memory", LONG);
        play(&MemoryTransport::new(), &steps)?;
    }

    #[test]
    fn dropped_futures_lose_nothing_in_shared_memory(steps in steps()) {
        let _watchdog = Watchdog::start("futures in shared memory", LONG);
        play(&*Place::new("shm").transport, &steps)?;
    }

    #[test]
    fn dropped_futures_lose_nothing_over_pipes(steps in steps()) {
        let place = Place::alone("pipe");
        let _watchdog = Watchdog::start("futures over pipes", LONG);
        play(&*place.transport, &steps)?;
    }

    #[test]
    fn dropped_futures_lose_nothing_over_zeromq(steps in steps()) {
        let _watchdog = Watchdog::start("futures over ZeroMQ", LONG);
        play(&*Place::new("zmq").transport, &steps)?;
    }
}

fn q05_many_futures_share_a_thread(transport: &str) {
    let place = Place::new(transport);
    let queue = numbers(&*place.transport, 2);
    let _watchdog = Watchdog::start("many futures", LONG);
    let mut gets: Vec<Get<'_>> = (0..200).map(|_| Box::pin(queue.get_async()) as Get<'_>).collect();
    assert!(gets.iter_mut().all(|get| poll(get).is_pending()));
    // A thread gives itself its name when it begins to run.
    let mut threads = waiting_threads();
    while threads == 0 {
        threads = waiting_threads();
    }
    assert!(threads <= 2, "{threads} threads");
}

/// How many threads of this process wait for futures.
fn waiting_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("this process");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "ipcq-async").count()
}

fn q05_a_future_wakes(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("futures that wait", LONG);
    let (queue, replies) = (numbers(&*place.transport, 1), place_for_replies(&place));
    thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                for _ in 0..100 {
                    let number = queue.get_async().await.expect("a message");
                    replies.put_async(number + 1).await.expect("an open queue");
                }
            });
        });
        for number in 0..100 {
            queue.put(number).expect("an open queue");
            assert_eq!(replies.get().expect("a message"), number + 1);
        }
    });
}

/// The first future is woken, and its executor never comes back to it.
fn q05_a_future_that_nobody_polls_does_not_hold_up_others(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("a future behind one that nobody polls", Duration::from_secs(8));
    let queue = numbers(&*place.transport, 1);
    let mut first: Get<'_> = Box::pin(queue.get_async());
    assert!(poll(&mut first).is_pending());
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let got = runtime.block_on(async {
        let (got, put) = tokio::join!(queue.get_async(), async {
            tokio::task::yield_now().await;
            queue.try_put(7)
        });
        put.expect("there is room");
        got
    });
    assert_eq!(got.expect("a message"), 7);
}

fn place_for_replies(place: &Place) -> Queue<u64> {
    Queue::create(&*place.transport, "replies", &QueueOptions::new().capacity(1)).expect("a free name")
}

fn q07_closing_ends_futures(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("futures of a closed queue", LONG);
    let (queue, full) = (numbers(&*place.transport, 1), place_for_replies(&place));
    full.put(1).expect("there is room");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::park_timeout(Duration::from_millis(20));
            queue.close().expect("an open queue");
            full.close().expect("an open queue");
        });
        let (got, put) = runtime.block_on(async { tokio::join!(queue.get_async(), full.put_async(7)) });
        assert!(got.expect_err("no message").is_closed());
        assert_eq!(put.expect_err("no room").into_inner(), 7);
    });
}

fn q09_futures_wait_on_both_sides_of_a_fork(transport: &str) {
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("futures beside a fork", LONG);
    let queue =
        Queue::<(u8, u32)>::create(&*place.transport, "q", &QueueOptions::new()).expect("a free name");
    let mut peer = place.start("fork-futures", &["q"]);
    assert_eq!(peer.hear(), "ready");
    queue.put((1, 1)).expect("there is room");
    queue.put((2, 2)).expect("there is room");
    let mut heard = [peer.hear(), peer.hear()];
    heard.sort();
    assert_eq!(heard, ["1 1", "2 2"]);
    assert_eq!(peer.finish(), [""; 0]);
}

/// A hundred tasks beside a plain getter and a peer that puts: each message is got once.
fn q15_tasks_take_each_message_once(transport: &str) {
    const COUNT: u64 = 2000;
    let place = Place::new(transport);
    let _watchdog = Watchdog::start("a hundred tasks", LONG);
    let queue = numbers(&*place.transport, 16);
    let sum = Arc::new(AtomicU64::new(0));
    let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    thread::scope(|scope| {
        let (plain, plain_sum) = (queue.clone(), Arc::clone(&sum));
        scope.spawn(move || {
            for message in &plain {
                plain_sum.fetch_add(message.expect("a message"), Ordering::Relaxed);
            }
        });
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (queue, sum) = (queue.clone(), Arc::clone(&sum));
                runtime.spawn(async move {
                    while let Ok(message) = queue.get_async().await {
                        sum.fetch_add(message, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        runtime.block_on(async {
            for message in 0..COUNT {
                queue.put_async(message).await.expect("an open queue");
            }
            queue.close().expect("an open queue");
            for task in tasks {
                task.await.expect("a task");
            }
        });
    });
    assert_eq!(sum.load(Ordering::Relaxed), COUNT * (COUNT - 1) / 2);
}

#[test]
fn a_dropped_future_leaves_no_delivery_in_flight() {
    let place = Place::new("shm");
    let jobs = AcknowledgedQueue::<u64>::create(&*place.transport, "jobs", &QueueOptions::new())
        .expect("a free name");
    let mut early = Box::pin(jobs.get_async());
    assert!(early.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    jobs.put(7).expect("there is room");
    drop(early);
    assert_eq!((jobs.len().expect("it works"), jobs.in_flight().expect("it works")), (1, 0));
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let job = runtime.block_on(jobs.get_async()).expect("a message");
    assert_eq!((*job, job.redeliveries()), (7, 0));
    job.acknowledge().expect("its holder");
}
