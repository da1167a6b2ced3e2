//! A directory for the queues of one test, and the processes that share it.

use std::path::Path;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ipcq_core::Transport;
use ipcq_tests::process::Process;
use ipcq_tests::transports;
use tempfile::TempDir;

/// Makes a test of each function that takes the name of a backend, for each backend, so that a failure names both.
macro_rules! on_each_transport {
    ($($test:ident),* $(,)?) => {
        mod pipe {
            $(#[test]
            fn $test() {
                super::$test("pipe");
            })*
        }

        mod shm {
            $(#[test]
            fn $test() {
                super::$test("shm");
            })*
        }

        mod zmq {
            $(#[test]
            fn $test() {
                super::$test("zmq");
            })*
        }
    };
}
pub(crate) use on_each_transport;

/// Tests that look at the clock run alone; all others run beside each other.
static QUIET: RwLock<()> = RwLock::new(());

/// A directory of its own, in memory where there is some, with queues that other processes can open. Removed with
/// all that is in it when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) transport: Box<dyn Transport>,
    _company: Company,
}

#[derive(Debug)]
enum Company {
    Others { _guard: RwLockReadGuard<'static, ()> },
    Nobody { _guard: RwLockWriteGuard<'static, ()> },
}

impl Place {
    pub(crate) fn new(transport: &str) -> Self {
        let guard = QUIET.read().unwrap_or_else(PoisonError::into_inner);
        Self::with(transport, Company::Others { _guard: guard })
    }

    /// As [`new`](Self::new), while no other test has a place.
    pub(crate) fn alone(transport: &str) -> Self {
        let guard = QUIET.write().unwrap_or_else(PoisonError::into_inner);
        Self::with(transport, Company::Nobody { _guard: guard })
    }

    fn with(transport: &str, company: Company) -> Self {
        let shared = Path::new("/dev/shm");
        let memory = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let directory =
            tempfile::Builder::new().prefix("ipcq-test-").tempdir_in(memory).expect("a directory");
        let transport = transports::transport(transport, directory.path()).expect("a backend of this name");
        Self { directory, transport, _company: company }
    }

    /// The command that starts a peer in this place: `peer ROLE TRANSPORT DIRECTORY [ARGUMENT]...`.
    pub(crate) fn peer(&self, role: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command.arg(role).arg(self.transport.name()).arg(self.directory.path()).args(arguments);
        command
    }

    /// A running peer; see [`peer`](Self::peer).
    pub(crate) fn start(&self, role: &str, arguments: &[&str]) -> Process {
        Process::start(&mut self.peer(role, arguments))
    }
}
