//! Acknowledged delivery: what was handed out lies beside the queue until it is acknowledged, or goes back to its place.
//!
//! Messages have numbers, in the order of their puts. Those of the [store](crate::store) were never handed out, and so
//! have higher numbers than all others; what came back leaves before them, the lowest number first.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::{Body, Broker, ProcessId, Sink, Slot};
use crate::recall::GRACE;
use crate::session::Sent;
use crate::store::{NotTaken, Taken, Wanted};
use crate::wire::{DELIVERY, Header, Op, Request, Status};

/// A message that has been handed out at least once.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) message: Taken,
    /// How often it has come back.
    pub(crate) redeliveries: u32,
}

/// A message in flight.
#[derive(Debug)]
struct Held {
    letter: Letter,
    process: ProcessId,
    /// The session that it was sent to and the request that it answers, until it is known to have arrived.
    sent: Option<(Slot, u64)>,
    /// When its lease runs out.
    until: Option<u64>,
}

/// What an acknowledged queue keeps beside its store.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    returned: BTreeMap<u64, Letter>,
    held: BTreeMap<u64, Held>,
    /// When leases run out, and of which messages.
    leases: BTreeSet<(u64, u64)>,
    /// How many sessions were sent a delivery of which is not known that it arrived.
    pub(crate) unread: usize,
    bytes: usize,
    /// How often a message was handed out again that had come back.
    pub(crate) redelivered: u64,
}

impl Deliveries {
    /// How many messages came back and are ready.
    pub(crate) fn ready(&self) -> usize {
        self.returned.len()
    }

    /// How many are handed out.
    pub(crate) fn in_flight(&self) -> usize {
        self.held.len()
    }

    /// How many bytes all of them have.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the next lease runs out.
    pub(crate) fn next_lease(&self) -> Option<u64> {
        self.leases.first().map(|(until, _)| *until)
    }

    /// Until when a delivery may be kept, if it is in flight.
    #[cfg(test)]
    pub(crate) fn lease_of(&self, number: u64, redeliveries: u32) -> Option<u64> {
        self.held.get(&number).filter(|held| held.letter.redeliveries == redeliveries)?.until
    }

    /// Forgets all messages.
    pub(crate) fn clear(&mut self) {
        *self = Self { unread: self.unread, redelivered: self.redelivered, ..Self::default() };
    }

    fn hold(&mut self, number: u64, held: Held) {
        self.bytes += held.letter.message.bytes();
        self.leases.extend(held.until.map(|until| (until, number)));
        self.held.insert(number, held);
    }

    /// Takes a message out of flight.
    fn release(&mut self, number: u64) -> Option<Letter> {
        let held = self.held.remove(&number)?;
        self.bytes -= held.letter.message.bytes();
        if let Some(until) = held.until {
            self.leases.remove(&(until, number));
        }
        Some(held.letter)
    }

    /// Takes what was sent to the session `slot` out of flight, if it is still that delivery.
    fn release_sent(&mut self, slot: Slot, sent: Sent) -> Option<Letter> {
        let is_it = self.held.get(&sent.number).is_some_and(|held| held.sent == Some((slot, sent.id)));
        if is_it { self.release(sent.number) } else { None }
    }

    pub(crate) fn keep(&mut self, number: u64, letter: Letter) {
        self.bytes += letter.message.bytes();
        self.returned.insert(number, letter);
    }

    fn pop_returned(&mut self) -> Option<(u64, Letter)> {
        let (number, letter) = self.returned.pop_first()?;
        self.bytes -= letter.message.bytes();
        Some((number, letter))
    }
}

impl Broker {
    /// How many messages can be handed out.
    pub(crate) fn ready(&self) -> usize {
        self.store.len() + self.deliveries.ready()
    }

    /// Whether no message is left, and none can come.
    pub(crate) fn has_ended(&self) -> bool {
        self.closed && self.ready() + self.deliveries.in_flight() == 0
    }

    /// The number of the first message that was never handed out.
    const fn front(&self) -> u64 {
        self.puts - self.store.len() as u64
    }

    /// The lowest number of a message that has not left for good.
    pub(crate) fn first_unsettled(&self) -> u64 {
        let returned = self.deliveries.returned.keys().next();
        let held = self.deliveries.held.keys().next();
        returned.into_iter().chain(held).copied().fold(self.front(), u64::min)
    }

