//! Processes that have hardly a file descriptor left.

use std::process::Command;

use ipcq_shm::{Queue, QueueOptions, ShmTransport};

type Tested = Result<(), Box<dyn std::error::Error>>;

/// Set for the limited process: the directory of the queue.
const CHILD: &str = "IPCQ_TEST_FEW_DESCRIPTORS";

/// Whoever waits in a queue that is removed must learn of it, or the queue must stay.
#[test]
fn who_cannot_tell_the_users_of_a_queue_does_not_remove_it() -> Tested {
    if let Some(directory) = std::env::var_os(CHILD) {
        let shm = ShmTransport::in_directory(directory);
        ipcq_core::Transport::remove(&shm, &ipcq_core::QueueName::new("jobs")?)?;
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let shm = ShmTransport::in_directory(directory.path());
    for limit in 3..16 {
        let queue: Queue<u32> = Queue::create(&shm, "jobs", &QueueOptions::new())?;
        let limited = format!("ulimit -n {limit} && exec \"$0\" --exact \"$1\" --test-threads 1");
        let output = Command::new("sh")
            .args(["-c", &limited])
            .arg(std::env::current_exe()?)
            .arg("who_cannot_tell_the_users_of_a_queue_does_not_remove_it")
            .env(CHILD, directory.path())
            .output()?;
        let removed = output.status.success();
        assert_eq!(
            queue.get_timeout(std::time::Duration::ZERO).is_err_and(|error| error.is_closed()),
            removed
        );
        assert_eq!(Queue::<u32>::open(&shm, "jobs").is_err(), removed, "with {limit} descriptors");
        if !removed {
            ipcq_core::Transport::remove(&shm, &ipcq_core::QueueName::new("jobs")?)?;
        }
    }
    Ok(())
}
