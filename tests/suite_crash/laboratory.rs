//! Runs the program `victim`, in a directory of its own, with a watchdog.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A part of the machine's memory, as a directory: where queues live by default too.
const MEMORY: &str = "/dev/shm";

/// Makes each function, which takes a backend's name, a test for each backend, called after both.
macro_rules! on_each_backend {
    ($($behaviour:ident),+ $(,)?) => {
        mod shm {
            $(#[test] fn $behaviour() { super::$behaviour("shm"); })+
        }
        mod pipe {
            $(#[test] fn $behaviour() { super::$behaviour("pipe"); })+
        }
    };
}
pub(crate) use on_each_backend;

/// As [`on_each_backend`], and for the one whose queues are in no memory that is shared.
macro_rules! on_every_backend {
    ($($behaviour:ident),+ $(,)?) => {
        crate::laboratory::on_each_backend!($($behaviour),+);
        mod zmq {
            $(#[test] fn $behaviour() { super::$behaviour("zmq"); })+
        }
    };
}
pub(crate) use on_every_backend;

/// What the program printed when it ended well.
pub(crate) struct Outcome(String);

impl Outcome {
    /// What it said, word by word.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split_whitespace()
    }

    /// The number behind `name=`.
    pub(crate) fn number(&self, name: &str) -> usize {
        let prefix = format!("{name}=");
        let value = self.0.split_whitespace().find_map(|word| word.strip_prefix(&prefix));
        let number = value.and_then(|value| value.parse().ok());
        number.unwrap_or_else(|| panic!("the program did not say {name}: {}", self.0))
    }
}

/// Runs `victim` with `arguments` and the path of an empty directory; it must end well within `limit`.
pub(crate) fn run(arguments: &[&str], limit: Duration) -> Outcome {
    match attempt(arguments, limit) {
        Ok(printed) => {
            // Shown by `cargo test -- --nocapture`.
            print!("{printed}");
            Outcome(printed)
        }
        Err(said) => panic!("victim {arguments:?}: {said}"),
    }
}

/// As [`run`], but returns what it said when it failed.
pub(crate) fn attempt(arguments: &[&str], limit: Duration) -> Result<String, String> {
    let directory = tempfile::Builder::new().prefix("ipcq-crash-").tempdir_in(MEMORY).expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
    command.args(arguments).arg(directory.path());
    // Symbols that are looked up once, in whichever fork comes first, would make forks differ; memory that is
    // given back and taken again for each of them costs half the time.
    command.env("LD_BIND_NOW", "1").env("MALLOC_TRIM_THRESHOLD_", "200000000");
    command.env("MALLOC_MMAP_THRESHOLD_", "32000000");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let ended = wait(&mut child, limit);
    let (mut printed, mut said) = (String::new(), String::new());
    child.stdout.take().expect("asked for above").read_to_string(&mut printed).expect("text");
    child.stderr.take().expect("asked for above").read_to_string(&mut said).expect("text");
    match ended {
        Some(status) if status.success() => Ok(printed),
        Some(status) => Err(format!("{status}: {said}")),
        None => Err(format!("it did not end within {limit:?}: {said}")),
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("a child of this process") {
            return Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child of this process");
            child.wait().expect("a child of this process");
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
