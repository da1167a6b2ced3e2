//! How a broker learns who has died, and what it does then.
//!
//! A death shows in two ways: the kernel reports the process, and the end of its connections. The latter may come late, or
//! not at all where a child of the dead process has inherited the connection.

#[cfg(test)]
mod tests;

use nix::sys::epoll::{EpollEvent, EpollTimeout};

use crate::broker::ProcessId;
use crate::peer::{Peer, Stage};
use crate::remote::is_remote;
use crate::server::Server;

impl Server {
    /// Learns of the processes that have died, and of connections over TCP that have ended. What was asked for after that
    /// must not be done as if it had not happened.
    pub(crate) fn note_deaths(&mut self, now: u64) {
        let mut events = [EpollEvent::empty(); 16];
        let mut dead = Vec::new();
        while let Ok(count @ 1..) = self.deaths.wait(&mut events, EpollTimeout::ZERO) {
            for id in events.iter().take(count).map(EpollEvent::data) {
                if self.processes.contains_key(&id) {
                    self.hang_up_on(now, id);
                    dead.push(id);
                } else {
                    self.listen_to(now, id, true);
                    self.hang_up(now, id);
                }
            }
        }
        // What one of them leaves must not go to another one.
        for id in dead {
            self.broker.died(id, &mut self.desk);
        }
    }

    /// Ends the connections of a process that has died.
    fn hang_up_on(&mut self, now: u64, id: ProcessId) {
        // What it sent before it died counts.
        let keys: Vec<u64> =
            self.desk.peers.iter().filter(|(_, peer)| peer.process == id).map(|(key, _)| *key).collect();
        for key in keys {
            self.listen_to(now, key, true);
            self.hang_up(now, key);
        }
        if let Some(process) = self.processes.remove(&id) {
            let _ = self.deaths.delete(&process.handle);
        }
    }

    /// Puts back what a process holds that came over TCP and has lost its last connection: whether it lives cannot be
    /// known, and others may wait.
    pub(crate) fn end_remote_holder(&mut self, id: ProcessId) {
        let is_its = |peer: &Peer| peer.process == id && matches!(peer.stage, Stage::Open(_));
        if is_remote(id) && self.broker.deliveries.in_flight() > 0 && !self.desk.peers.values().any(is_its) {
            self.broker.end_holder(id, &mut self.desk);
            self.broker.pump(&mut self.desk);
        }
    }
}
