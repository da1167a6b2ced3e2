//! The messages of a queue, in order, packed into runs: what arrived together lies together.

use std::collections::{TryReserveError, VecDeque};

use crate::packed::{self, PREFIX};
use crate::wire::{FRAME_MAX, PIECE};

/// How many bytes a run has before the next one begins, so that memory is given back as messages leave.
const RUN: usize = 64 << 10;

/// Messages of up to [`PIECE`] bytes.
#[derive(Debug, Default)]
struct Run {
    bytes: Vec<u8>,
    /// Where the first message that is still here begins.
    start: usize,
    count: usize,
}

/// A message of more than one piece.
#[derive(Debug, Default)]
pub(crate) struct LongMessage {
    pieces: Vec<Vec<u8>>,
    len: usize,
}

impl LongMessage {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Appends `content`, cut into pieces.
    pub(crate) fn append(&mut self, mut content: &[u8]) -> Result<(), TryReserveError> {
        while !content.is_empty() {
            if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
                self.pieces.try_reserve(1)?;
                let mut piece = Vec::new();
                piece.try_reserve_exact(PIECE)?;
                self.pieces.push(piece);
            }
            let Some(piece) = self.pieces.last_mut() else { return Ok(()) };
            let (now, later) = content.split_at(content.len().min(PIECE - piece.len()));
            piece.extend_from_slice(now);
            self.len += now.len();
            content = later;
        }
        Ok(())
    }

    /// The piece that begins at `offset`.
    pub(crate) fn piece(&self, offset: usize) -> Option<&[u8]> {
        if !offset.is_multiple_of(PIECE) {
            return None;
        }
        self.pieces.get(offset / PIECE).map(Vec::as_slice)
    }
}

#[derive(Debug)]
enum Part {
    Run(Run),
    Long(LongMessage),
}

/// What one get took.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Messages of up to a piece.
    Packed { bytes: Vec<u8>, count: usize },
    /// One long message.
    Long(LongMessage),
}

impl Taken {
    pub(crate) const fn count(&self) -> usize {
        match self {
            Self::Packed { count, .. } => *count,
            Self::Long(_) => 1,
        }
    }

    /// How many bytes they have, their lengths included.
    pub(crate) const fn bytes(&self) -> usize {
        match self {
            Self::Packed { bytes, .. } => bytes.len(),
            Self::Long(message) => message.len(),
        }
    }

    /// The length of the message, where it is a single one.
    pub(crate) const fn single_len(&self) -> usize {
        match self {
            Self::Packed { bytes, .. } => bytes.len().saturating_sub(PREFIX),
            Self::Long(message) => message.len(),
        }
    }

    /// What a reply says of its length, and its content: the messages, or the first piece of a long one.
    pub(crate) fn first_frame(&self) -> (u64, &[u8]) {
        match self {
            Self::Packed { bytes, .. } => (0, bytes),
            Self::Long(message) => (message.len() as u64, message.piece(0).unwrap_or_default()),
        }
    }
}

/// What a get may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) messages: usize,
    /// Beyond the first message.
    pub(crate) bytes: usize,
    /// The longest first message.
    pub(crate) room: usize,
}

/// Why nothing was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Empty,
    /// The first message has this many bytes, more than there is room for.
    NeedsRoom(usize),
    NoRoom,
}

/// The messages of a queue.
#[derive(Debug, Default)]
pub(crate) struct Store {
    parts: VecDeque<Part>,
    len: usize,
    bytes: usize,
}

impl Store {
    /// How many messages there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// How many bytes they have, their lengths included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends `count` messages, which `packed` holds and nothing else.
    pub(crate) fn append(&mut self, packed: &[u8], count: usize) -> Result<(), TryReserveError> {
        if let Some(Part::Run(run)) = self.parts.back_mut()
            && run.bytes.len() < RUN
        {
            run.bytes.try_reserve(packed.len())?;
            run.bytes.extend_from_slice(packed);
            run.count += count;
        } else {
            self.parts.try_reserve(1)?;
            let mut bytes = Vec::new();
            bytes.try_reserve(packed.len())?;
            bytes.extend_from_slice(packed);
            self.parts.push_back(Part::Run(Run { bytes, start: 0, count }));
        }
        self.len += count;
        self.bytes += packed.len();
        Ok(())
    }

    /// Appends a long message, or hands it back.
    pub(crate) fn append_long(&mut self, message: LongMessage) -> Result<(), LongMessage> {
        if self.parts.try_reserve(1).is_err() {
            return Err(message);
        }
        self.len += 1;
        self.bytes += message.len();
        self.parts.push_back(Part::Long(message));
        Ok(())
    }

    /// Appends what another queue gives up, or hands it back.
    pub(crate) fn adopt(&mut self, taken: Taken) -> Result<(), Taken> {
        match taken {
            Taken::Long(message) => self.append_long(message).map_err(Taken::Long),
            Taken::Packed { bytes, count } => match self.append(&bytes, count) {
                Ok(()) => Ok(()),
                Err(_) => Err(Taken::Packed { bytes, count }),
            },
        }
    }

