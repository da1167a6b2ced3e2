//! Control files and pipes that hold what no queue can have put there (Q16): an error, never a crash or a hang.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_core::{Batch, Bytes, Limit, QueueName, Transport, Wait};
use ipcq_pipe::{PipeTransport, Queue, QueueOptions};

type Tested = Result<(), Box<dyn std::error::Error>>;

/// Set for the process that uses a damaged queue: its directory.
const CHILD: &str = "IPCQ_TEST_HOSTILE";

/// Longer than the use of a damaged queue ever takes.
const LIMIT: Duration = Duration::from_secs(60);

/// The words that operations change, and the fixed part before them; the places of participants; the first lengths
/// and the first tags.
const PARTS: [(u64, u64, usize); 5] =
    [(0, 256, 16), (256, 1280, 4), (4096, 4128, 4), (65536, 65568, 4), (4_259_840, 4_259_872, 4)];

type Raw = Queue<Vec<u8>, Bytes>;

/// A queue that holds messages of all kinds.
fn queue(transport: &PipeTransport) -> Result<Raw, Box<dyn std::error::Error>> {
    let queue = Raw::create(transport, "jobs", &QueueOptions::new().capacity(6))?;
    for len in [8, 0, 3000, 100_000, 20] {
        queue.put(vec![7; len])?;
    }
    Ok(queue)
}

/// Everything that can be done to a queue in a bounded time; what it says does not matter, as long as it says
/// something. (A lock that was made to name a living thread is waited for as if that thread had stopped.)
fn use_it(directory: PathBuf) {
    let _watchdog = Watchdog::start("the use of a damaged queue", LIMIT);
    let transport = PipeTransport::in_directory(directory);
    let soon = || Wait::timeout(Duration::from_millis(5));
    if let Ok(queue) = transport.open(&QueueName::new("jobs").expect("a legal name")) {
        let mut batch = Batch::new();
        let _ = (queue.len(), queue.is_empty(), queue.is_full(), queue.stat());
        let _ = (queue.put(&[b"short"], soon()), queue.put(&[&[1; 5000]], soon()));
        let _ = queue.get_many(&mut batch, Limit::messages(2).with_bytes(4000), soon());
        let mut message = Vec::new();
        for _ in 0..4 {
            let _ = (queue.get(&mut message, Wait::No), queue.get(&mut message, soon()));
        }
        assert!(message.capacity() < 1 << 28, "{} bytes for one message", message.capacity());
        let _ = (queue.put_many(&batch, 0, soon()), queue.close(), queue.get(&mut message, soon()));
    }
    let _ = transport.list();
}

/// Uses the queue in a process of its own, which must end well.
fn is_survived(directory: &Path, what: &str) -> Tested {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "damage_is_an_error_and_never_a_crash", "--test-threads", "1"]);
    let output = command.env(CHILD, directory).stdin(Stdio::null()).output()?;
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{what}: {}: {}", output.status, String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
fn damage_is_an_error_and_never_a_crash() -> Tested {
    if let Some(directory) = std::env::var_os(CHILD) {
        use_it(directory.into());
        return Ok(());
    }
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    let name = QueueName::new("jobs")?;
    for (from, to, step) in PARTS {
        for at in (from..to).step_by(step) {
            for value in [0_u32, 1, 0x7fff_fff0, u32::MAX] {
                let held = queue(&transport)?;
                let control = File::options().write(true).open(directory.path().join("jobs.pipe"))?;
                control.write_all_at(&value.to_le_bytes(), at)?;
                is_survived(directory.path(), &format!("{value:#x} at {at}"))?;
                // Whatever it is by now, it can be removed.
                let _ = transport.remove(&name);
                drop((held, control));
                let _ = (transport.collect_garbage(), transport.remove(&name));
            }
        }
    }
    Ok(())
}

#[test]
fn foreign_bytes_in_the_pipe_are_an_error_and_never_a_crash() -> Tested {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let transport = PipeTransport::in_directory(directory.path());
    let name = QueueName::new("jobs")?;
    for foreign in [&[0; 1][..], &[0; 128], &[0xff; 128], &[7; 4096], &[1; 65_536]] {
        let held = queue(&transport)?;
        let mut files = fs::read_dir(directory.path())?.filter_map(|entry| Some(entry.ok()?.path()));
        let fifo = files.find(|path| path.extension().is_some_and(|end| end == "fifo")).ok_or("no FIFO")?;
        let flags = nix::libc::O_NONBLOCK;
        let mut pipe: File =
            std::os::unix::fs::OpenOptionsExt::custom_flags(OpenOptions::new().write(true), flags)
                .open(fifo)?;
        let _ = pipe.write(foreign);
        is_survived(directory.path(), &format!("{} foreign bytes", foreign.len()))?;
        drop((held, pipe));
        let _ = (transport.remove(&name), transport.collect_garbage());
    }
    Ok(())
}
