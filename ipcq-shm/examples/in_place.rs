//! Frames of a camera that nobody copies: one process builds them in the queue's memory, another reads them there.
//!
//! ```sh
//! cargo run --release --package ipcq-shm --example in_place
//! ```
#![allow(clippy::print_stdout, reason = "what a program prints")]

use std::error::Error;
use std::process::Command;

use ipcq_shm::{Bytes, Queue, QueueOptions, ShmTransport};

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
const FRAMES: u8 = 100;

type Frames = Queue<Vec<u8>, Bytes>;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        None => film(),
        Some("watch") => watch(),
        Some(other) => Err(format!("there is no part {other}").into()),
    }
}

/// Builds frames, each as bright as its number.
fn film() -> Result<(), Box<dyn Error>> {
    let frames = Frames::anonymous(&ShmTransport::new(), &QueueOptions::new().capacity(4))?;
    let mut watcher = Command::new(std::env::current_exe()?);
    watcher.arg("watch");
    frames.share_with(&mut watcher)?;
    let mut watcher = watcher.spawn()?;
    for number in 0..FRAMES {
        let mut frame = frames.loan(WIDTH * HEIGHT)?;
        frame.fill(number);
        frames.put_loan(frame)?;
    }
    frames.close()?;
    if watcher.wait()?.success() { Ok(()) } else { Err("the watcher failed".into()) }
}

/// Looks at each where it lies.
fn watch() -> Result<(), Box<dyn Error>> {
    let frames = Frames::inherited(&ShmTransport::new())?;
    let (mut seen, mut brightness) = (0_u32, 0_u64);
    while let Ok(frame) = frames.get_loan() {
        brightness += frame.iter().map(|pixel| u64::from(*pixel)).sum::<u64>() / frame.len() as u64;
        seen += 1;
    }
    println!("{seen} frames, {brightness} bright together");
    Ok(())
}