    /// Puts back at the front what was taken, but for the first ones where there is no `room` for all: those have left
    /// before the others then, as what is taken from a queue does.
    pub(crate) fn give_back(&mut self, taken: Taken, room: usize) -> usize {
        let (part, count) = match taken {
            Taken::Long(message) if room > 0 => {
                self.bytes += message.len();
                (Part::Long(message), 1)
            }
            Taken::Long(_) => return 0,
            Taken::Packed { bytes, count } => {
                let kept = count.min(room);
                let (start, ..) = packed::span(&bytes, count - kept, usize::MAX, usize::MAX);
                self.bytes += bytes.len() - start;
                (Part::Run(Run { bytes, start, count: kept }), kept)
            }
        };
        if count > 0 {
            self.len += count;
            self.parts.push_front(part);
        }
        count
    }

    /// Takes messages from the front.
    pub(crate) fn take(&mut self, wanted: Wanted) -> Result<Taken, NotTaken> {
        match self.parts.front() {
            None => Err(NotTaken::Empty),
            Some(Part::Long(message)) if message.len() > wanted.room => {
                Err(NotTaken::NeedsRoom(message.len()))
            }
            Some(Part::Long(_)) => {
                let Some(Part::Long(message)) = self.parts.pop_front() else { return Err(NotTaken::Empty) };
                self.len -= 1;
                self.bytes -= message.len();
                Ok(Taken::Long(message))
            }
            Some(Part::Run(_)) => self.take_packed(wanted),
        }
    }

    fn take_packed(&mut self, wanted: Wanted) -> Result<Taken, NotTaken> {
        let (mut bytes, mut count, mut content) = (Vec::new(), 0, 0);
        while let Some(Part::Run(run)) = self.parts.front_mut() {
            let rest = run.bytes.get(run.start..).unwrap_or_default();
            // Behind a first message that is longer there is no room for an empty one either.
            let Some(budget) = wanted.bytes.min(PIECE).checked_sub(content) else { break };
            let (mut end, mut messages, mut inside) =
                packed::span(rest, wanted.messages - count, budget, FRAME_MAX - bytes.len());
            if count == 0 {
                let first = packed::split_first(rest).map_or(0, |(first, _)| first.len());
                if first > wanted.room {
                    return Err(NotTaken::NeedsRoom(first));
                }
                if messages == 0 {
                    // The first message is taken whatever its length.
                    (end, messages, inside) = packed::span(rest, 1, usize::MAX, usize::MAX);
                }
            }
            if messages == 0 {
                break;
            }
            let whole = messages == run.count;
            if whole && count == 0 && run.start == 0 {
                // Nobody else has any of it, so it need not be copied.
                bytes = std::mem::take(&mut run.bytes);
            } else if bytes.try_reserve(end).is_ok() {
                bytes.extend_from_slice(rest.get(..end).unwrap_or_default());
            } else if count == 0 {
                return Err(NotTaken::NoRoom);
            } else {
                break;
            }
            run.start += end;
            run.count -= messages;
            self.len -= messages;
            self.bytes -= end;
            count += messages;
            content += inside;
            if !whole {
                break;
            }
            self.parts.pop_front();
            if count == wanted.messages {
                break;
            }
        }
        Ok(Taken::Packed { bytes, count })
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted { messages: usize::MAX, bytes: usize::MAX, room: usize::MAX };

    fn packed_of(messages: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            assert!(packed::push(&mut bytes, &[message]).is_ok());
        }
        bytes
    }

    #[test]
    fn messages_leave_in_order() {
        let mut store = Store::default();
        for n in 0..5000_u32 {
            assert!(store.append(&packed_of(&[&n.to_be_bytes(), &[7; 40]]), 2).is_ok());
        }
        let mut seen = 0;
        while store.len() > 0 {
            let Ok(Taken::Packed { bytes, count }) = store.take(Wanted { messages: 7, ..ALL }) else {
                panic!()
            };
            let mut rest = bytes.as_slice();
            for _ in 0..count {
                let (message, after) = packed::split_first(rest).unwrap_or_default();
                if seen % 2 == 0 {
                    assert_eq!(message, (seen / 2_u32).to_be_bytes());
                }
                (rest, seen) = (after, seen + 1);
            }
        }
        assert_eq!((seen, store.bytes()), (10_000, 0));
    }

    #[test]
    fn what_is_given_back_is_first_again_as_far_as_there_is_room() {
        let mut store = Store::default();
        assert!(store.append(&packed_of(&[b"a", b"b", b"c"]), 3).is_ok());
        let taken = store.take(Wanted { messages: 2, ..ALL });
        assert_eq!(taken.map(|taken| store.give_back(taken, 1)), Ok(1));
        let Ok(Taken::Packed { bytes, .. }) = store.take(ALL) else { panic!() };
        // The first one has left.
        assert_eq!(bytes, packed_of(&[b"b", b"c"]));
        assert_eq!((store.len(), store.bytes()), (0, 0));
    }

    impl PartialEq for Taken {
        fn eq(&self, other: &Self) -> bool {
            self.count() == other.count()
        }
    }
}
