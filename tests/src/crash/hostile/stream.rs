//! What is in the pipe of a queue, and what strangers may write into it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;

/// The bytes of a record, in queues that have the larger ones.
const RECORD: usize = 128;
/// The bytes of its header: length, and number, each a word of four.
const HEADER: usize = 8;
const NOISE: usize = 300;

/// A pipe that this process keeps open, and what was in it.
#[derive(Debug)]
pub(super) struct Stream {
    fifo: File,
    content: Vec<u8>,
}

impl Stream {
    /// Takes what is in the FIFO at `path`.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let fifo = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let content = drain(&fifo)?;
        Ok(Self { fifo, content })
    }

    /// Puts back what was in it, and nothing else.
    pub(super) fn restore(&self) -> io::Result<()> {
        self.fill(&self.content)
    }

    /// Puts `bytes` into it, and nothing else.
    pub(super) fn fill(&self, bytes: &[u8]) -> io::Result<()> {
        drain(&self.fifo)?;
        (&self.fifo).write_all(bytes)
    }

    /// Other contents: bytes changed, cut off and added; records swapped, doubled, left out and numbered otherwise;
    /// noise.
    pub(super) fn damage(&self, mut random: impl FnMut() -> u64) -> Vec<Vec<u8>> {
        let mut all = self.changed_bytes();
        all.extend(self.other_lengths());
        all.extend(self.other_records());
        for _ in 0..NOISE {
            let mut content = self.content.clone();
            let len = content.len() as u64;
            let at = usize::try_from(random() % len).unwrap_or(0) / 8 * 8;
            for place in content[at..].iter_mut().take(1 << (random() % 8)) {
                *place = random().to_le_bytes()[0];
            }
            all.push(content);
        }
        all
    }

    fn changed_bytes(&self) -> Vec<Vec<u8>> {
        let change = |at: usize, value: u8| {
            let mut content = self.content.clone();
            content[at] = value;
            content
        };
        let values =
            |byte: u8| [byte ^ 1, byte ^ 0x80, !byte, 0, 0xFF].into_iter().filter(move |v| *v != byte);
        let bytes = self.content.iter().enumerate();
        bytes
            .flat_map(|(at, &byte)| values(byte).map(move |value| (at, value)))
            .map(|(at, v)| change(at, v))
            .collect()
    }

    fn other_lengths(&self) -> Vec<Vec<u8>> {
        let len = self.content.len();
        let mut all = Vec::new();
        for cut in (1..=RECORD + 1).chain([len / 2, len - 1, len]) {
            all.push(self.content[..len - cut].to_vec());
            all.push(self.content[cut..].to_vec());
        }
        for more in [1, HEADER, RECORD - 1, RECORD, RECORD + 1, 10 * RECORD, 4096, 20_000] {
            for byte in [0, 7, 0xFF] {
                let foreign = vec![byte; more];
                all.push([&self.content[..], &foreign].concat());
                all.push([&foreign[..], &self.content].concat());
                all.push(foreign);
            }
        }
        all
    }

    fn other_records(&self) -> Vec<Vec<u8>> {
        let records: Vec<&[u8]> = self.content.chunks(RECORD).collect();
        let mut all = Vec::new();
        for at in 0..records.len() {
            let (before, after) = (records[..at].concat(), records[at + 1..].concat());
            all.push([&before[..], &after].concat());
            all.push([&before[..], records[at], records[at], &after].concat());
            for by in [1_u32, 2, 64, 65, 1 << 31, u32::MAX] {
                all.push([&before[..], &numbered(records[at], at, by), &after].concat());
            }
            for other in 0..at {
                let mut swapped = records.clone();
                swapped.swap(at, other);
                all.push(swapped.concat());
            }
        }
        // All numbers are right for a queue of another time.
        for by in [1_u32, 63, 1000, 1 << 31, u32::MAX] {
            let shifted = records.iter().enumerate().map(|(at, record)| numbered(record, at, by));
            all.push(shifted.collect::<Vec<_>>().concat());
        }
        all
    }
}

/// The record at place `at`, the first of which has the number 1, with a number that is larger by `by`.
fn numbered(record: &[u8], at: usize, by: u32) -> Vec<u8> {
    let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
    let difference = (number ^ number.wrapping_add(by)).to_le_bytes();
    let mut record = record.to_vec();
    for (byte, other) in record[HEADER / 2..HEADER].iter_mut().zip(difference) {
        *byte ^= other;
    }
    record
}

fn drain(mut fifo: &File) -> io::Result<Vec<u8>> {
    let (mut content, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match fifo.read(&mut bytes) {
            Ok(read) => content.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(content),
            Err(error) => return Err(error),
        }
    }
}
