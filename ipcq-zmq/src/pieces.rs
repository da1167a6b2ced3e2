//! Long messages, which travel in pieces.

use ipcq_core::os::allocator;

use crate::broker::{Body, Broker, Sink, Slot};
use crate::store::{self, Taken};
use crate::wire::{Header, PIECE, Request, Status};

/// A message of which this much has arrived is refused more while the process has little memory left: what else runs
/// in it cannot be told that there is none.
const CAUTION: usize = 8 << 20;
/// How much must be left.
const HEADROOM: usize = 32 << 20;

impl Broker {
    /// Adds a piece to a session's upload.
    pub(crate) fn part(&mut self, slot: Slot, request: &Request, content: &[u8], sink: &mut impl Sink) {
        let (max, overfull) = (self.settings.max_message, self.is_overfull(content.len()));
        let Some(session) = self.sessions.get_mut(&slot) else { return };
        let upload = &mut session.upload;
        let offset = usize::try_from(request.a).unwrap_or(usize::MAX);
        if offset == 0 {
            self.moving -= upload.len();
            *upload = store::LongMessage::default();
        }
        let status = if offset.saturating_add(content.len()) <= upload.len() && offset > 0 {
            Status::Ok
        } else if offset != upload.len() || content.is_empty() {
            Status::Error
        } else if offset + content.len() > max {
            Status::TooLong
        } else {
            let before = upload.len();
            let cautious = before < CAUTION || allocator::could_have(HEADROOM);
            let stored = !overfull && cautious && upload.append(content).is_ok();
            if !stored {
                *upload = store::LongMessage::default();
            }
            self.moving = self.moving + upload.len() - before;
            self.slack.note(self.bytes());
            if stored { Status::Ok } else { Status::NoRoom }
        };
        Self::say(sink, slot, status, request.id, [0, max as u64, 0, 0, 0]);
    }

    /// Sends a piece of the long message that a session took and has not acknowledged.
    pub(crate) fn fetch(&self, slot: Slot, request: &Request, sink: &mut impl Sink) {
        let offset = usize::try_from(request.a).unwrap_or(usize::MAX);
        let piece = match self.sent_message(slot) {
            Some(Taken::Long(message)) => message.piece(offset),
            _ => None,
        };
        match piece {
            Some(piece) => {
                let fields = [request.a, piece.len() as u64, 0, 0, 0];
                let header = Header { code: Status::Data as u8, flags: 0, id: request.id, fields };
                sink.reply(slot, header, Body::Contents(&[piece]));
            }
            None => Self::say(sink, slot, Status::Error, request.id, [0, PIECE as u64, 0, 0, 0]),
        }
    }
}
