//! Processes with little address space, in which a queue cannot be mapped at its largest.

use std::process::Command;

use ipcq_shm::{Queue, QueueOptions, ShmTransport};

type Tested = Result<(), Box<dyn std::error::Error>>;

/// Set for the limited process.
const CHILD: &str = "IPCQ_TEST_LITTLE_SPACE";

#[test]
fn a_queue_leaves_address_space_to_the_rest_of_its_process() -> Tested {
    if std::env::var_os(CHILD).is_some() {
        let queue: Queue<Vec<u8>> = Queue::anonymous(&ShmTransport::new(), &QueueOptions::new())?;
        queue.put(vec![1; 1 << 20])?;
        let mut heap: Vec<u8> = Vec::new();
        heap.try_reserve_exact(128 << 20)?;
        assert_eq!(queue.get()?.len(), 1 << 20);
        return Ok(());
    }
    // Beyond a gigabyte, which fits, by steps smaller than what a queue or the process itself takes.
    for extra in (0..256).step_by(16) {
        let limit = (1 << 20) + extra * 1024;
        let limited = format!("ulimit -v {limit} && exec \"$0\" --exact \"$1\" --test-threads 1");
        let output = Command::new("sh")
            .args(["-c", &limited])
            .arg(std::env::current_exe()?)
            .arg("a_queue_leaves_address_space_to_the_rest_of_its_process")
            .env(CHILD, "1")
            .output()?;
        assert!(output.status.success(), "{limit} KiB: {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}
