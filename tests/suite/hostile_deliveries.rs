//! Q16: whatever somebody writes where deliveries are kept, nobody crashes or hangs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::{Channel, DeliveryTag, QueueName, QueueOptions, Wait};
use ipcq_tests::transports::transport;

/// Where the deliveries begin: see `layout.rs` of the backends.
const IN_MEMORY: u64 = 2112 << 10;
const IN_PIPES: u64 = (68 << 20) + (64 << 10);
/// How far what is used of their words goes: see `layout.rs` in core.
const ENTRIES: u64 = 32 << 10;
const HEAP: u64 = ENTRIES + (64 << 20);
const TAGS: u64 = HEAP + (4 << 20);
/// What is written into: from where, how many words, each so long.
const TARGETS: [(u64, u64, usize); 5] =
    [(0, 20, 4), (4096, 4, 4), (ENTRIES, 8 * 64 / 8, 8), (HEAP, 8, 4), (TAGS, 64, 8)];
const ROUNDS: u64 = 600;

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A word that is likely to hurt.
fn word(random: &mut u64) -> u64 {
    let number = next(random);
    match number % 6 {
        0 => u64::MAX,
        1 => number >> 40,
        2 => 1 << (number >> 58),
        3 => (1 + number % 5) << 48 | number >> 44,
        4 => number % 70,
        _ => number,
    }
}

fn use_it(queue: &dyn Channel, held: &mut Vec<DeliveryTag>, random: &mut u64) {
    let mut message = Vec::new();
    for _ in 0..12 {
        match next(random) % 8 {
            0 => drop(queue.put(&[&vec![7; (next(random) % 5000) as usize]], Wait::No)),
            1 | 2 => held.extend(queue.get_delivery(&mut message, Wait::No)),
            3 => drop(queue.get(&mut message, Wait::No)),
            4 => held.pop().map_or((), |tag| drop(queue.acknowledge(&tag))),
            5 => held.pop().map_or((), |tag| drop(queue.give_back(&tag))),
            6 => drop((queue.len(), queue.in_flight(), queue.is_full(), queue.join(Wait::No))),
            _ => drop(queue.stat()),
        }
        assert!(message.capacity() < 1 << 24, "memory was had for what somebody claimed");
    }
}

fn round(backend: &str, at_all: u64, directory: &Path, seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let transport = transport(backend, directory).expect("a backend of this name");
    let name: QueueName = "q".parse().expect("a legal name");
    let options = QueueOptions::new().capacity(50).acknowledged(true).lease(Duration::from_millis(1));
    let queue = transport.create(&name, &options).expect("a fresh name is free");
    let mut held = Vec::new();
    use_it(&*queue, &mut held, &mut random);
    let file =
        File::options().write(true).open(directory.join(format!("q.{backend}"))).expect("the queue's file");
    for _ in 0..4 {
        for _ in 0..=next(&mut random) % 4 {
            let (at, words, len) = TARGETS[(next(&mut random) % 5) as usize];
            let at = at_all + at + next(&mut random) % words * len as u64;
            let bytes = word(&mut random).to_le_bytes();
            file.write_all_at(&bytes[..len], at).expect("the queue's file can be written");
        }
        use_it(&*queue, &mut held, &mut random);
    }
    if backend == "shm" {
        drop(queue);
        // Refused, or as good as any other.
        if let Ok(again) = transport.open(&name) {
            use_it(&*again, &mut held, &mut random);
        }
    }
    transport.remove(&name).expect("what cannot be opened can be removed");
}

fn rounds(backend: &str, at: u64) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    for seed in 1..=ROUNDS {
        let _watchdog = Watchdog::start(&format!("round {seed}"), Duration::from_secs(20));
        round(backend, at, directory.path(), seed);
    }
}

#[test]
fn q16_whatever_is_written_over_deliveries_crashes_and_hangs_nobody_shm() {
    rounds("shm", IN_MEMORY);
}

#[test]
fn q16_whatever_is_written_over_deliveries_crashes_and_hangs_nobody_pipe() {
    rounds("pipe", IN_PIPES);
}
