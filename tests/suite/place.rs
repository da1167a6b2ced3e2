//! A directory for the queues of one test, and the processes that share it.

use std::path::Path;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ipcq_shm::ShmTransport;
use ipcq_tests::process::Process;
use tempfile::TempDir;

/// Tests that look at the clock run alone; all others run beside each other.
static QUIET: RwLock<()> = RwLock::new(());

/// A directory of its own, in memory where there is some, with queues that other processes can open. Removed with
/// all that is in it when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) transport: ShmTransport,
    _company: Company,
}

#[derive(Debug)]
enum Company {
    Others { _guard: RwLockReadGuard<'static, ()> },
    Nobody { _guard: RwLockWriteGuard<'static, ()> },
}

impl Place {
    pub(crate) fn new() -> Self {
        let guard = QUIET.read().unwrap_or_else(PoisonError::into_inner);
        Self::with(Company::Others { _guard: guard })
    }

    /// As [`new`](Self::new), while no other test has a place.
    pub(crate) fn alone() -> Self {
        let guard = QUIET.write().unwrap_or_else(PoisonError::into_inner);
        Self::with(Company::Nobody { _guard: guard })
    }

    fn with(company: Company) -> Self {
        let shared = Path::new("/dev/shm");
        let memory = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let directory =
            tempfile::Builder::new().prefix("ipcq-test-").tempdir_in(memory).expect("a directory");
        let transport = ShmTransport::in_directory(directory.path());
        Self { directory, transport, _company: company }
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
