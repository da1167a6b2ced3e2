//! A queue of jobs whose workers may die: what a worker has not acknowledged is done by another one.
//!
//! Run it with `cargo run -p ipcq-shm --example work_queue`.
#![allow(clippy::print_stdout, reason = "what a program prints")]

use std::env;
use std::error::Error;
use std::process::{Command, abort};

use ipcq_shm::{AcknowledgedQueue, QueueOptions, ShmTransport};

const JOBS: u32 = 6;

fn work(jobs: &AcknowledgedQueue<u32>) -> Result<(), Box<dyn Error>> {
    loop {
        let job = match jobs.get() {
            Ok(job) => job,
            Err(error) if error.is_closed() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if *job == 3 && job.redeliveries() == 0 {
            // Whatever ends a worker in the middle of a job: the job goes back.
            abort();
        }
        println!("job {} is done, redelivered {} times", *job, job.redeliveries());
        job.acknowledge()?;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let shm = ShmTransport::new();
    if env::args().nth(1).as_deref() == Some("worker") {
        return work(&AcknowledgedQueue::inherited(&shm, 0)?);
    }

    let jobs = AcknowledgedQueue::<u32>::anonymous(&shm, &QueueOptions::new())?;
    (0..JOBS).try_for_each(|job| jobs.put(job))?;
    jobs.close()?;
    for _ in 0..2 {
        let mut worker = Command::new(env::current_exe()?);
        jobs.share_with(worker.arg("worker"))?;
        println!("a worker ended well: {}", worker.status()?.success());
    }
    jobs.join()?;
    println!("all {JOBS} jobs are done");
    Ok(())
}