    /// Takes the message with the lowest number, which may have `room` bytes. What came back too often goes to the dead
    /// letters instead, if they take it by now.
    pub(crate) fn take_lowest(
        &mut self,
        room: usize,
        sink: &mut impl Sink,
    ) -> Result<(u64, Letter), NotTaken> {
        while let Some((_, first)) = self.deliveries.returned.first_key_value() {
            let (len, redeliveries) = (first.message.single_len(), first.redeliveries);
            if !self.is_due(redeliveries) {
                if len > room {
                    return Err(NotTaken::NeedsRoom(len));
                }
                return self.deliveries.pop_returned().ok_or(NotTaken::Empty);
            }
            let Some((number, letter)) = self.deliveries.pop_returned() else { break };
            match sink.bury(letter.message) {
                Ok(()) => self.gets += 1,
                Err(message) => {
                    let letter = Letter { message, redeliveries };
                    if len <= room {
                        return Ok((number, letter));
                    }
                    self.deliveries.keep(number, letter);
                    return Err(NotTaken::NeedsRoom(len));
                }
            }
        }
        let number = self.front();
        let message = self.store.take(Wanted { messages: 1, bytes: 0, room })?;
        Ok((number, Letter { message, redeliveries: 0 }))
    }

    fn is_due(&self, redeliveries: u32) -> bool {
        self.settings.max_redeliveries.is_some_and(|most| redeliveries > most)
    }

    /// Hands the message `number` out to a session, as the answer to the request `id`.
    pub(crate) fn deliver(
        &mut self,
        slot: Slot,
        id: u64,
        (number, letter): (u64, Letter),
        sink: &mut impl Sink,
    ) {
        let Some(session) = self.sessions.get_mut(&slot) else {
            return self.deliveries.keep(number, letter);
        };
        let recall_from = self.now.saturating_add(GRACE);
        let (len, _) = letter.message.first_frame();
        let fields = [1, len, number, 0, u64::from(letter.redeliveries)];
        let header = Header { code: Status::Msg as u8, flags: DELIVERY, id, fields };
        let sent = Sent { id, number, recall_from };
        (session.last, session.sent) = (Some(header), Some(sent));
        let process = session.process;
        self.deliveries.unread += 1;
        self.deliveries.redelivered += u64::from(letter.redeliveries > 0);
        let until = self.settings.lease.map(|lease| self.now.saturating_add(lease));
        self.deliveries.hold(number, Held { letter, process, sent: Some((slot, id)), until });
        self.send_delivery(slot, header, sent, sink);
    }

    fn send_delivery(&self, slot: Slot, mut header: Header, sent: Sent, sink: &mut impl Sink) {
        let Some(held) = self.deliveries.held.get(&sent.number) else { return };
        header.fields[3] = sent.recall_from;
        sink.reply(slot, header, Body::Contents(&[held.letter.message.first_frame().1]));
    }

    /// Sends a delivery once more whose reply `last` was lost; returns whether it is still the session's.
    pub(crate) fn send_again(&mut self, slot: Slot, last: Header, sink: &mut impl Sink) -> bool {
        let recall_from = self.now.saturating_add(GRACE);
        let Some(session) = self.sessions.get_mut(&slot) else { return false };
        let Some(sent) = session.sent.as_mut().filter(|sent| sent.id == last.id) else { return false };
        sent.recall_from = recall_from;
        let sent = *sent;
        let is_there =
            self.deliveries.held.get(&sent.number).is_some_and(|h| h.sent == Some((slot, sent.id)));
        if is_there {
            self.send_delivery(slot, last, sent, sink);
        } else {
            // It has gone back, and its number may be another delivery's by now.
            self.forget_sent(slot);
        }
        is_there
    }

    fn forget_sent(&mut self, slot: Slot) -> Option<Sent> {
        let sent = self.sessions.get_mut(&slot)?.sent.take()?;
        self.deliveries.unread -= 1;
        Some(sent)
    }

    /// Every reply to a session up to `id` has arrived.
    pub(crate) fn note_arrival(&mut self, slot: Slot, id: u64) {
        let Some(session) = self.sessions.get_mut(&slot) else { return };
        self.moving -= session.acknowledge(id);
        if session.sent.is_some_and(|sent| sent.id <= id)
            && let Some(sent) = self.forget_sent(slot)
            && let Some(held) = self.deliveries.held.get_mut(&sent.number)
            && held.sent == Some((slot, sent.id))
        {
            held.sent = None;
        }
    }

    /// Whether what a session was sent last, as the answer to the request `id`, is its own.
    pub(crate) fn is_own(&self, slot: Slot, id: u64) -> bool {
        let Some(session) = self.sessions.get(&slot) else { return false };
        let Some(last) = session.last.filter(|last| last.id == id) else { return false };
        let [_, _, number, _, redeliveries] = last.fields;
        let held = self.deliveries.held.get(&number);
        let is_held = || {
            held.is_some_and(|held| {
                held.process == session.process && u64::from(held.letter.redeliveries) == redeliveries
            })
        };
        last.flags & DELIVERY == 0 || is_held()
    }

