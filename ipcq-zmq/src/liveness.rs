//! Whether the host of a queue lives and answers, as its clients can know.

use std::time::Duration;

use crate::client::{Client, PATIENCE};
use crate::tcp::Probe;
use crate::wire::{NO_WAIT, Op, Request};
use crate::{clock, process};

/// How long a host that is elsewhere may take for its answer.
const SILENCE: Duration = Duration::from_secs(1);

impl Client {
    pub(crate) fn host_is_dead(&self) -> bool {
        match (&self.host, &self.probe) {
            (Some(host), _) => process::is_dead(&host.process),
            (None, probe) => probe.as_ref().is_some_and(Probe::finds_nobody),
        }
    }

    pub(crate) fn host_is_stopped(&self) -> bool {
        self.host.as_ref().is_some_and(|host| process::is_stopped(host.pid))
    }

    /// How much longer than its deadline a call waits to be connected: one second if the host is elsewhere.
    pub(crate) const fn grace(&self) -> Duration {
        if self.probe.is_some() { SILENCE } else { Duration::ZERO }
    }

    /// Whether to give a request up: the host is dead, or it is stopped and the time of the request is over, so that
    /// it will not take effect when the host goes on.
    pub(crate) fn should_give_up(&self, request: &Request, waited: Duration) -> bool {
        if self.host_is_dead() {
            return true;
        }
        // Whether its messages are this process's must be known before the call can end.
        if request.op == Op::Confirm {
            return false;
        }
        let waits = matches!(request.op, Op::Put | Op::Get | Op::Join | Op::Acknowledge | Op::GiveBack)
            && request.flags & NO_WAIT == 0;
        if self.probe.is_some() {
            // Whether it is stopped cannot be known, so that it is given more time.
            let limit = Duration::from_nanos(if waits { request.expires } else { 1 });
            return !limit.is_zero() && waited > limit + SILENCE;
        }
        let expired = match request.expires {
            _ if !waits => waited > PATIENCE,
            0 => false,
            expires => clock::now() > expires,
        };
        expired && self.host_is_stopped()
    }
}
