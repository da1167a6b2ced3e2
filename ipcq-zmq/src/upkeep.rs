//! What a broker does now and then, whoever asks for something or not: it calls back what stopped processes keep from
//! others, ends connections that stall, and listens again.

use nix::sys::epoll::{EpollEvent, EpollFlags};

use crate::admission;
use crate::peer::{Peer, Stage};
use crate::process;
use crate::server::{LISTENER, Server, TCP_LISTENER};

/// How long a peer may take from being accepted to opening a session.
const HANDSHAKE: u64 = 10_000_000_000;
/// How long a peer may leave what was sent to it unread.
const UNREAD: u64 = 30_000_000_000;
/// How often peers are looked over for those that stall.
const LOOK: u64 = 500_000_000;

impl Server {
    /// Calls back what was sent to those who are stopped, for others who wait.
    pub(crate) fn recall(&mut self, now: u64) {
        let mut recalled = false;
        loop {
            let mut overdue = self.broker.overdue();
            // What was read is not missed by anybody, whether its getter is stopped by now or not.
            overdue.retain(|(slot, _)| {
                self.desk.slots.get(slot).copied().is_none_or(|key| !self.note_read(key))
            });
            overdue.retain(|(_, process)| {
                self.processes.get(process).is_some_and(|process| process::is_stopped(process.pid))
            });
            if overdue.is_empty() {
                break;
            }
            for (slot, _) in overdue {
                if let Some(&key) = self.desk.slots.get(&slot) {
                    // From here on it cannot send an acknowledgement any more; what it has sent before counts.
                    if let Some(peer) = self.desk.peers.get(&key) {
                        peer.stream.shut_input();
                    }
                    self.listen_to(now, key, true);
                    self.hang_up(now, key);
                }
                recalled |= self.broker.recall(slot);
            }
        }
        if recalled {
            self.broker.pump(&mut self.desk);
        }
    }

    /// Looks whether the session of a connection has read what is its own then; returns whether it has.
    pub(crate) fn note_read(&mut self, key: u64) -> bool {
        let Some(peer) = self.desk.peers.get_mut(&key) else { return false };
        let Stage::Open(slot) = peer.stage else { return false };
        let is_its = self.desk.slots.get(&slot) == Some(&key);
        if !is_its || !self.broker.takes_by_reading(slot) || !peer.has_read() {
            return false;
        }
        self.broker.has_read(slot);
        true
    }

    /// Looks what all sessions have read by now, so that it is not counted as on its way.
    pub(crate) fn note_all_read(&mut self) {
        let keys: Vec<u64> = self.desk.slots.values().copied().collect();
        for key in keys {
            self.note_read(key);
        }
    }

    /// Ends connections that stall, forgets processes that have none, and listens again for new ones.
    pub(crate) fn look_over(&mut self, now: u64) {
        self.next_look = now + LOOK;
        if self.deaf_until.is_some_and(|until| until <= now) {
            self.deaf_until = None;
            // Without one, those who come when there is none again would not be told.
            self.spare = self.spare.take().or_else(|| admission::spare().ok());
            for (listener, key) in self.listeners.iter().zip([LISTENER, TCP_LISTENER]) {
                let _ = self.epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, key));
            }
        }
        let stalls = |peer: &Peer| match peer.stage {
            Stage::Open(_) => peer.has_output() && now.saturating_sub(peer.progress) > UNREAD,
            _ => now.saturating_sub(peer.progress) > HANDSHAKE,
        };
        let stalled: Vec<u64> =
            self.desk.peers.iter().filter(|(_, peer)| stalls(peer)).map(|(key, _)| *key).collect();
        for key in stalled {
            self.hang_up(now, key);
        }
        self.forget_parties();
        let freed = self.desk.peers.values_mut().map(Peer::shrink).sum();
        self.broker.note_freed(freed);
    }
}
