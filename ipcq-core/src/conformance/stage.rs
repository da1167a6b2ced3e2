//! Where a case plays: a fresh place of one backend, and the short words that cases are written in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Harness;
use crate::error::{GetFault, PutFault};
use crate::{Channel, Lifetime, QueueName, QueueOptions, Transport, Wait};

/// One queue, as the cases hold it.
pub(super) type Shared = Arc<dyn Channel>;

/// A fresh place of the backend under test, with which one case does as it likes.
#[derive(Debug)]
pub struct Stage<H> {
    harness: H,
    helper_test: &'static str,
}

impl<H: Harness> Stage<H> {
    /// A fresh place; `helper_test` is the path of the test that helper processes run.
    #[must_use]
    pub(super) fn new(helper_test: &'static str) -> Self {
        Self { harness: H::new(), helper_test }
    }

    /// What the backend supplied.
    pub(super) const fn harness(&self) -> &H {
        &self.harness
    }

    /// The path of the test that helper processes run.
    pub(super) const fn helper_test(&self) -> &'static str {
        self.helper_test
    }

    /// The backend under test.
    pub(super) fn transport(&self) -> &H::Transport {
        self.harness.transport()
    }

    /// Makes the queue `q` for `capacity` messages.
    pub(super) fn queue(&self, capacity: usize) -> Shared {
        self.create("q", &QueueOptions::new().capacity(capacity))
    }

    /// Makes a queue.
    pub(super) fn create(&self, queue: &str, options: &QueueOptions) -> Shared {
        self.transport().create(&name(queue), options).expect("a fresh name is free")
    }

    /// One more handle of a queue that would end without; `None` where queues need none.
    pub(super) fn keeper(&self, queue: &str) -> Option<Shared> {
        let needs_none = self.transport().capabilities().lifetime == Lifetime::UntilRemoved;
        (!needs_none).then(|| self.open(queue))
    }

    /// Another handle of a queue made before.
    pub(super) fn open(&self, queue: &str) -> Shared {
        self.transport().open(&name(queue)).expect("the queue was made before")
    }
}

/// `text` as a queue name.
pub(super) fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("the suite uses legal names")
}

/// Puts one message; there is room, or will be.
pub(super) fn put(queue: &Shared, message: &[u8]) {
    queue.put(&[message], Wait::Forever).expect("the queue takes a message");
}

/// Puts one message without waiting.
pub(super) fn try_put(queue: &Shared, message: &[u8]) -> Result<(), PutFault> {
    queue.put(&[message], Wait::No)
}

/// Gets one message; there is one, or will be.
pub(super) fn get(queue: &Shared) -> Vec<u8> {
    let mut message = Vec::new();
    queue.get(&mut message, Wait::Forever).expect("the queue gives a message");
    message
}

/// Gets one message without waiting.
pub(super) fn try_get(queue: &Shared) -> Result<Vec<u8>, GetFault> {
    get_within(queue, Wait::No)
}

/// Gets one message, waiting as `wait` says.
pub(super) fn get_within(queue: &Shared, wait: Wait) -> Result<Vec<u8>, GetFault> {
    let mut message = Vec::new();
    queue.get(&mut message, wait).map(|()| message)
}

/// Puts the numbers of `range`, one message each.
pub(super) fn put_numbers(queue: &Shared, range: std::ops::Range<u64>) {
    for value in range {
        put(queue, &value.to_le_bytes());
    }
}

/// The number that a message made by [`put_numbers`] holds.
pub(super) fn number(message: &[u8]) -> u64 {
    u64::from_le_bytes(message.try_into().expect("a message of 8 bytes"))
}

/// Gets what is in the queue, until it is empty, as numbers.
pub(super) fn drain_numbers(queue: &Shared) -> Vec<u64> {
    std::iter::from_fn(|| try_get(queue).ok()).map(|message| number(&message)).collect()
}

/// `len` bytes that differ from place to place and from `seed` to `seed`.
pub(super) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = next_random(state);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The next state of a small generator of random numbers (xorshift); `state` must not be 0.
pub(super) const fn next_random(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

/// A wait until `timeout` from now.
pub(super) fn within(timeout: Duration) -> Wait {
    Wait::timeout(timeout)
}

/// What `action` returned, and how long it took.
pub(super) fn timed<R>(action: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = action();
    (result, start.elapsed())
}

/// Waits until `condition` holds, which other threads or processes bring about. The watchdog bounds it.
pub(super) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// Asserts that a result has the given form, and shows it when it has not.
macro_rules! assert_says {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {{
        let result = $result;
        let expected = stringify!($pattern $(if $guard)?);
        assert!(matches!(&result, $pattern $(if $guard)?), "expected {expected}, got {result:?}");
    }};
}
pub(super) use assert_says;
