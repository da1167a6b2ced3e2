//! Who a broker talks to: its connections, which session each one serves, and the processes behind them.

use std::os::fd::OwnedFd;

use crate::broker::{Body, Sink, Slot};
use crate::dead_letters::DeadLetters;
use crate::numbers::NumberMap;
use crate::peer::Peer;
use crate::store::Taken;
use crate::wire::Header;

/// A process that has connections.
#[derive(Debug)]
pub(crate) struct Process {
    /// Readable once the process is dead.
    pub(crate) handle: OwnedFd,
    pub(crate) pid: i32,
    /// It was started by one that shared the queue with it, and may come for it later.
    pub(crate) expected: bool,
}

/// The connections, and which session each one serves.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) peers: NumberMap<Peer>,
    /// The connection of each session.
    pub(crate) slots: NumberMap<u64>,
    /// Connections that have something to send, or to be read on.
    pub(crate) busy: Vec<u64>,
    /// How many have no session yet.
    pub(crate) handshakes: usize,
    /// Where messages go that came back too often.
    pub(crate) dead_letters: Option<DeadLetters>,
}

impl Sink for Desk {
    fn reply(&mut self, to: Slot, header: Header, body: Body<'_>) {
        let Some(&key) = self.slots.get(&to) else { return };
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.reply(header, &body);
            self.attend(key);
        }
    }

    fn send(&mut self, to: Slot, now: u64) -> bool {
        let peer = self.slots.get(&to).and_then(|key| self.peers.get_mut(key));
        // What goes wrong here goes wrong again when it is looked after, and ends it.
        peer.is_some_and(|peer| peer.flush(now).is_ok())
    }

    fn bury(&mut self, message: Taken) -> Result<(), Taken> {
        match &self.dead_letters {
            Some(dead_letters) => dead_letters.bury(message),
            None => Err(message),
        }
    }
}

impl Desk {
    /// Has a connection looked after before the thread waits again, once. Who was answered last is served first: a
    /// message is on its way to its getter before its putter hears of it.
    pub(crate) fn attend(&mut self, key: u64) {
        if let Some(peer) = self.peers.get_mut(&key)
            && !std::mem::replace(&mut peer.attended, true)
        {
            self.busy.push(key);
        }
    }
}
