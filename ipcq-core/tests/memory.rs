//! The reference transport: names, ends, producers, waiting.
#![cfg(feature = "bincode")]

use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ipcq_core::memory::MemoryTransport;
use ipcq_core::{
    BackendErrorKind, Batch, Capacity, CreateError, Lifetime, Limit, OpenError, Queue, QueueName,
    QueueOptions, Transport, Wait,
};

fn name(name: &str) -> QueueName {
    name.parse().unwrap()
}

/// What `call` returns on a thread of its own, which must come within a minute.
fn elsewhere<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> impl FnOnce() -> R {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(call()));
    move || result.recv_timeout(Duration::from_secs(60)).expect("a call hangs")
}

/// Returns when `queue` has a waiting putter or getter.
fn someone_waits<T>(queue: &Queue<T>) {
    let begun = Instant::now();
    loop {
        let stat = queue.stat().unwrap();
        if stat.waiting_putters + stat.waiting_getters > 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody waits");
        thread::yield_now();
    }
}

#[test]
fn names_live_in_one_transport_and_its_clones() {
    let (here, there) = (MemoryTransport::new(), MemoryTransport::new());
    let queue = Queue::<u8>::create(&here, "b", &QueueOptions::new()).unwrap();
    Queue::<u8>::create(&here, "a", &QueueOptions::new()).unwrap();
    queue.put(1).unwrap();
    drop(queue);
    assert_eq!(here.clone().list().unwrap(), [name("a"), name("b")]);
    assert_eq!(Queue::<u8>::open(&here.clone(), "b").unwrap().get().unwrap(), 1);
    assert!(matches!(Queue::<u8>::open(&there, "b").unwrap_err(), OpenError::Missing { .. }));
    assert_eq!(there.list().unwrap(), []);
    assert_eq!(here.capabilities().lifetime, Lifetime::UntilRemoved);
}

#[test]
fn an_address_finds_its_queue_while_something_holds_the_transport() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::create(&transport, "jobs", &QueueOptions::new()).unwrap();
    let address = queue.address().unwrap();
    drop(transport);
    Queue::<u8>::open_address(&address).unwrap().put(5).unwrap();
    assert_eq!(queue.get().unwrap(), 5);
    drop(queue);
    assert!(matches!(address.open().unwrap_err(), OpenError::Gone { .. }));
}

#[test]
fn removing_wakes_everyone_with_closed() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::create(&transport, "jobs", &QueueOptions::new()).unwrap();
    let getter = elsewhere({
        let queue = queue.clone();
        move || queue.get()
    });
    someone_waits(&queue);
    transport.remove(&name("jobs")).unwrap();
    assert!(getter().unwrap_err().is_closed());
    assert!(queue.put(1).unwrap_err().is_closed());
    assert!(queue.try_get().unwrap_err().is_closed());
    assert!(queue.close().unwrap_err().is_gone());
    assert!(queue.stat().unwrap_err().is_gone());
    assert!(queue.is_full().unwrap_err().is_gone());
    Queue::<u8>::create(&transport, "jobs", &QueueOptions::new()).unwrap();
}

#[test]
fn removing_discards_what_is_there() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::create(&transport, "jobs", &QueueOptions::new()).unwrap();
    queue.put(1).unwrap();
    transport.remove(&name("jobs")).unwrap();
    assert!(queue.get().unwrap_err().is_closed());
}

#[test]
fn closing_wakes_putters_and_hands_their_values_back() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::create(&transport, "jobs", &QueueOptions::new().capacity(1)).unwrap();
    queue.put(1).unwrap();
    let putter = elsewhere({
        let queue = queue.clone();
        move || queue.put(2)
    });
    someone_waits(&queue);
    queue.close().unwrap();
    queue.close().unwrap();
    let refused = putter().unwrap_err();
    assert!(refused.is_closed());
    assert_eq!(refused.into_inner(), 2);
    assert_eq!(queue.get().unwrap(), 1);
    assert!(queue.get().unwrap_err().is_closed());
}

