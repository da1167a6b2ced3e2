//! Deadlines that have passed when a call begins: it does what it can at once, and says `Timeout` if that is nothing. Sent
//! as they are they would have passed when the broker hears of them, and nothing could ever be done.

use std::time::Instant;

use ipcq_core::{GetFault, JoinFault, PutFault, Wait};

/// How a call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// What the broker is asked for.
    pub(crate) wait: Wait,
    is_past: bool,
}

impl Patience {
    pub(crate) fn of(wait: Wait) -> Self {
        match wait {
            Wait::Until(deadline) if deadline <= Instant::now() => Self { wait: Wait::No, is_past: true },
            wait => Self { wait, is_past: false },
        }
    }

    /// What the caller is told.
    pub(crate) fn put(self, fault: PutFault) -> PutFault {
        match fault {
            PutFault::Full | PutFault::Busy if self.is_past => PutFault::Timeout,
            fault => fault,
        }
    }

    /// What the caller is told.
    pub(crate) fn join(self, fault: JoinFault) -> JoinFault {
        match fault {
            JoinFault::Unfinished if self.is_past => JoinFault::Timeout,
            fault => fault,
        }
    }

    /// What the caller is told.
    pub(crate) fn get(self, fault: GetFault) -> GetFault {
        match fault {
            GetFault::Empty | GetFault::Busy if self.is_past => GetFault::Timeout,
            fault => fault,
        }
    }
}
