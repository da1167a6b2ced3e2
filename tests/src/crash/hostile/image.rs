//! The bytes of a queue's files, to be damaged again and again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};

use super::stream::Stream;

/// A page of a file.
const PAGE: usize = 4096;
/// How much of the first page is damaged: the header, and some of the nothing behind it.
const HEADER: usize = 2048;
/// How much of the header is dense.
const WORDS: usize = 1280;
/// How much of other pages is damaged.
const PART: usize = 512;

/// The bytes of a queue's files.
#[derive(Debug)]
pub(super) struct Image {
    path: PathBuf,
    len: usize,
    /// The pages that hold anything, by where they begin.
    pages: Vec<(usize, Vec<u8>)>,
    /// Its pipe, if it has one.
    stream: Option<Stream>,
}

/// One piece of damage.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    /// Other bytes at this place of the file.
    Bytes(usize, Vec<u8>),
    /// No memory at this place of the file, and so long.
    Hole(usize, usize),
    /// Other bytes in the pipe.
    Stream(Vec<u8>),
}

impl Image {
    /// Reads the file at `path`, and what is in the pipe at `fifo`, which it then keeps open.
    pub(super) fn read(path: PathBuf, fifo: Option<&Path>) -> io::Result<Self> {
        let file = File::open(&path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let mut pages = Vec::new();
        for at in (0..len).step_by(PAGE) {
            let mut page = vec![0; PAGE.min(len - at)];
            file.read_exact_at(&mut page, at as u64)?;
            if page.iter().any(|&byte| byte != 0) {
                pages.push((at, page));
            }
        }
        let stream = fifo.map(Stream::read).transpose()?;
        Ok(Self { path, len, pages, stream })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// How long the file is.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes the file anew, whole, and fills the pipe as it was; returns the file for damage.
    pub(super) fn restore(&self) -> io::Result<File> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.set_len(self.len as u64)?;
        for (at, page) in &self.pages {
            file.write_all_at(page, *at as u64)?;
        }
        self.stream.as_ref().map_or(Ok(()), Stream::restore)?;
        Ok(file)
    }

    /// Does `damage` to the restored `file` and its pipe.
    pub(super) fn apply(&self, damage: &Damage, file: &File) -> io::Result<()> {
        match (damage, &self.stream) {
            (Damage::Bytes(at, bytes), _) => file.write_all_at(bytes, *at as u64),
            (Damage::Hole(at, len), _) => {
                let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                let offset = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
                Ok(fallocate(file, flags, offset(*at), offset(*len))?)
            }
            (Damage::Stream(bytes), Some(stream)) => stream.fill(bytes),
            (Damage::Stream(_), None) => Ok(()),
        }
    }

    /// The byte at `at`.
    fn byte(&self, at: usize) -> u8 {
        let page = self.pages.iter().find(|(begin, _)| *begin == at / PAGE * PAGE);
        page.and_then(|(begin, page)| page.get(at - begin)).copied().unwrap_or(0)
    }

    /// What is worth damaging: the header, the beginning of what other pages hold.
    pub(super) fn targets(&self) -> Vec<usize> {
        let mut targets = Vec::new();
        // Of a long message, one page is like the other.
        for (at, bytes) in self.pages.iter().filter(|(at, page)| *at == 0 || is_sparse(page)) {
            let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(0) / 8 * 8;
            let part =
                if *at == 0 { 0..HEADER.min(bytes.len()) } else { first..(first + PART).min(bytes.len()) };
            targets.extend(part.map(|offset| at + offset));
        }
        targets
    }

    /// Every page, and everything behind the first page, without memory.
    pub(super) fn holes(&self) -> Vec<Damage> {
        let mut all = vec![Damage::Hole(0, self.len), Damage::Hole(PAGE, self.len - PAGE)];
        all.extend(self.pages.iter().map(|(at, page)| Damage::Hole(*at, page.len())));
        all
    }

    /// What strangers may do to the pipe, if there is one.
    pub(super) fn stream_damage(&self, random: impl FnMut() -> u64) -> Vec<Damage> {
        let all = self.stream.as_ref().map_or_else(Vec::new, |stream| stream.damage(random));
        all.into_iter().map(Damage::Stream).collect()
    }

    /// Every byte that is worth it, changed in several ways: where words lie close together, each bit of it.
    pub(super) fn byte_damage(&self) -> Vec<Damage> {
        let mut all = Vec::new();
        for at in self.targets() {
            let byte = self.byte(at);
            let flips = if at < WORDS { 0..8 } else { 6..8 };
            let mut values: Vec<u8> = flips.map(|bit| byte ^ (1 << bit)).collect();
            values.extend([!byte, 0x00, 0xFF]);
            values.sort_unstable();
            values.dedup();
            values.retain(|&value| value != byte);
            all.extend(values.into_iter().map(|value| Damage::Bytes(at, vec![value])));
        }
        all
    }

    /// Every word that is worth it, with numbers that programs stumble over.
    pub(super) fn word_damage(&self, mut random: impl FnMut() -> u64) -> Vec<Damage> {
        let mut all = Vec::new();
        for at in self.targets().into_iter().filter(|at| at % 8 == 0) {
            let word: [u8; 8] = std::array::from_fn(|place| self.byte(at + place));
            let word = u64::from_le_bytes(word);
            let near = [word.wrapping_add(1), word.wrapping_sub(1), word.wrapping_add(1 << 16)];
            let far =
                [0, u64::MAX, 1 << 63, 1 << 62, 0x4000_0000, u64::from(u32::MAX), random() >> 2, random()];
            let values = near.into_iter().chain(far).filter(|&value| value != word);
            all.extend(values.map(|value| Damage::Bytes(at, value.to_le_bytes().to_vec())));
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
            Damage::Bytes(at, bytes)
        };
        (0..count).map(one).collect()
    }
}

fn is_sparse(page: &[u8]) -> bool {
    page.iter().filter(|&&byte| byte == 0).count() > PAGE / 4
}
