//! The harness of backends whose queues never leave their process.

use std::fmt::Debug;

use super::Harness;
use crate::Transport;

/// A backend whose queues never leave their process, and of which each `T::default()` has a place of its own: to be given
/// to the suite, as in `ipcq_core::conformance_suite!(InProcess<MyTransport>);`. The cases that need a second process
/// check that a queue refuses to be passed on. That a message without memory for it is an error is shown by one that is
/// longer than any address space: so the backend's [`max_message`](crate::Capabilities::max_message) is 2^48 or more.
#[derive(Debug)]
pub struct InProcess<T>(T);

impl<T: Transport + Default + Debug + 'static> Harness for InProcess<T> {
    type Transport = T;

    fn new() -> Self {
        Self(T::default())
    }

    fn transport(&self) -> &T {
        &self.0
    }
}
