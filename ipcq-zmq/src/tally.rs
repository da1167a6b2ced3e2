//! What a broker counts for people to read, and its answer to who asks.

use crate::broker::{Body, Broker, Sink, Slot};
use crate::session::Parked;
use crate::wire::{Header, STAT_FIELDS, Status};

/// What happened since the queue was made, beside puts and gets.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes of the messages put.
    pub(crate) bytes_put: u64,
    pub(crate) put_waits: u64,
    pub(crate) get_waits: u64,
    /// Processes that died with something that the broker had to take back or throw away.
    pub(crate) recoveries: u64,
}

impl Broker {
    /// Counts the callers of the request that a session waits with, if it does.
    pub(crate) fn count_wait(&mut self, slot: Slot) {
        let Some(parked) = self.sessions.get(&slot).and_then(|session| session.parked.as_ref()) else {
            return;
        };
        let waits = match parked {
            Parked::Put { .. } => &mut self.tally.put_waits,
            Parked::Get { .. } => &mut self.tally.get_waits,
            Parked::Join { .. } => return,
        };
        *waits += parked.callers() as u64;
    }

    pub(crate) fn stat(&self, slot: Slot, id: u64, sink: &mut impl Sink) {
        if self.removed {
            return Self::say(sink, slot, Status::Gone, id, [0; 5]);
        }
        let numbers: [u64; STAT_FIELDS] = [
            self.ready() as u64,
            u64::from(self.closed),
            self.bytes() as u64,
            self.puts,
            self.gets,
            self.waiting(&self.putters),
            self.waiting(&self.getters),
            self.deliveries.in_flight() as u64,
            self.deliveries.redelivered,
            self.tally.bytes_put,
            self.tally.put_waits,
            self.tally.get_waits,
            self.tally.recoveries,
        ];
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let header = Header { code: Status::Stat as u8, flags: 0, id, fields: [numbers[0], 0, 0, 0, 0] };
        sink.reply(slot, header, Body::Contents(&[&bytes]));
    }
}