#[test]
fn room_and_messages_wake_those_who_wait_for_them() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::create(&transport, "jobs", &QueueOptions::new().capacity(1)).unwrap();
    let getter = elsewhere({
        let queue = queue.clone();
        move || queue.get_timeout(Duration::from_secs(60))
    });
    someone_waits(&queue);
    queue.put(1).unwrap();
    assert_eq!(getter().unwrap(), 1);

    queue.put(2).unwrap();
    let putter = elsewhere({
        let queue = queue.clone();
        move || queue.put_many([3, 4])
    });
    someone_waits(&queue);
    for expected in 2..=4 {
        assert_eq!(queue.get_timeout(Duration::from_secs(60)).unwrap(), expected);
    }
    assert_eq!(putter().unwrap(), 2);
}

#[test]
fn time_runs_out_not_before_it_should() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::anonymous(&transport, &QueueOptions::new().capacity(1)).unwrap();
    let (begun, timeout) = (Instant::now(), Duration::from_millis(30));
    assert!(queue.get_timeout(timeout).unwrap_err().is_timeout());
    assert!(begun.elapsed() >= timeout);
    queue.put_timeout(1, timeout).unwrap();
    let begun = Instant::now();
    assert!(queue.put_many_timeout([2], timeout).unwrap_err().is_timeout());
    assert!(begun.elapsed() >= timeout);
    assert_eq!(queue.get_timeout(Duration::MAX).unwrap(), 1);
    assert!(queue.get_many_deadline(1, Instant::now()).unwrap_err().is_timeout());
}

#[test]
fn a_queue_closes_when_its_last_producer_leaves() {
    let transport = MemoryTransport::new();
    let options = QueueOptions::new().auto_close(true);
    let consumer = Queue::<u8>::create(&transport, "jobs", &options).unwrap();
    consumer.unregister_producer().unwrap();
    assert!(!consumer.is_closed().unwrap(), "closed though no producer was there");
    consumer.put(1).unwrap();
    consumer.unregister_producer().unwrap();
    assert!(consumer.put(2).unwrap_err().is_closed());
    assert_eq!(consumer.get().unwrap(), 1);
    assert!(consumer.get().unwrap_err().is_closed());

    let queue = Queue::<u8>::create(&transport, "others", &options).unwrap();
    queue.register_producer().unwrap();
    drop(queue.clone());
    assert!(!queue.is_closed().unwrap());
    drop(queue);
    assert!(Queue::<u8>::open(&transport, "others").unwrap().is_closed().unwrap());
}

#[test]
fn a_queue_that_was_not_asked_to_stays_open() {
    let transport = MemoryTransport::new();
    Queue::<u8>::create(&transport, "jobs", &QueueOptions::new()).unwrap().put(1).unwrap();
    let queue = Queue::<u8>::open(&transport, "jobs").unwrap();
    assert!(!queue.is_closed().unwrap());
    queue.unregister_producer().unwrap();
    queue.put(2).unwrap();
}

#[test]
fn numbers_are_exact() {
    let transport = MemoryTransport::new();
    let queue =
        Queue::<Vec<u8>, ipcq_core::Bytes>::create(&transport, "jobs", &QueueOptions::new().capacity(2));
    let queue = queue.unwrap();
    queue.put_many([vec![0; 100], vec![]]).unwrap();
    assert!(queue.is_full().unwrap() && !queue.is_empty().unwrap());
    let stat = queue.stat().unwrap();
    assert_eq!((stat.len, stat.bytes, stat.puts, stat.gets, stat.closed), (2, 100, 2, 0, false));
    queue.get_many(2).unwrap();
    let stat = queue.stat().unwrap();
    assert_eq!((stat.len, stat.bytes, stat.puts, stat.gets), (0, 0, 2, 2));
    assert_eq!((queue.capacity(), stat.waiting_putters, stat.waiting_getters), (2, 0, 0));
}

