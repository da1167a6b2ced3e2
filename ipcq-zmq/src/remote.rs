//! Peers that come over TCP: the kernel knows neither their user nor their process, and their clock is another one.

use crate::broker::ProcessId;
use crate::server::{REMOTE, Server};
use crate::wire::{Op, Request};

/// Whether `process` came over TCP.
pub(crate) const fn is_remote(process: ProcessId) -> bool {
    process & REMOTE != 0
}

/// What a peer asks for, in terms of this machine; an error for what is only for this machine.
pub(crate) fn localize(now: u64, process: ProcessId, mut request: Request) -> Result<Request, &'static str> {
    if !is_remote(process) {
        return Ok(request);
    }
    if request.op == Op::Remove {
        return Err("a queue can only be removed on the machine that it is on");
    }
    if request.expires != 0 {
        request.expires = now.saturating_add(request.expires);
    }
    Ok(request)
}

impl Server {
    /// The session's token in a HELLO, and the process that it belongs to. One that came over TCP says so itself, in 16
    /// bytes more.
    pub(crate) fn owner(&mut self, process: ProcessId, content: &[u8]) -> Option<([u8; 16], ProcessId)> {
        let (token, rest) = content.split_first_chunk::<16>()?;
        let known = match <[u8; 16]>::try_from(rest) {
            Ok(party) if is_remote(process) && *token != [0; 16] => {
                *self.parties.entry(party).or_insert(process)
            }
            // Who does not say is a process by itself.
            Err(_) if rest.is_empty() => process,
            _ => return None,
        };
        Some((*token, known))
    }

    /// The processes that have no session left have gone, as far as can be known.
    pub(crate) fn forget_parties(&mut self) {
        let sessions = &self.broker.sessions;
        let is_there = |id: ProcessId| sessions.values().any(|session| session.process == id);
        let gone: Vec<ProcessId> = self.parties.values().copied().filter(|id| !is_there(*id)).collect();
        self.parties.retain(|_, id| !gone.contains(id));
        for id in gone {
            self.broker.died(id, &mut self.desk);
        }
    }
}
