//! `rm`: remove queues and wake everyone who waits on them.

use crate::backend::Backends;
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;

/// Removes each queue that it can; the last failure is the command's, and the others are said before it.
pub(super) fn run(backends: &Backends, queues: &[String], diagnostics: &Diagnostics) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for queue in queues {
        match backends.remove(queue) {
            Ok(removed) => diagnostics.detail(&format!("removed queue {removed}")),
            Err(failure) => failures.push(failure),
        }
    }
    diagnostics.all_failed(failures)
}
