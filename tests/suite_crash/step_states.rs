//! What operations change in shared memory, store by store: every state that a death can leave is between two of
//! these.

use std::time::Duration;

use crate::laboratory;

/// Steps through `scenario` and expects exactly `changes`, in this order; of bytes in free space only that they change.
fn changes(backend: &str, scenario: &str, changes: &[&str]) {
    let outcome = laboratory::run(&["states", scenario, backend], Duration::from_secs(60));
    let said: Vec<&str> = outcome.words().skip(1).collect();
    assert_eq!(said, changes, "{scenario} changes shared memory in another way");
}

mod shm {
    use super::changes;

    /// One store makes a message visible. A put of a full queue only takes the lock.
    #[test]
    fn q15_a_put_takes_effect_in_one_store() {
        changes("shm", "put_empty", &["put.lock", "record", "tail", "put.bytes", "put.lock"]);
        changes("shm", "put_full", &["put.lock", "put.lock"]);
    }

    /// One store takes a message; what was seen of the tail is only a hint.
    #[test]
    fn q15_a_get_takes_effect_in_one_store() {
        changes("shm", "get", &["get.lock", "get.seen_tail", "head", "get.lock"]);
        changes("shm", "get_empty", &["get.lock", "get.lock"]);
    }

    /// So does a close, without any lock.
    #[test]
    fn q07_a_close_is_one_store() {
        changes("shm", "close", &["tail"]);
    }

    /// A batch takes effect in portions, each by one store: a prefix is in, or out, at any time.
    #[test]
    fn q08_a_batch_takes_effect_in_portions() {
        let portions = [
            "put.lock",
            "record",
            "tail",
            "put.bytes",
            "put.seen_head",
            "record",
            "tail",
            "put.bytes",
            "put.lock",
        ];
        changes("shm", "put_many", &portions);
        changes("shm", "get_many", &["get.lock", "get.seen_tail", "head", "get.lock"]);
    }
}

mod pipe {
    use super::changes;

    /// One store makes a message visible, after the record is in the pipe.
    #[test]
    fn q15_a_put_takes_effect_in_one_store() {
        changes("pipe", "put_empty", &["put.lock", "length", "pipe", "tail", "put.bytes", "put.lock"]);
        changes("pipe", "put_full", &["put.lock", "put.lock"]);
    }

    /// A message that is too long for its record is tagged and written first.
    #[test]
    fn q15_a_put_of_a_long_message_takes_effect_in_one_store() {
        let memory = ["put.cursor", "tag", "put.given", "block"];
        let expected =
            [&["put.lock", "length"], &memory[..], &["pipe", "tail", "put.bytes", "put.lock"]].concat();
        changes("pipe", "put_behind_others", &expected);
    }

    /// One system call takes the record out of the pipe, one store the message out of the queue.
    #[test]
    fn q15_a_get_takes_effect_in_one_store() {
        changes("pipe", "get", &["get.lock", "get.seen_tail", "pipe", "head", "get.lock"]);
        changes("pipe", "get_empty", &["get.lock", "get.lock"]);
    }

    /// A close is one store, without any lock.
    #[test]
    fn q07_a_close_is_one_store() {
        changes("pipe", "close", &["tail"]);
    }

    /// A batch takes effect in portions, each by one store: a prefix is in, or out, at any time.
    #[test]
    fn q08_a_batch_takes_effect_in_portions() {
        let portion = ["length", "pipe", "put.fill", "tail", "put.bytes"];
        let expected = [&["put.lock"], &portion[..], &["put.seen_head"], &portion, &["put.lock"]].concat();
        changes("pipe", "put_many", &expected);
        changes("pipe", "get_many", &["get.lock", "get.seen_tail", "pipe", "head", "get.lock"]);
    }
}
