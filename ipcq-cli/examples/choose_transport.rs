//! Choosing the backend at run time: `Transport` is object-safe, and everything above it is the same.
//!
//! Run it with `cargo run -p ipcq-cli --example choose_transport -- shm` (or `pipe`, or `zmq`).
#![allow(clippy::print_stdout, reason = "what a program prints")]

use std::env;
use std::error::Error;

use ipcq_core::{Queue, QueueOptions, Transport};
use ipcq_pipe::PipeTransport;
use ipcq_shm::ShmTransport;
use ipcq_zmq::ZmqTransport;

fn transport(name: &str) -> Result<Box<dyn Transport>, String> {
    match name {
        "shm" => Ok(Box::new(ShmTransport::new())),
        "pipe" => Ok(Box::new(PipeTransport::new())),
        "zmq" => Ok(Box::new(ZmqTransport::new())),
        _ => Err(format!("there is no transport {name}; choose shm, pipe or zmq")),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args().nth(1).unwrap_or_else(|| "shm".to_owned());
    let transport = transport(&name)?;
    let jobs: Queue<String> = Queue::anonymous(&*transport, &QueueOptions::new().capacity(2))?;
    jobs.put("sweep".to_owned())?;
    jobs.put("mop".to_owned())?;
    if let Err(full) = jobs.try_put("polish".to_owned()) {
        println!("{full}");
    }
    for job in jobs.try_iter() {
        println!("{} over {}", job?, transport.name());
    }
    Ok(())
}
