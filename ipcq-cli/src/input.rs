//! Messages out of a stream of bytes: whole messages leave in batches as they arrive.

use std::io::{self, Read};

use ipcq_core::Batch;
use memchr::memchr_iter;

use crate::args::Framing;
use crate::failure::cause;

/// How much is read at once, and how much memory reading short messages takes.
const BUFFER: usize = 1 << 20;
/// How many bytes a length before a message has.
const PREFIX: usize = 4;

/// Reads messages from `source`.
#[derive(Debug)]
pub(crate) struct Messages<R> {
    source: R,
    framing: Framing,
    /// The longest message that is wanted.
    limit: usize,
    buffer: Vec<u8>,
    /// What has been read and not handed out yet is `buffer[start..end]`.
    start: usize,
    end: usize,
    /// How far there is no delimiter: what is searched once is not searched again.
    searched: usize,
    finished: bool,
}

/// Why the next message could not be read.
#[derive(Debug)]
pub(crate) enum InputError {
    /// The system could not read.
    Read(io::Error),
    /// A message is longer than the limit; this much of it is known.
    TooLong { len: usize },
    /// The stream ended inside a message.
    CutShort { got: usize, of: usize },
    /// There is not enough memory for the message.
    NoMemory,
}

impl<R: Read> Messages<R> {
    /// Reads from `source` messages of up to `limit` bytes.
    pub(crate) const fn new(source: R, framing: Framing, limit: usize) -> Self {
        let (start, end, searched) = (0, 0, 0);
        Self { source, framing, limit, buffer: Vec::new(), start, end, searched, finished: false }
    }

    /// Fills `batch` with the messages that one read has made whole, and reads again only when there is none.
    /// An empty batch is the end of the stream.
    pub(crate) fn next_batch(&mut self, batch: &mut Batch) -> Result<(), InputError> {
        batch.clear();
        if self.framing == Framing::Raw {
            return self.all_as_one(batch);
        }
        while batch.is_empty() && !self.finished {
            if self.read()? == 0 {
                self.finished = true;
                return self.take_last(batch);
            }
            batch.try_reserve(0, self.end - self.start).map_err(|_| InputError::NoMemory)?;
            match self.framing {
                Framing::Delimited(delimiter) => self.split_at(delimiter, batch),
                _ => self.split_by_length(batch),
            }
            if batch.is_empty() {
                self.check_length()?;
            }
        }
        Ok(())
    }

