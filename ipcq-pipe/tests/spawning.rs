//! Queues whose process starts others (Q13): each child has all that is open until it runs its program.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ipcq_core::{OpenError, QueueName, Transport};
use ipcq_pipe::{PipeTransport, Queue, QueueOptions};

type Tested = Result<(), Box<dyn std::error::Error>>;

const ROUNDS: usize = 300;
/// So many children must have been started meanwhile for the test to mean anything.
const CHILDREN: usize = 100;

#[test]
fn a_queue_ends_with_its_last_handle_while_threads_start_processes() -> Tested {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    let name = QueueName::new("jobs")?;
    let (over, children) = (AtomicBool::new(false), AtomicUsize::new(0));
    let start_processes = || {
        while !over.load(Ordering::Relaxed) {
            Command::new("true").status().expect("a program that does nothing");
            children.fetch_add(1, Ordering::Relaxed);
        }
    };
    let use_queues = || -> Tested {
        let mut round = 0;
        while round < ROUNDS || children.load(Ordering::Relaxed) < CHILDREN {
            let queue: Queue<u8> = Queue::create(&transport, "jobs", &QueueOptions::new())
                .map_err(|error| format!("in round {round}: {error}"))?;
            let address = queue.address().ok_or("a named queue has an address")?;
            drop(queue);
            let opened = transport.open(&name);
            assert!(matches!(opened, Err(OpenError::Missing { .. })), "in round {round}: {opened:?}");
            assert!(matches!(address.open(), Err(OpenError::Gone { .. })), "in round {round}");
            round += 1;
        }
        Ok(())
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(start_processes);
        }
        let used = scope.spawn(|| use_queues().map_err(|error| error.to_string())).join();
        over.store(true, Ordering::Relaxed);
        used.map_err(|_| "it failed")??;
        Ok(())
    })
}
