//! Several threads of one process at a time, whose calls are done together.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_zmq::{QueueOptions, Transport, Wait, ZmqTransport};

const LIMIT: Duration = Duration::from_secs(60);
const THREADS: u64 = 8;
const EACH: u64 = 50;

/// A put returns when its own message is in the queue, whoever put it there and whatever else that one has to put.
#[test]
fn each_put_returns_when_its_own_message_is_in() {
    let _watchdog = Watchdog::start("puts done together", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let queue = zmq.create_anonymous(&QueueOptions::new().capacity(1)).expect("a queue");
    let (returned, all) = (AtomicUsize::new(0), usize::try_from(THREADS * EACH).expect("a small number"));
    let mut got = HashSet::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (queue, returned) = (&queue, &returned);
            scope.spawn(move || {
                for number in thread * EACH..(thread + 1) * EACH {
                    queue.put(&[&number.to_be_bytes()], Wait::Forever).expect("a put");
                    returned.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut message = Vec::new();
        for taken in 1..=all {
            queue.get(&mut message, Wait::Forever).expect("a get");
            assert!(got.insert(message.clone()), "a message came twice");
            // One more is in the queue by now, and nobody takes it before its putter has returned.
            while returned.load(Ordering::SeqCst) < (taken + 1).min(all) {
                std::thread::yield_now();
            }
            assert!(returned.load(Ordering::SeqCst) <= taken + 1, "a put returned that is not in the queue");
        }
    });
    assert_eq!(got.len(), all);
}

/// Every thread that waits for a message gets one, each another, and STAT knows of all who wait.
#[test]
fn each_get_returns_with_its_own_message() {
    let _watchdog = Watchdog::start("gets done together", LIMIT);
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let queue = zmq.create_anonymous(&QueueOptions::new()).expect("a queue");
    std::thread::scope(|scope| {
        let getters: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut messages = Vec::new();
                    for _ in 0..EACH {
                        let mut message = Vec::new();
                        queue.get(&mut message, Wait::Forever).expect("a get");
                        messages.push(message);
                    }
                    messages
                })
            })
            .collect();
        while queue.stat().expect("numbers").waiting_getters as u64 != THREADS {
            std::thread::yield_now();
        }
        for number in 0..THREADS * EACH {
            queue.put(&[&number.to_be_bytes()], Wait::Forever).expect("a put");
        }
        let got: Vec<Vec<u8>> =
            getters.into_iter().flat_map(|getter| getter.join().expect("a getter")).collect();
        let unique: HashSet<&Vec<u8>> = got.iter().collect();
        assert_eq!((got.len(), unique.len()), (400, 400));
    });
    assert_eq!(queue.len().expect("a length"), 0);
}
