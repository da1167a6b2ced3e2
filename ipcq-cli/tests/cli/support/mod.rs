//! Runs the program in a directory of its own, with a limit on its time, and says readably what went wrong.

mod done;
mod run;
mod watch;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) use self::done::Done;
pub(crate) use self::run::{Run, Running, Unread};

/// How long anything may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes a test of each case on each transport, named after both.
macro_rules! on_every_transport {
    ($($case:ident),* $(,)?) => {
        on_transport! { shm: $($case)* }
        on_transport! { pipe: $($case)* }
        on_transport! { zmq: $($case)* }
    };
}

/// The same for transports whose queues end with the last process that holds them.
macro_rules! on_every_transport_with_keepers {
    ($($case:ident),* $(,)?) => {
        on_transport! { pipe: $($case)* }
        on_transport! { zmq: $($case)* }
    };
}

macro_rules! on_transport {
    ($transport:ident: $($case:ident)*) => {
        mod $transport {
            $(#[test]
            fn $case() {
                super::$case(&crate::support::Sandbox::new(stringify!($transport)));
            })*
        }
    };
}

/// A transport with a directory of its own.
pub(crate) struct Sandbox {
    transport: &'static str,
    directory: TempDir,
}

impl Sandbox {
    pub(crate) fn new(transport: &'static str) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix("ipcq-cli-").tempdir_in(parent);
        Self { transport, directory: directory.expect("a directory for the queues of one test") }
    }

    pub(crate) const fn transport(&self) -> &'static str {
        self.transport
    }

    /// Where the queues are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `wanted` messages, or as many as every system lets a queue of this transport hold.
    pub(crate) fn at_most(&self, wanted: u32) -> u32 {
        // A pipe of 1 MiB, the least that `fs.pipe-max-size` is by default.
        if self.transport == "pipe" { wanted.min(16_000) } else { wanted }
    }

    /// The largest capacity that `ipcq doctor` says the transport can have.
    pub(crate) fn max_capacity(&self) -> u64 {
        let doctor = self.ipcq("doctor --format json").done().succeeds().stdout();
        let reports = doctor.lines().map(|line| serde_json::from_str(line).expect("an object a line"));
        let of_this = |report: &serde_json::Value| report["transport"] == self.transport();
        let report = reports.into_iter().find(of_this).expect("a report on this transport");
        report["max_capacity"].as_u64().expect("a number")
    }

    /// What is in the directory.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory()).expect("the directory").filter_map(Result::ok);
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// How messages to people name the queue `name`.
    pub(crate) fn label(&self, name: &str) -> String {
        format!("{}:{name}", self.transport)
    }

    /// `ipcq` with `arguments`, which are separated by blanks.
    pub(crate) fn ipcq(&self, arguments: &str) -> Run {
        self.ipcq_with(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn ipcq_with(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipcq"));
        command.args(arguments);
        self.prepared(command)
    }

    /// A script of the shell in which `ipcq` is the program.
    pub(crate) fn shell(&self, script: &str) -> Run {
        let mut command = Command::new("bash");
        let program = env!("CARGO_BIN_EXE_ipcq");
        command.args(["-c", &format!("set -o pipefail; ipcq() {{ '{program}' \"$@\"; }}; {script}")]);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Run {
        command.env("IPCQ_DIR", self.directory()).env("IPCQ_TRANSPORT", self.transport);
        Run::new(command)
    }

    /// The length of a queue, as `stat` says it.
    pub(crate) fn len(&self, queue: &str) -> u64 {
        self.stat(queue)["len"].as_u64().expect("a number of messages")
    }

    pub(crate) fn stat(&self, queue: &str) -> serde_json::Value {
        let done = self.ipcq(&format!("stat {queue} --format json")).done().succeeds();
        serde_json::from_str(&done.stdout()).expect("one json object")
    }
}
