//! The textbook program: a producer process puts five strings and is waited for, then a consumer process takes
//! until the queue is empty.
//!
//! Run it with `cargo run -p ipcq-zmq --example zmq_producer_consumer`.
#![allow(clippy::print_stdout, reason = "what a program prints")]

use std::env;
use std::error::Error;
use std::process::Command;

use ipcq_zmq::{Queue, QueueOptions, ZmqTransport};

fn producer(queue: &Queue<String>) -> Result<(), Box<dyn Error>> {
    for i in 0..5 {
        queue.put(format!("Message {i}"))?;
    }
    Ok(())
}

fn consumer(queue: &Queue<String>) -> Result<(), Box<dyn Error>> {
    for message in queue.try_iter() {
        println!("Consumed: {}", message?);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let zmq = ZmqTransport::new();
    match env::args().nth(1).as_deref() {
        Some("producer") => return producer(&Queue::inherited(&zmq)?),
        Some("consumer") => return consumer(&Queue::inherited(&zmq)?),
        _ => {}
    }

    let queue: Queue<String> = Queue::anonymous(&zmq, &QueueOptions::new())?;
    for role in ["producer", "consumer"] {
        let mut process = Command::new(env::current_exe()?);
        queue.share_with(process.arg(role))?;
        assert!(process.status()?.success(), "the {role} failed");
    }
    Ok(())
}
