//! Connections and clients that are lost.

use super::{Asked, CAPACITY, Client, World};
use crate::broker::Slot;
use crate::recall::GRACE;
use crate::session::Session;
use crate::wire::{Op, Request, Status};

impl World {
    /// Ends the connections of all who hold what others wait for, as a server does.
    pub(super) fn recall(&mut self) {
        self.now += GRACE;
        self.broker.tick(self.now, &mut self.wires);
        let (mut recalled, mut kept) = (false, Vec::new());
        loop {
            let overdue: Vec<_> = self.broker.overdue();
            // Of connections that have ended nothing more is known.
            let is_connected = |slot: &Slot| self.clients.iter().any(|c| c.slot == *slot && !c.cut);
            let connected = overdue.iter().map(|(slot, _)| *slot).filter(is_connected);
            self.note_read(&connected.collect::<Vec<_>>());
            // Nobody waits for the dead.
            let is_missed = |slot: &Slot| {
                !self.wires.gone.contains(slot)
                    && self.broker.sessions.get(slot).is_some_and(Session::is_behind)
            };
            let overdue: Vec<_> = overdue.into_iter().filter(|(slot, _)| is_missed(slot)).collect();
            if overdue.is_empty() {
                break;
            }
            let mut came_back = 0;
            for &(slot, _) in &overdue {
                self.broker.disconnected(self.now, slot, &mut self.wires);
                let came = self.broker.recall(slot);
                came_back += usize::from(came);
                // One that was abandoned has no client any more.
                let Some(at) = self.clients.iter().position(|client| client.slot == slot) else { continue };
                self.clients[at].cut = true;
                if !came {
                    kept.push(at);
                }
            }
            assert!(came_back > 0, "there was something to be called back: {overdue:?}");
            recalled = true;
        }
        if recalled {
            self.broker.pump(&mut self.wires);
        }
        // Another one that was called back has taken the room: these keep what they were sent, and ask for it again.
        kept.into_iter().for_each(|at| self.reconnect(at));
    }

    /// What the kernel tells a server of connections that have ended, or that it asks about: whether all was read.
    pub(super) fn note_read(&mut self, slots: &[Slot]) {
        for slot in slots {
            if self.wires.replies(*slot).is_empty() {
                self.broker.has_read(*slot);
            }
        }
    }

    fn disconnect(&mut self, slot: Slot) {
        self.note_read(&[slot]);
        self.broker.disconnected(self.now, slot, &mut self.wires);
    }

    /// A client that was stopped has read what was called back: it asks whether it may keep it, and gets anew.
    pub(super) fn ask_again(&mut self, at: usize, asked: Asked) {
        self.come_back(at);
        let mut confirm = self.request(at, Op::Confirm, Some(19));
        confirm.a = asked.request.id;
        let slot = self.clients[at].slot;
        self.broker.request(self.now, slot, confirm, &[], &mut self.wires).expect("a question");
        let reply = self.wires.replies(slot).pop().expect("a reply at once");
        assert_eq!(reply.0.code, Status::Empty as u8);
        self.clients[at].id += 1;
        let request = Request { id: self.clients[at].id, ..asked.request };
        self.ask(at, Asked { request, ..asked });
    }

    /// Opens a new connection for the session of a client, which has lost its own.
    fn come_back(&mut self, at: usize) {
        let client = &mut self.clients[at];
        self.wires.unread.remove(&client.slot);
        let (slot, resumed) = self.broker.hello(client.token, client.process).expect("its own session");
        assert!(client.cut || (slot, resumed) == (client.slot, true), "the session was not kept");
        (client.slot, client.cut) = (slot, false);
        let stranger = self.broker.hello(client.token, u64::MAX);
        assert!(stranger.is_err(), "a session is its process's alone");
    }

    pub(super) fn reconnect(&mut self, at: usize) {
        let Client { slot, asked, cut, .. } = &self.clients[at];
        let (slot, asked) = (*slot, asked.clone());
        if !cut {
            self.disconnect(slot);
        }
        self.come_back(at);
        if let Some(asked) = asked {
            self.ask(at, asked);
        }
    }

    /// The client goes without a word; a new one takes its place.
    pub(super) fn leave(&mut self, at: usize, dies: bool) {
        let slot = self.clients[at].slot;
        if !self.clients[at].cut {
            self.note_read(&[slot]);
        }
        let client = &self.clients[at];
        // What goes back in its place finds room now; nothing of one that lives is lost.
        let taken = self.broker.sessions.get(&client.slot).and_then(|session| session.taken.as_ref());
        let count = taken.filter(|_| dies).map_or(0, |taken| taken.messages.count());
        let returns = taken.is_some_and(|taken| self.broker.is_last(taken));
        let room = if returns { CAPACITY.saturating_sub(self.broker.store.len()) } else { 0 };
        self.lost_allowed += count.saturating_sub(room);
        self.in_order &= dies;
        if let Some(asked) = &client.asked {
            self.perhaps.extend(&asked.numbers);
        }
        if dies {
            self.broker.died(client.process, &mut self.wires);
        } else {
            self.broker.disconnected(self.now, slot, &mut self.wires);
        }
        self.wires.unread.remove(&self.clients[at].slot);
        self.clients[at] = self.newcomer();
    }

    /// The client dies, and the broker learns of it later; a new one takes its place. What it was sent and has not read may
    /// be lost with it, and nothing that is sent later.
    pub(super) fn vanish(&mut self, at: usize) {
        let client = &self.clients[at];
        let (slot, process) = (client.slot, client.process);
        if !client.cut {
            self.note_read(&[slot]);
        }
        let taken = self.broker.sessions.get(&slot).and_then(|session| session.taken.as_ref());
        self.lost_allowed += taken.map_or(0, |taken| taken.messages.count());
        if let Some(asked) = &self.clients[at].asked {
            self.perhaps.extend(&asked.numbers);
        }
        self.wires.gone.insert(slot);
        self.unnoticed.push(process);
        self.clients[at] = self.newcomer();
    }

    /// The broker learns who is dead.
    pub(super) fn notice(&mut self) {
        for process in std::mem::take(&mut self.unnoticed) {
            self.broker.died(process, &mut self.wires);
        }
    }
}
