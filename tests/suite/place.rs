//! A directory for the queues of one test, and the processes that share it.

use std::path::{Path, PathBuf};
use std::process::Command;

use ipcq_shm::ShmTransport;
use ipcq_tests::process::Process;
use tempfile::TempDir;

/// A directory of its own, in memory where there is some, with queues that other processes can open. Removed with
/// all that is in it when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) transport: ShmTransport,
}

impl Place {
    pub(crate) fn new() -> Self {
        let shared = Path::new("/dev/shm");
        let memory = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        Self::inside(memory)
    }

    fn inside(parent: PathBuf) -> Self {
        let directory =
            tempfile::Builder::new().prefix("ipcq-test-").tempdir_in(parent).expect("a directory");
        let transport = ShmTransport::in_directory(directory.path());
        Self { directory, transport }
    }

    /// The command that starts a peer in this place: `peer ROLE DIRECTORY [ARGUMENT]...`.
    pub(crate) fn peer(&self, role: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command.arg(role).arg(self.directory.path()).args(arguments);
        command
    }

    /// A running peer; see [`peer`](Self::peer).
    pub(crate) fn start(&self, role: &str, arguments: &[&str]) -> Process {
        Process::start(&mut self.peer(role, arguments))
    }
}