#[test]
fn the_largest_capacity_can_be_asked_for() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::anonymous(&transport, &QueueOptions::new().capacity(Capacity::Max)).unwrap();
    assert_eq!(queue.capacity(), transport.capabilities().max_capacity);
    queue.put(1).unwrap();
    assert!(!queue.is_full().unwrap());
    let beyond = QueueOptions::new().capacity(usize::MAX);
    let refused = Queue::<u8>::anonymous(&transport, &beyond).unwrap_err();
    assert!(matches!(refused, CreateError::Unsupported { transport: "memory", .. }));
}

#[test]
fn no_other_process_is_reached() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8>::anonymous(&transport, &QueueOptions::new()).unwrap();
    let refused = queue.share_with(&mut Command::new("true")).unwrap_err();
    assert_eq!(refused.kind(), BackendErrorKind::Unsupported);
    assert!(Queue::<u8>::inherited(&transport).unwrap_err().is_missing());
    assert_eq!(transport.collect_garbage().unwrap(), Vec::<String>::new());
    assert_eq!(transport.name(), "memory");
}

#[test]
fn each_message_goes_to_one_of_many_threads() {
    let transport = MemoryTransport::new();
    let queue = Queue::<(u8, u32)>::create(&transport, "jobs", &QueueOptions::new().capacity(3)).unwrap();
    let each = 500;
    let producers: Vec<_> = (0..4)
        .map(|who| {
            let queue = queue.clone();
            elsewhere(move || (0..each).for_each(|n| queue.put((who, n)).unwrap()))
        })
        .collect();
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            elsewhere(move || queue.iter().map(Result::unwrap).collect::<Vec<_>>())
        })
        .collect();
    producers.into_iter().for_each(|done| done());
    queue.close().unwrap();
    let got: Vec<Vec<(u8, u32)>> = consumers.into_iter().map(|done| done()).collect();
    for seen in &got {
        for who in 0..4 {
            let numbers: Vec<_> = seen.iter().filter(|(from, _)| *from == who).map(|(_, n)| *n).collect();
            assert!(numbers.is_sorted(), "the messages of one producer changed their order");
        }
    }
    let mut all: Vec<_> = got.into_iter().flatten().collect();
    all.sort_unstable();
    let expected: Vec<_> = (0..4).flat_map(|who| (0..each).map(move |n| (who, n))).collect();
    assert_eq!(all, expected);
}

/// This transport supplies what `Channel` requires and nothing else, so these are the provided methods.
#[test]
fn what_channels_need_not_supply_does_what_it_says() {
    let transport = MemoryTransport::new();
    let channel = transport.create_anonymous(&QueueOptions::new().capacity(4)).unwrap();
    let mut batch = Batch::new();
    ["a", "b", "c", "d", "e", "f"].iter().for_each(|message| batch.push(message.as_bytes()));
    assert!(channel.is_empty().unwrap());

    let (put, outcome) = channel.put_many(&batch, 1, Wait::No);
    assert_eq!(put, 4);
    assert!(matches!(outcome.unwrap_err(), ipcq_core::PutFault::Full));
    assert!(channel.is_full().unwrap() && !channel.is_empty().unwrap());

    batch.clear();
    assert_eq!(channel.get_many(&mut batch, Limit::messages(0), Wait::Forever).unwrap(), 0);
    assert_eq!(channel.get_many(&mut batch, Limit::messages(9).with_bytes(1), Wait::No).unwrap(), 1);
    assert_eq!(channel.get_many(&mut batch, Limit::messages(2), Wait::No).unwrap(), 2);
    assert_eq!(channel.get_many(&mut batch, Limit::messages(usize::MAX), Wait::No).unwrap(), 1);
    assert_eq!(batch.iter().collect::<Vec<_>>(), [b"b", b"c", b"d", b"e"]);
    let nothing = channel.get_many(&mut batch, Limit::messages(1), Wait::No).unwrap_err();
    assert!(matches!(nothing, ipcq_core::GetFault::Empty));
    assert_eq!(channel.put_many(&batch, 4, Wait::No).0, 0);
    assert_eq!(channel.put_many(&batch, 3, Wait::No).0, 1);
}
