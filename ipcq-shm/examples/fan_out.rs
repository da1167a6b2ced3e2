//! A pipeline that fans out: one process splits work, several do it side by side, and one collects the results.
//!
//! The queue of results closes by itself when the last worker has left, however that ended.
//!
//! Run it with `cargo run -p ipcq-shm --example fan_out`.
#![allow(clippy::print_stdout, reason = "what a program prints")]

use std::env;
use std::error::Error;
use std::process::Command;
use std::thread;

use ipcq_shm::{Queue, QueueOptions, ShmTransport};

const WORKERS: usize = 3;
const NUMBERS: u64 = 10_000;

fn work(numbers: &Queue<u64>, results: &Queue<u64>) -> Result<(), Box<dyn Error>> {
    for number in numbers {
        results.put(number? * 2)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let shm = ShmTransport::new();
    if env::args().nth(1).as_deref() == Some("worker") {
        return work(&Queue::inherited_number(&shm, 0)?, &Queue::inherited_number(&shm, 1)?);
    }

    let numbers: Queue<u64> = Queue::anonymous(&shm, &QueueOptions::new())?;
    let results: Queue<u64> = Queue::anonymous(&shm, &QueueOptions::new().auto_close(true))?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let mut worker = Command::new(env::current_exe()?);
        worker.arg("worker");
        numbers.share_with(&mut worker)?;
        results.share_with(&mut worker)?;
        workers.push(worker.spawn()?);
    }
    // Putting waits when the workers are behind, so somebody else must collect meanwhile.
    let feed = thread::spawn(move || -> Result<(), Box<dyn Error + Send + Sync>> {
        (0..NUMBERS).try_for_each(|number| numbers.put(number))?;
        Ok(numbers.close()?)
    });

    let (mut count, mut sum) = (0_u64, 0);
    for result in &results {
        (count, sum) = (count + 1, sum + result?);
    }
    feed.join().map_err(|_| "the feeding thread panicked")?.map_err(|error| error.to_string())?;
    for mut worker in workers {
        assert!(worker.wait()?.success(), "a worker failed");
    }
    println!("{count} results, which sum to {sum}");
    Ok(())
}
