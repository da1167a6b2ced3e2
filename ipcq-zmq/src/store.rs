//! The messages of a queue, in order, as runs of frames: what arrived together lies together.

use std::collections::{TryReserveError, VecDeque};

use crate::frames::{self, Front, LONG, MORE};
use crate::wire::PIECE;

/// How many bytes a run has before the next one begins, so that memory is given back as messages leave.
const RUN: usize = 64 << 10;

/// Messages of up to [`PIECE`] bytes, each one frame with the flag for more.
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
    /// Messages as frames, each with the flag for more.
    Frames { bytes: Vec<u8>, count: usize },
    /// One long message.
    Long(LongMessage),
}

impl Taken {
    pub(crate) const fn count(&self) -> usize {
        match self {
            Self::Frames { count, .. } => *count,
            Self::Long(_) => 1,
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

    /// How many bytes they have, frame headers included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends `count` messages, which `frames` holds one after the other and nothing else, each with the flag for
    /// more.
    pub(crate) fn append(&mut self, frames: &[u8], count: usize) -> Result<(), TryReserveError> {
        if let Some(Part::Run(run)) = self.parts.back_mut()
            && run.bytes.len() < RUN
        {
            run.bytes.try_reserve(frames.len())?;
            run.bytes.extend_from_slice(frames);
            run.count += count;
        } else {
            self.parts.try_reserve(1)?;
            let mut bytes = Vec::new();
            bytes.try_reserve(frames.len())?;
            bytes.extend_from_slice(frames);
            self.parts.push_back(Part::Run(Run { bytes, start: 0, count }));
        }
        self.len += count;
        self.bytes += frames.len();
        Ok(())
    }

    /// Appends a long message.
    pub(crate) fn append_long(&mut self, message: LongMessage) -> Result<(), TryReserveError> {
        self.parts.try_reserve(1)?;
        self.len += 1;
        self.bytes += message.len();
        self.parts.push_back(Part::Long(message));
        Ok(())
    }

    /// Puts back at the front what was taken, the messages that exceed `room` excepted.
    pub(crate) fn give_back(&mut self, taken: Taken, room: usize) -> usize {
        let (part, count) = match taken {
            Taken::Long(message) if room > 0 => {
                self.bytes += message.len();
                (Part::Long(message), 1)
            }
            Taken::Long(_) => return 0,
            Taken::Frames { mut bytes, count } => {
                // The earliest go first: they have waited longest.
                let kept = count.min(room);
                bytes.truncate(span(&bytes, kept, usize::MAX).0);
                self.bytes += bytes.len();
                (Part::Run(Run { bytes, start: 0, count: kept }), kept)
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
            Some(Part::Run(_)) => self.take_frames(wanted),
        }
    }

    fn take_frames(&mut self, wanted: Wanted) -> Result<Taken, NotTaken> {
        let (mut bytes, mut count, mut content) = (Vec::new(), 0, 0);
        while let Some(Part::Run(run)) = self.parts.front_mut() {
            let rest = run.bytes.get(run.start..).unwrap_or_default();
            if count == 0 {
                let first = frames::split_first(rest).map_or(0, |(first, _)| first.len());
                if first > wanted.room {
                    return Err(NotTaken::NeedsRoom(first));
                }
            }
            let budget = wanted.bytes.min(PIECE).saturating_sub(content);
            let (mut end, mut messages, mut inside) = span(rest, wanted.messages - count, budget);
            if messages == 0 && count == 0 {
                // The first message is taken whatever its length.
                (end, messages, inside) = span(rest, 1, usize::MAX);
            }
            if messages == 0 {
                break;
            }
            if bytes.try_reserve(end).is_err() {
                if count == 0 {
                    return Err(NotTaken::NoRoom);
                }
                break;
            }
            bytes.extend_from_slice(rest.get(..end).unwrap_or_default());
            run.start += end;
            run.count -= messages;
            self.len -= messages;
            self.bytes -= end;
            count += messages;
            content += inside;
            if run.count > 0 {
                break;
            }
            self.parts.pop_front();
            if count == wanted.messages {
                break;
            }
        }
        Ok(Taken::Frames { bytes, count })
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The first frames of `bytes`, up to `messages` of them with `budget` bytes of content: where they end, how many
/// they are, and their content's length.
pub(crate) fn span(bytes: &[u8], messages: usize, budget: usize) -> (usize, usize, usize) {
    let (mut end, mut count, mut content) = (0, 0, 0);
    while count < messages {
        let Some(rest) = bytes.get(end..) else { break };
        let Front::Frame { start, end: after, .. } = frames::front(rest) else { break };
        let inside = after - start;
        if content + inside > budget {
            break;
        }
        end += after;
        content += inside;
        count += 1;
    }
    (end, count, content)
}

/// Makes the frames of a request those of a store: each with the flag for more, none a command, none longer than
/// `max`. Returns how many there are, and the number and length of the first that is too long.
pub(crate) fn normalize(bytes: &mut [u8], max: usize) -> Option<(usize, Option<(usize, usize)>)> {
    let (mut at, mut count, mut too_long) = (0, 0, None);
    while at < bytes.len() {
        let Front::Frame { flags, start, end } = frames::front(bytes.get(at..)?) else { return None };
        if end - start > max && too_long.is_none() {
            too_long = Some((count, end - start));
        }
        *bytes.get_mut(at)? = (flags & LONG) | MORE;
        count += 1;
        at += end;
    }
    Some((count, too_long))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted { messages: usize::MAX, bytes: usize::MAX, room: usize::MAX };

    fn frames_of(messages: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| frames::push(&mut bytes, MORE, message));
        bytes
    }

    #[test]
    fn messages_leave_in_order() {
        let mut store = Store::default();
        for n in 0..5000_u32 {
            assert!(store.append(&frames_of(&[&n.to_be_bytes(), &[7; 40]]), 2).is_ok());
        }
        let mut seen = 0;
        while store.len() > 0 {
            let Ok(Taken::Frames { bytes, count }) = store.take(Wanted { messages: 7, ..ALL }) else {
                panic!()
            };
            let mut rest = bytes.as_slice();
            for _ in 0..count {
                let (message, after) = frames::split_first(rest).unwrap_or_default();
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
        assert!(store.append(&frames_of(&[b"a", b"b", b"c"]), 3).is_ok());
        let taken = store.take(Wanted { messages: 2, ..ALL });
        assert_eq!(taken.map(|taken| store.give_back(taken, 1)), Ok(1));
        let Ok(Taken::Frames { bytes, .. }) = store.take(ALL) else { panic!() };
        assert_eq!(bytes, frames_of(&[b"a", b"c"]));
    }

    impl PartialEq for Taken {
        fn eq(&self, other: &Self) -> bool {
            self.count() == other.count()
        }
    }
}
