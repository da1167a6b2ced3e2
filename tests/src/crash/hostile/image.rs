//! The bytes of a queue's file, to be damaged again and again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// A page of a file.
const PAGE: usize = 4096;
/// How much of the first page is damaged: the header, and some of the nothing behind it.
const HEADER: usize = 2048;
/// How much of the header is dense.
const WORDS: usize = 1024;
/// How much of other pages is damaged.
const PART: usize = 512;

/// The bytes of a queue's file.
#[derive(Debug)]
pub(super) struct Image {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where pages begin that hold anything.
    pages: Vec<usize>,
}

/// One piece of damage: what is written where.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) at: usize,
    pub(super) bytes: Vec<u8>,
}

impl Image {
    /// Reads the file at `path`.
    pub(super) fn read(path: PathBuf) -> io::Result<Self> {
        let bytes = fs::read(&path)?;
        let mut pages: Vec<usize> = (0..bytes.len()).step_by(PAGE).collect();
        pages.retain(|&at| page(&bytes, at).iter().any(|&byte| byte != 0));
        Ok(Self { path, bytes, pages })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes the file anew, whole; returns it for damage.
    pub(super) fn restore(&self) -> io::Result<File> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.set_len(self.bytes.len() as u64)?;
        for &at in &self.pages {
            file.write_all_at(page(&self.bytes, at), at as u64)?;
        }
        Ok(file)
    }

    /// What is worth damaging: the header, the beginning of what other pages hold.
    pub(super) fn targets(&self) -> Vec<usize> {
        let mut targets = Vec::new();
        // Of a long message, one page is like the other.
        for &at in self.pages.iter().filter(|&&at| at == 0 || is_sparse(page(&self.bytes, at))) {
            let bytes = page(&self.bytes, at);
            let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(0) / 8 * 8;
            let part =
                if at == 0 { 0..HEADER.min(bytes.len()) } else { first..(first + PART).min(bytes.len()) };
            targets.extend(part.map(|offset| at + offset));
        }
        targets
    }

    /// Every byte that is worth it, changed in several ways: where words lie close together, each bit of it.
    pub(super) fn byte_damage(&self) -> Vec<Damage> {
        let mut all = Vec::new();
        for at in self.targets() {
            let byte = self.bytes[at];
            let flips = if at < WORDS { 0..8 } else { 6..8 };
            let mut values: Vec<u8> = flips.map(|bit| byte ^ (1 << bit)).collect();
            values.extend([!byte, 0x00, 0xFF]);
            values.sort_unstable();
            values.dedup();
            values.retain(|&value| value != byte);
            all.extend(values.into_iter().map(|value| Damage::new(at, &[value])));
        }
        all
    }

    /// Every word that is worth it, with numbers that programs stumble over.
    pub(super) fn word_damage(&self, mut random: impl FnMut() -> u64) -> Vec<Damage> {
        let mut all = Vec::new();
        for at in self.targets().into_iter().filter(|at| at % 8 == 0) {
            let mut word = [0; 8];
            word.copy_from_slice(&self.bytes[at..at + 8]);
            let word = u64::from_le_bytes(word);
            let near = [word.wrapping_add(1), word.wrapping_sub(1), word.wrapping_add(1 << 16)];
            let far =
                [0, u64::MAX, 1 << 63, 1 << 62, 0x4000_0000, u64::from(u32::MAX), random() >> 2, random()];
            let values = near.into_iter().chain(far).filter(|&value| value != word);
            all.extend(values.map(|value| Damage::new(at, &value.to_le_bytes())));
        }
        all
    }

    /// Noise of 8 bytes to a page, over everything that is worth it.
    pub(super) fn noise(&self, count: usize, mut random: impl FnMut() -> u64) -> Vec<Damage> {
        let targets = self.targets();
        let below = |limit: usize, word: u64| usize::try_from(word % limit as u64).unwrap_or(0);
        let one = |_| {
            let at = targets[below(targets.len(), random())] / 8 * 8;
            let words = 1 << below(10, random());
            let len = (words * 8).min(PAGE - at % PAGE);
            let bytes: Vec<u8> = (0..words).flat_map(|_| random().to_le_bytes()).take(len).collect();
            Damage::new(at, &bytes)
        };
        (0..count).map(one).collect()
    }
}

fn page(bytes: &[u8], at: usize) -> &[u8] {
    &bytes[at..bytes.len().min(at + PAGE)]
}

fn is_sparse(page: &[u8]) -> bool {
    page.iter().filter(|&&byte| byte == 0).count() > PAGE / 4
}

impl Damage {
    fn new(at: usize, bytes: &[u8]) -> Self {
        Self { at, bytes: bytes.to_vec() }
    }

    pub(super) fn apply(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.bytes, self.at as u64)
    }
}