    /// The message that a session was sent and that is not known to have arrived.
    pub(crate) fn sent_message(&self, slot: Slot) -> Option<&Taken> {
        let session = self.sessions.get(&slot)?;
        let Some(sent) = session.sent else { return session.taken.as_ref().map(|taken| &taken.messages) };
        let held = self.deliveries.held.get(&sent.number);
        held.filter(|held| held.sent == Some((slot, sent.id))).map(|held| &held.letter.message)
    }

    /// Acknowledges a delivery, or gives it back, as `request` says.
    pub(crate) fn settle(&mut self, slot: Slot, request: &Request, sink: &mut impl Sink) -> Status {
        if self.removed {
            return Status::Gone;
        }
        self.end_leases(sink);
        let process = self.sessions.get(&slot).map(|session| session.process);
        match self.deliveries.held.get(&request.a) {
            Some(held) if Some(held.process) != process => return Status::NotHeld,
            Some(held) if u64::from(held.letter.redeliveries) == request.b => {}
            _ => return Status::Expired,
        }
        let Some(letter) = self.deliveries.release(request.a) else { return Status::Expired };
        if request.op == Op::GiveBack {
            self.put_back(request.a, letter, sink);
        } else {
            self.gets += 1;
        }
        Status::Ok
    }

    /// Puts a message back to its place, or where it has come back too often, among the dead letters.
    pub(crate) fn put_back(&mut self, number: u64, letter: Letter, sink: &mut impl Sink) {
        let Letter { mut message, redeliveries } = letter;
        let redeliveries = redeliveries.saturating_add(1);
        if self.is_due(redeliveries) {
            match sink.bury(message) {
                Ok(()) => {
                    self.gets += 1;
                    return;
                }
                Err(back) => message = back,
            }
        }
        self.deliveries.keep(number, Letter { message, redeliveries });
    }

    /// Puts a message back that was handed out in vain, which counts as `times` that it came back.
    pub(crate) fn undeliver(&mut self, number: u64, letter: Letter, times: u32) {
        let Letter { message, redeliveries } = letter;
        if times == 0 {
            self.deliveries.redelivered -= u64::from(redeliveries > 0);
        }
        self.deliveries.keep(number, Letter { message, redeliveries: redeliveries.saturating_add(times) });
    }

    /// Puts back what was sent to a session that is called back; returns whether there was something.
    pub(crate) fn recall_delivery(&mut self, slot: Slot) -> bool {
        let Some(sent) = self.forget_sent(slot) else { return false };
        let Some(letter) = self.deliveries.release_sent(slot, sent) else { return false };
        self.undeliver(sent.number, letter, 0);
        true
    }

    /// Puts back what was sent to a session that ends, and is not known to have arrived.
    pub(crate) fn end_delivery(&mut self, slot: Slot, sink: &mut impl Sink) {
        if let Some(sent) = self.forget_sent(slot)
            && let Some(letter) = self.deliveries.release_sent(slot, sent)
        {
            self.put_back(sent.number, letter, sink);
        }
    }

    /// Puts back all that a process holds that has died.
    pub(crate) fn end_holder(&mut self, process: ProcessId, sink: &mut impl Sink) {
        let held = self.deliveries.held.iter().filter(|(_, held)| held.process == process);
        for number in held.map(|(number, _)| *number).collect::<Vec<_>>() {
            if let Some(letter) = self.deliveries.release(number) {
                self.put_back(number, letter, sink);
            }
        }
    }

    /// Puts back what was kept for too long; returns whether there was something.
    pub(crate) fn end_leases(&mut self, sink: &mut impl Sink) -> bool {
        let mut ended = false;
        while let Some(&(until, number)) = self.deliveries.leases.first()
            && until <= self.now
        {
            self.deliveries.leases.pop_first();
            if let Some(letter) = self.deliveries.release(number) {
                self.put_back(number, letter, sink);
            }
            ended = true;
        }
        ended
    }

    /// Takes what another queue of this process has given up, if there is room; or hands it back.
    pub(crate) fn adopt(&mut self, message: Taken, sink: &mut impl Sink) -> Result<(), Taken> {
        let len = message.single_len();
        let refused = self.closed || self.room() == 0 || len > self.settings.max_message;
        if refused || self.is_overfull(message.bytes()) {
            return Err(message);
        }
        self.store.adopt(message)?;
        self.puts += 1;
        self.tally.bytes_put += len as u64;
        self.pump(sink);
        Ok(())
    }
}
