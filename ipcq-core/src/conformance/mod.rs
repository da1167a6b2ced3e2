//! The conformance suite: what every queue promises, checked on any backend.
//!
//! A backend implements [`Harness`] in its tests (or, where its queues are files in a directory, says by
//! [`DirectoryBackend`] how they are reached; where they never leave their process, [`InProcess`] is all it needs) and
//! writes `ipcq_core::conformance_suite!(MyHarness);` at the top level of
//! a test file. That makes one `#[test]` per behaviour, named after the clause of the contract that it
//! checks, so a failure names clause and backend. Cases that need a second process start the test program once
//! more, to run the test `helper_process`; where no second process can reach a queue they check that passing it on
//! is refused.
//!
//! The list of behaviours is in `suite.rs`, once; a test of this crate compares it with the functions there are.

pub mod acknowledged;
pub mod auto_close;
pub mod batches;
mod bounds;
pub mod capacity;
pub mod closing;
pub mod fairness;
pub mod faults;
pub mod handles;
mod helper;
pub mod holders;
mod in_directory;
mod in_process;
pub mod joining;
pub mod life;
pub mod limits;
pub mod loans;
pub mod names;
pub mod observers;
pub mod order;
pub mod payload;
mod stage;
mod suite;
pub mod values;
pub mod waiting;
mod watchdog;

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;

use crate::{Channel, Transport};

pub use helper::helper_process;
pub use in_directory::{DirectoryBackend, InDirectory};
pub use in_process::InProcess;
pub use stage::Stage;
pub use suite::path_of_test;
pub use watchdog::Watchdog;

/// What a backend supplies to be tested: a fresh place, and a few looks at it from outside.
pub trait Harness: Debug + Send + Sync + Sized + 'static {
    /// The backend.
    type Transport: Transport + 'static;

    /// A place that holds no queue and that no other test uses. Dropping it removes what is left in it.
    fn new() -> Self;

    /// As [`new`](Self::new), in a directory whose path has more than 1000 bytes; `None` where places have no path.
    #[must_use]
    fn deep() -> Option<Self> {
        None
    }

    /// The backend in this place.
    fn transport(&self) -> &Self::Transport;

    /// What another process passes to [`reach`](Self::reach); `None` when queues never leave their process.
    fn place(&self) -> Option<OsString> {
        None
    }

    /// The backend in the place of another process.
    #[must_use]
    fn reach(_place: &OsStr) -> Option<Self::Transport> {
        None
    }

    /// Whatever can be seen of queues from outside, files for example, sorted.
    fn traces(&self) -> Vec<String> {
        Vec::new()
    }

    /// The permission bits of what `queue` is stored in; `None` when other users have no way to it.
    fn mode(&self, _queue: &dyn Channel) -> Option<u32> {
        None
    }
}

/// Runs one case in a fresh place, under a watchdog.
pub fn run<H: Harness>(name: &str, helper_test: &'static str, case: fn(&Stage<H>)) {
    let _watchdog = Watchdog::start(name, bounds::CASE);
    case(&Stage::new(helper_test));
}