    fn all_as_one(&mut self, batch: &mut Batch) -> Result<(), InputError> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        let most = u64::try_from(self.limit).unwrap_or(u64::MAX).saturating_add(1);
        let (source, limit) = (&mut self.source, self.limit);
        batch.push_with(|bytes| match source.take(most).read_to_end(bytes) {
            Ok(len) if len > limit => Err(InputError::TooLong { len }),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(InputError::NoMemory),
            Err(error) => Err(InputError::Read(error)),
        })
    }

    /// Reads what is there, waiting for a byte at least. Returns how many bytes came; 0 is the end.
    fn read(&mut self) -> Result<usize, InputError> {
        self.make_room()?;
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(InputError::Read(error)),
            }
        }
    }

    /// Moves the incomplete message to the front; one that fills half of the buffer makes it twice as large.
    fn make_room(&mut self) -> Result<(), InputError> {
        let held = self.end - self.start;
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.searched, self.start, self.end) = (self.searched - self.start, 0, held);
        }
        let wanted = if held * 2 < self.buffer.len() { self.buffer.len() } else { (held * 2).max(BUFFER) };
        if let Some(more @ 1..) = wanted.checked_sub(self.buffer.len()) {
            self.buffer.try_reserve_exact(more).map_err(|_| InputError::NoMemory)?;
            self.buffer.resize(wanted, 0);
        }
        Ok(())
    }

    fn split_at(&mut self, delimiter: u8, batch: &mut Batch) {
        let mut start = self.start;
        for offset in memchr_iter(delimiter, &self.buffer[self.searched..self.end]) {
            let end = self.searched + offset;
            batch.push(&self.buffer[start..end]);
            start = end + 1;
        }
        self.start = start;
        self.searched = self.end;
    }

    fn split_by_length(&mut self, batch: &mut Batch) {
        while let Some(len) = self.claimed_length() {
            let from = self.start + PREFIX;
            let Some(message) = self.buffer[from..self.end].get(..len) else { break };
            batch.push(message);
            self.start = from + len;
        }
        self.searched = self.end;
    }

    /// The length that stands before the next message, once all of it has come.
    fn claimed_length(&self) -> Option<usize> {
        let prefix = self.buffer[self.start..self.end].first_chunk::<PREFIX>()?;
        usize::try_from(u32::from_be_bytes(*prefix)).ok()
    }

    /// Refuses a message that is known to be too long before all of it has come.
    fn check_length(&self) -> Result<(), InputError> {
        let len = match self.framing {
            Framing::LengthPrefixed => self.claimed_length().unwrap_or(0),
            _ => self.end - self.start,
        };
        if len > self.limit { Err(InputError::TooLong { len }) } else { Ok(()) }
    }

    /// What is left at the end of the stream.
    fn take_last(&mut self, batch: &mut Batch) -> Result<(), InputError> {
        let rest = &self.buffer[self.start..self.end];
        match self.framing {
            _ if rest.is_empty() => {}
            Framing::LengthPrefixed => {
                let of = self.claimed_length().map_or(PREFIX, |len| len + PREFIX);
                return Err(InputError::CutShort { got: rest.len(), of });
            }
            _ => {
                batch.try_reserve(1, rest.len()).map_err(|_| InputError::NoMemory)?;
                batch.push(rest);
            }
        }
        self.start = self.end;
        Ok(())
    }
}

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "stdin could not be read: {}", cause(error)),
            Self::TooLong { len } => write!(f, "a message on stdin has {len} bytes or more"),
            Self::CutShort { got, of } => {
                write!(f, "stdin ended inside a message, after {got} of its {of} bytes with its length")
            }
            Self::NoMemory => f.write_str("there is not enough memory for a message on stdin"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out its pieces one a read, as a pipe does.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(first) = self.0.first_mut() else { return Ok(0) };
            let count = first.len().min(buffer.len());
            buffer[..count].copy_from_slice(&first[..count]);
            first.drain(..count);
            if first.is_empty() {
                self.0.remove(0);
            }
            Ok(count)
        }
    }

    fn messages(framing: Framing, limit: usize, pieces: &[&[u8]]) -> Messages<Pieces> {
        Messages::new(Pieces(pieces.iter().map(|piece| piece.to_vec()).collect()), framing, limit)
    }

    /// The batches that come out, each as a list of texts, and how it ended.
    fn batches(mut messages: Messages<Pieces>) -> (Vec<Vec<String>>, Result<(), InputError>) {
        let (mut all, mut batch) = (Vec::new(), Batch::new());
        loop {
            match messages.next_batch(&mut batch) {
                Ok(()) if batch.is_empty() => return (all, Ok(())),
                Ok(()) => {
                    all.push(batch.iter().map(|message| String::from_utf8_lossy(message).into()).collect());
                }
                Err(error) => return (all, Err(error)),
            }
        }
    }

    const LINES: Framing = Framing::Delimited(b'\n');

    #[test]
    fn each_read_is_a_batch_and_the_last_line_needs_no_end() {
        let (all, end) = batches(messages(LINES, 100, &[b"a\nb\nc", b"c\n\n", b"d"]));
        assert_eq!(all, [vec!["a", "b"], vec!["cc", ""], vec!["d"]]);
        assert!(end.is_ok());
    }

    #[test]
    fn nothing_in_is_nothing_out_but_for_raw() {
        assert_eq!(batches(messages(LINES, 100, &[])).0, Vec::<Vec<String>>::new());
        assert_eq!(batches(messages(Framing::LengthPrefixed, 100, &[])).0, Vec::<Vec<String>>::new());
        assert_eq!(batches(messages(Framing::Raw, 100, &[])).0, [[""]]);
    }

    #[test]
    fn raw_is_one_message_up_to_the_limit() {
        assert_eq!(batches(messages(Framing::Raw, 4, &[b"a\n", b"\0b"])).0, [["a\n\0b"]]);
        let (all, end) = batches(messages(Framing::Raw, 3, &[b"a\n", b"\0b"]));
        assert!(all.is_empty());
        assert!(matches!(end, Err(InputError::TooLong { len: 4 })));
    }

    #[test]
    fn lengths_may_be_torn_anywhere() {
        let stream = b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c";
        for cut in 0..stream.len() {
            let (head, tail) = stream.split_at(cut);
            let pieces = if cut == 0 { vec![tail] } else { vec![head, tail] };
            let (all, end) = batches(messages(Framing::LengthPrefixed, 100, &pieces));
            assert_eq!(all.concat(), ["ab", "", "c"], "cut at {cut}");
            assert!(end.is_ok());
        }
    }

    #[test]
    fn a_stream_that_ends_inside_a_message_is_an_error() {
        let (all, end) = batches(messages(Framing::LengthPrefixed, 100, &[b"\0\0\0\x01x\0\0\0\x05ab"]));
        assert_eq!(all, [["x"]]);
        assert!(matches!(end, Err(InputError::CutShort { got: 6, of: 9 })));
    }

    #[test]
    fn a_claimed_length_above_the_limit_takes_no_memory() {
        let mut input = messages(Framing::LengthPrefixed, 100, &[b"\0\0\0\x01x\xff\xff\xff\xffab"]);
        let mut batch = Batch::new();
        input.next_batch(&mut batch).unwrap();
        assert_eq!(batch.len(), 1);
        input.source.0.push(b"c".to_vec());
        let error = input.next_batch(&mut batch).unwrap_err();
        assert!(matches!(error, InputError::TooLong { len: 0xffff_ffff }), "{error:?}");
        assert_eq!(input.buffer.len(), BUFFER);
    }

    #[test]
    fn a_line_longer_than_the_buffer_makes_it_grow_up_to_the_limit() {
        let long = vec![b'x'; 3 * BUFFER];
        let (all, end) = batches(messages(LINES, 4 * BUFFER, &[b"a\n", &long, b"\nb\n"]));
        let lengths: Vec<usize> = all.concat().iter().map(String::len).collect();
        assert_eq!(lengths, [1, long.len(), 1]);
        assert!(end.is_ok());
        let (all, end) = batches(messages(LINES, 2 * BUFFER, &[b"a\n", &long, b"\nb\n"]));
        assert_eq!(all, [["a"]]);
        assert!(matches!(end, Err(InputError::TooLong { len }) if len > 2 * BUFFER));
    }
}
