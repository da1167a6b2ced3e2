//! What operations change in shared memory, store by store: every state that a death can leave is between two of
//! these.

use std::time::Duration;

use crate::laboratory;

/// Steps through `scenario` and expects exactly `changes`, in this order; `record` is bytes in free space.
fn changes(scenario: &str, changes: &[&str]) {
    let outcome = laboratory::run(&["states", scenario, "shm"], Duration::from_secs(60));
    let said: Vec<&str> = outcome.words().skip(1).collect();
    assert_eq!(said, changes, "{scenario} changes shared memory in another way");
}

/// One store makes a message visible. A put of a full queue only takes the lock.
#[test]
fn q15_a_put_takes_effect_in_one_store() {
    changes("put_empty", &["put.lock", "record", "tail", "put.lock"]);
    changes("put_full", &["put.lock", "put.lock"]);
}

/// One store takes a message; what was seen of the tail is only a hint.
#[test]
fn q15_a_get_takes_effect_in_one_store() {
    changes("get", &["get.lock", "get.seen_tail", "head", "get.lock"]);
    changes("get_empty", &["get.lock", "get.lock"]);
}

/// So does a close, without any lock.
#[test]
fn q07_a_close_is_one_store() {
    changes("close", &["tail"]);
}

/// A batch takes effect in portions, each by one store: a prefix is in, or out, at any time.
#[test]
fn q08_a_batch_takes_effect_in_portions() {
    changes("put_many", &["put.lock", "record", "tail", "put.seen_head", "record", "tail", "put.lock"]);
    changes("get_many", &["get.lock", "get.seen_tail", "head", "get.lock"]);
}
