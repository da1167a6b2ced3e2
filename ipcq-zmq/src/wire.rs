//! The header frame of every request and reply; PROTOCOL.md is the law.

use crate::packed::PREFIX;

/// The first bytes of a header.
pub(crate) const MAGIC: [u8; 4] = *b"IPCQ";
/// The version of the protocol.
pub(crate) const VERSION: u8 = 3;
/// The length of a header in bytes.
pub(crate) const HEADER_LEN: usize = 56;

/// The longest message that travels in one frame; longer ones are cut into pieces of that length.
pub(crate) const PIECE: usize = 1 << 20;
/// The longest frame.
pub(crate) const FRAME_MAX: usize = PIECE + PREFIX;
/// The most bytes that one request or reply may have, its frame headers included.
pub(crate) const REQUEST_MAX: usize = 2 << 20;
/// The most frames that one request may have: header and content.
pub(crate) const FRAMES_MAX: usize = 2;

/// The request must be answered at once.
pub(crate) const NO_WAIT: u16 = 1;
/// The message to be put is the one that the session has uploaded.
pub(crate) const UPLOADED: u16 = 2;
/// Each message is another caller's: a put may be answered as soon as a part of its messages is in the queue and no
/// more fits.
pub(crate) const SOME: u16 = 4;
/// A get is to hand out a delivery, and a reply does.
pub(crate) const DELIVERY: u16 = 8;
/// What a get is answered with is to be the client's once it has read it, and what a reply holds is.
pub(crate) const ON_READ: u16 = 16;
/// The session of a HELLO was known: what it did before holds.
pub(crate) const RESUMED: u16 = 1;

/// What a WELCOME says of the queue, as bits of its field `c`.
pub(crate) const AUTO_CLOSE: u64 = 1;
pub(crate) const REMOVED: u64 = 2;
pub(crate) const PRODUCER: u64 = 4;
pub(crate) const ACKNOWLEDGED: u64 = 8;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($variant = $code,)* }

        impl $name {
            pub(crate) const fn parse(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// What a request asks for.
    Op {
        Hello = 1,
        Put = 2,
        Part = 3,
        Get = 4,
        Fetch = 5,
        Ack = 6,
        Stat = 7,
        Close = 8,
        Remove = 9,
        Register = 10,
        Unregister = 11,
        Expect = 12,
        Bye = 13,
        Confirm = 14,
        Acknowledge = 15,
        GiveBack = 16,
        Join = 17,
    }
}

codes! {
    /// What a reply says.
    Status {
        Welcome = 100,
        Ok = 101,
        Msg = 102,
        Data = 103,
        Stat = 104,
        Full = 105,
        Empty = 106,
        Timeout = 107,
        Closed = 108,
        TooLong = 109,
        NeedsRoom = 110,
        NoRoom = 111,
        Gone = 112,
        Error = 113,
        Expired = 114,
        NotHeld = 115,
        Unfinished = 116,
    }
}

/// A header as it travels, big-endian: magic, version, code, flags, id, five numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) code: u8,
    pub(crate) flags: u16,
    pub(crate) id: u64,
    pub(crate) fields: [u64; 5],
}

/// Why a frame is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    Length,
    Magic,
    Version(u8),
}

impl Header {
    pub(crate) fn parse(frame: &[u8]) -> Result<Self, NoHeader> {
        let frame: &[u8; HEADER_LEN] = frame.try_into().map_err(|_| NoHeader::Length)?;
        if frame[..4] != MAGIC {
            return Err(NoHeader::Magic);
        }
        if frame[4] != VERSION {
            return Err(NoHeader::Version(frame[4]));
        }
        let number = |at: usize| {
            frame.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
        };
        let fields = [number(16), number(24), number(32), number(40), number(48)];
        let flags = u16::from_be_bytes([frame[6], frame[7]]);
        Ok(Self { code: frame[5], flags, id: number(8), fields })
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.code;
        bytes[6..8].copy_from_slice(&self.flags.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_be_bytes());
        for (place, field) in bytes[16..].chunks_exact_mut(8).zip(self.fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }
}

/// A request: what is asked for, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) op: Op,
    pub(crate) flags: u16,
    /// Counts up within a session; a retry has the number of what it repeats.
    pub(crate) id: u64,
    /// Every reply up to this one has arrived.
    pub(crate) ack: u64,
    /// When it must not take effect any more, in nanoseconds of the monotonic clock; 0 for never.
    pub(crate) expires: u64,
    pub(crate) a: u64,
    pub(crate) b: u64,
    pub(crate) c: u64,
}

impl Request {
    pub(crate) const fn new(op: Op, id: u64) -> Self {
        Self { op, flags: 0, id, ack: 0, expires: 0, a: 0, b: 0, c: 0 }
    }

    pub(crate) fn of(header: &Header) -> Option<Self> {
        let [ack, expires, a, b, c] = header.fields;
        Some(Self { op: Op::parse(header.code)?, flags: header.flags, id: header.id, ack, expires, a, b, c })
    }

    pub(crate) fn header(&self) -> Header {
        let fields = [self.ack, self.expires, self.a, self.b, self.c];
        Header { code: self.op as u8, flags: self.flags, id: self.id, fields }
    }
}

/// The numbers of a STAT reply, in their order on the wire.
pub(crate) const STAT_FIELDS: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire() {
        let mut request = Request::new(Op::Get, 7);
        (request.flags, request.ack, request.expires) = (NO_WAIT, 6, u64::MAX);
        (request.a, request.b, request.c) = (1, 2, 3);
        let bytes = request.header().to_bytes();
        assert_eq!(Header::parse(&bytes).ok().and_then(|header| Request::of(&header)), Some(request));
    }

    #[test]
    fn what_is_no_header_is_told_apart() {
        let good = Request::new(Op::Stat, 1).header().to_bytes();
        assert_eq!(Header::parse(&good[1..]), Err(NoHeader::Length));
        assert_eq!(Header::parse(&[0; HEADER_LEN]), Err(NoHeader::Magic));
        let mut other = good;
        other[4] = 9;
        assert_eq!(Header::parse(&other), Err(NoHeader::Version(9)));
    }
}
