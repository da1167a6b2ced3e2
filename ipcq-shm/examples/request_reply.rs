//! Requests that say where the reply is to go: a handle of a named queue travels inside a message.
//!
//! Run it with `cargo run -p ipcq-shm --example request_reply`.
#![allow(clippy::print_stdout, reason = "what a program prints")]

use std::env;
use std::error::Error;
use std::process::{self, Command};

use ipcq_shm::{Queue, QueueOptions, ShmTransport};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Request {
    number: u64,
    reply_to: Queue<u64>,
}

fn serve(requests: &Queue<Request>) -> Result<(), Box<dyn Error>> {
    for request in requests {
        let Request { number, reply_to } = request?;
        reply_to.put(number * number)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let shm = ShmTransport::new();
    if env::args().nth(1).as_deref() == Some("server") {
        return serve(&Queue::inherited(&shm)?);
    }

    let requests: Queue<Request> = Queue::anonymous(&shm, &QueueOptions::new())?;
    let mut server = Command::new(env::current_exe()?);
    requests.share_with(server.arg("server"))?;
    let mut server = server.spawn()?;

    // Each client has a queue of its own, with a name that no other has.
    let name = format!("replies-{}", process::id());
    let replies: Queue<u64> = Queue::create(&shm, &name, &QueueOptions::new().capacity(4))?;
    for number in [2, 12, 144] {
        requests.put(Request { number, reply_to: replies.clone() })?;
        println!("{number} squared is {}", replies.get()?);
    }
    Queue::<u64>::remove(&shm, &name)?;
    requests.close()?;
    assert!(server.wait()?.success(), "the server failed");
    Ok(())
}
