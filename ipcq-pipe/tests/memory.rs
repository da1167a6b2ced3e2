//! Memory follows content (Q4, Q15): little for an empty queue, and little again once it is empty.

use std::thread;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_pipe::{Bytes, PipeTransport, Queue, QueueOptions};

type Tested = Result<(), Box<dyn std::error::Error>>;
type Raw = Queue<Vec<u8>, Bytes>;

/// What an empty queue may use.
const LITTLE: u64 = 128 * 1024;
/// The contract says 1 s; a busy machine may give the thread that does it its turn late.
const LIMIT: Duration = Duration::from_secs(30);

fn until_it_uses(queue: &Raw, most: u64) -> Tested {
    let _watchdog = Watchdog::start("giving memory back", LIMIT);
    // Its own observers would give memory back themselves.
    while bytes(queue)? > most {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What the control file of the only queue in its directory uses.
fn bytes(queue: &Raw) -> Result<u64, Box<dyn std::error::Error>> {
    let identity = queue.identity();
    let (directory, name) = (identity.directory.as_ref(), identity.name.as_ref());
    let path =
        directory.zip(name).map(|(at, name)| at.join(format!("{name}.pipe"))).ok_or("a named queue")?;
    Ok(std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path)?) * 512)
}

fn queue(transport: &PipeTransport) -> Result<Raw, Box<dyn std::error::Error>> {
    Ok(Raw::create(transport, "jobs", &QueueOptions::new())?)
}

#[test]
fn a_queue_that_is_empty_again_uses_little_although_nobody_looks_at_it() -> Tested {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let queue = queue(&PipeTransport::in_directory(directory.path()))?;
    assert_eq!(bytes(&queue)?, 28 * 1024);
    for message in [vec![1; 500], vec![2; 60_000], vec![3; 40 << 20]] {
        for _ in 0..3 {
            queue.put(message.clone())?;
        }
        for _ in 0..3 {
            assert!(queue.get()? == message);
        }
        until_it_uses(&queue, LITTLE)?;
    }
    Ok(())
}

#[test]
fn what_lies_between_messages_that_stay_is_given_back() -> Tested {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let queue = queue(&PipeTransport::in_directory(directory.path()))?;
    for n in 0..20_u8 {
        queue.put(vec![n; 1 << 20])?;
        queue.put(vec![n; 1000])?;
    }
    for n in 0..20_u8 {
        assert!(queue.get()? == vec![n; 1 << 20]);
        assert!(queue.get()? == vec![n; 1000]);
        // One long message is there all the time, ever further behind.
        queue.put(vec![n; 1000])?;
    }
    assert_eq!(queue.len()?, 20);
    until_it_uses(&queue, 2 * LITTLE)?;
    for n in 0..20_u8 {
        assert!(queue.get()? == vec![n; 1000]);
    }
    Ok(())
}

#[test]
fn hundreds_of_mebibytes_are_a_message() -> Tested {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let queue = queue(&PipeTransport::in_directory(directory.path()))?;
    let message: Vec<u8> = (0_u32..75 << 20).flat_map(u32::to_le_bytes).collect();
    queue.put(message.clone())?;
    assert!(queue.get()? == message);
    until_it_uses(&queue, LITTLE)
}
