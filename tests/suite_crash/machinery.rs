//! The machinery sees a queue that does not survive.

use std::time::Duration;

use crate::laboratory::attempt;

/// The toy's lock is never repaired, so the first death under it must be noticed.
#[test]
fn a_queue_without_recovery_is_caught() {
    for scenario in ["put_empty", "get"] {
        let said = attempt(&["step", scenario, "toy"], Duration::from_secs(120));
        let said = said.expect_err("a queue whose lock nobody repairs must not pass");
        assert!(said.contains("another process is inside an operation"), "{scenario}: {said}");
    }
}
