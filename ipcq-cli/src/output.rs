//! Messages into a stream of bytes, and results onto stdout.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use ipcq_core::Batch;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::args::Framing;
use crate::failure::Failure;

/// How much is taken ahead of what stdout accepts, and written at once.
pub(crate) const AHEAD: usize = 64 * 1024;

/// stdout without a buffer of its own: what is written is with the system.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    framing: Framing,
    joined: Vec<u8>,
}

/// What could not be written.
#[derive(Debug)]
pub(crate) struct Unwritten {
    /// How many messages were not written to their end.
    pub(crate) messages: usize,
    pub(crate) error: io::Error,
}

impl Unwritten {
    /// Whether nobody reads stdout any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.error.kind() == io::ErrorKind::BrokenPipe
    }
}

impl Output {
    /// Writes messages to stdout.
    pub(crate) fn new(framing: Framing) -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { file, framing, joined: Vec::with_capacity(AHEAD + AHEAD / 2) })
    }

    /// Whether nobody reads stdout any more, as far as the system can tell without writing.
    pub(crate) fn is_closed(&self) -> bool {
        let mut stdout = [PollFd::new(self.file.as_fd(), PollFlags::empty())];
        matches!(poll(&mut stdout, PollTimeout::ZERO), Ok(1..))
            && stdout[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
    }

    /// Writes all of `batch`; when it returns, nothing is held back.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), Unwritten> {
        let written =
            if batch.byte_len() > AHEAD { self.write_each(batch) } else { self.write_joined(batch) };
        written.map_err(|(bytes, error)| Unwritten { messages: self.unwritten(batch, bytes), error })
    }

    /// Many short messages: one system call.
    fn write_joined(&mut self, batch: &Batch) -> Result<(), (usize, io::Error)> {
        self.joined.clear();
        match self.framing {
            Framing::Delimited(delimiter) => {
                for message in batch.iter() {
                    self.joined.extend_from_slice(message);
                    self.joined.push(delimiter);
                }
            }
            Framing::Raw => batch.iter().for_each(|message| self.joined.extend_from_slice(message)),
            Framing::LengthPrefixed => {
                for message in batch.iter() {
                    self.joined.extend_from_slice(&prefix(message));
                    self.joined.extend_from_slice(message);
                }
            }
        }
        let mut written = 0;
        write_counting(&mut self.file, &self.joined, &mut written).map_err(|error| (written, error))
    }

    /// Long messages: none is copied once more.
    fn write_each(&mut self, batch: &Batch) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        for message in batch.iter() {
            let (before, after) = match self.framing {
                Framing::Delimited(delimiter) => (Vec::new(), vec![delimiter]),
                Framing::Raw => (Vec::new(), Vec::new()),
                Framing::LengthPrefixed => (prefix(message).to_vec(), Vec::new()),
            };
            for part in [&before[..], message, &after[..]] {
                write_counting(&mut self.file, part, &mut written).map_err(|error| (written, error))?;
            }
        }
        Ok(())
    }

    /// How many messages of `batch` do not end within the first `bytes` of what is written for it.
    fn unwritten(&self, batch: &Batch, bytes: usize) -> usize {
        let around = match self.framing {
            Framing::Delimited(_) => 1,
            Framing::Raw => 0,
            Framing::LengthPrefixed => 4,
        };
        let ends = batch.iter().scan(0, |end, message| {
            *end += message.len() + around;
            Some(*end)
        });
        ends.filter(|&end| end > bytes).count()
    }
}

/// The length of a message as it stands before it; `get` has refused queues of longer messages.
fn prefix(message: &[u8]) -> [u8; 4] {
    u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Writes all of `bytes` and counts how far it came, also where stdout was made non-blocking by somebody else.
fn write_counting(file: &mut File, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                rest = &rest[count..];
                *written += count;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut stdout = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut stdout, PollTimeout::NONE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Prints results. Where nobody reads them any more, there is nothing left to do, and that is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let cause = crate::failure::cause(&error);
            Err(Failure::failed(format!(
                "stdout could not be written ({cause}); send it elsewhere, or make room"
            )))
        }
        _ => Ok(()),
    }
}

/// Rows under their titles, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(titles: &[&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head = line(*titles);
    let body = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    std::iter::once(head).chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(framing: Framing) -> (Output, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        (Output { file, framing, joined: Vec::new() }, reader)
    }

    fn written(framing: Framing, messages: &[&[u8]]) -> Vec<u8> {
        let (mut output, mut reader) = output(framing);
        let read = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut reader, &mut bytes).map(|_| bytes)
        });
        let mut batch = Batch::new();
        messages.iter().for_each(|message| batch.push(message));
        output.write(&batch).unwrap();
        drop(output);
        read.join().unwrap().unwrap()
    }

    #[test]
    fn messages_are_told_apart_as_asked() {
        let messages: [&[u8]; 3] = [b"a", b"", b"bc"];
        assert_eq!(written(Framing::Delimited(b'\n'), &messages), b"a\n\nbc\n");
        assert_eq!(written(Framing::Delimited(0), &messages), b"a\0\0bc\0");
        assert_eq!(written(Framing::Raw, &messages), b"abc");
        assert_eq!(written(Framing::LengthPrefixed, &messages), b"\0\0\0\x01a\0\0\0\0\0\0\0\x02bc");
    }

    #[test]
    fn long_messages_come_out_as_short_ones_do() {
        let long = vec![b'x'; 2 * AHEAD];
        let messages: [&[u8]; 2] = [b"a", &long];
        assert_eq!(written(Framing::Raw, &messages), [b"a", &long[..]].concat());
        assert_eq!(written(Framing::Delimited(b'\n'), &messages), [b"a\n", &long[..], b"\n"].concat());
        let expected = [b"\0\0\0\x01a", &[0, 2, 0, 0][..], &long[..]].concat();
        assert_eq!(written(Framing::LengthPrefixed, &messages), expected);
    }

    #[test]
    fn what_a_closed_reader_did_not_get_is_counted() {
        let (mut output, reader) = output(Framing::Delimited(b'\n'));
        assert!(!output.is_closed());
        drop(reader);
        assert!(output.is_closed());
        let mut batch = Batch::new();
        batch.push(b"a");
        batch.push(b"b");
        let unwritten = output.write(&batch).unwrap_err();
        assert!(unwritten.is_closed());
        assert_eq!(unwritten.messages, 2);
        assert_eq!(output.unwritten(&batch, 1), 2);
        assert_eq!(output.unwritten(&batch, 2), 1);
        assert_eq!(output.unwritten(&batch, 4), 0);
    }

    #[test]
    fn a_table_has_columns_as_wide_as_their_cells() {
        let rows = [["a".to_owned(), "long cell".to_owned()], ["bcd".to_owned(), String::new()]];
        assert_eq!(table(&["x", "y"], &rows), "x    y\na    long cell\nbcd\n");
    }
}
