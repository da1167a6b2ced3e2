//! What the files of a queue look like, as its backend describes them: where to look for the states of a death.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};
use nix::libc;
use nix::unistd::pipe;

const KIB: usize = 1024;
pub(super) const PAGE: usize = 4 * KIB;
/// Where the blocks of `ipcq-pipe` begin.
const POOL: usize = (68 * KIB + 64) * KIB;

/// Where things are in the file that processes of a queue share as memory.
pub(super) struct Layout {
    /// What tells where messages are: ranges, each from an offset on, and so long.
    pub(super) looks: &'static [(usize, usize)],
    /// Words of the header that operations change: name, offset, length.
    pub(super) words: &'static [(&'static str, usize, usize)],
    /// Where the parts behind the header begin.
    pub(super) parts: &'static [(&'static str, usize)],
    /// The least length of a file that may grow and shrink.
    pub(super) least: Option<usize>,
    /// Parts of the memory that are free until a word says otherwise, and are written by many stores.
    pub(super) bulk: &'static [&'static str],
}

/// See the layout in `ipcq-shm`.
const SHM: Layout = Layout {
    // Where something is lent, the second chunk is the table of that: its first entries.
    looks: &[(0, 68 * KIB), (2192 * KIB, 64)],
    words: &[
        ("put.lock", 0x100, 4),
        ("put.chunks", 0x108, 4),
        ("put.seen_head", 0x118, 8),
        ("put.bytes", 0x130, 8),
        ("tail", 0x180, 8),
        ("get.lock", 0x200, 4),
        ("get.seen_tail", 0x210, 8),
        ("head", 0x280, 8),
        ("not_empty", 0x300, 8),
        ("loans", 0x480, 24),
    ],
    least: None,
    parts: &[("slot", PAGE), ("link", 64 * KIB), ("record", 2112 * KIB)],
    bulk: &["record"],
};

/// The same with what is handed out, as far as the first entries of it: see `deliveries` in `ipcq-core`.
const SHM_ACKNOWLEDGED: Layout =
    Layout { looks: &[(0, 68 * KIB), (2112 * KIB, 5 * KIB), (2120 * KIB, KIB), (2144 * KIB, KIB)], ..SHM };

/// See the layout in `ipcq-pipe`.
const PIPE: Layout = Layout {
    // Of the tags only the first few: one is like the other, and each would be a state of its own.
    looks: &[(0, 68 * KIB), (4160 * KIB, 16)],
    words: &[
        ("put.lock", 0x100, 4),
        ("put.dirty", 0x108, 4),
        ("put.seen_head", 0x110, 8),
        ("put.fill", 0x118, 4),
        ("put.waste", 0x11c, 4),
        ("put.waste_end", 0x120, 8),
        ("put.blocks", 0x128, 4),
        ("put.cursor", 0x12c, 4),
        ("put.bytes", 0x130, 8),
        ("put.given", 0x138, 8),
        ("put.trimmed", 0x140, 8),
        ("put.stray", 0x148, 4),
        ("tail", 0x180, 8),
        ("get.lock", 0x200, 4),
        ("get.dirty", 0x208, 4),
        ("get.removed", 0x20c, 4),
        ("get.seen_tail", 0x210, 8),
        ("head", 0x280, 8),
        ("not_empty", 0x300, 4),
        ("not_full", 0x380, 4),
        ("moving", 0x400, 28),
        ("hand", 0x480, 128),
    ],
    least: Some(POOL),
    parts: &[("slot", PAGE), ("length", 64 * KIB), ("tag", 4160 * KIB), ("block", POOL)],
    bulk: &["length", "tag", "block"],
};

/// The same with what is handed out, which comes before the blocks.
const PIPE_ACKNOWLEDGED: Layout = Layout {
    looks: &[(0, 68 * KIB), (4160 * KIB, 16), (POOL, 5 * KIB), (POOL + 8 * KIB, KIB), (POOL + 32 * KIB, KIB)],
    ..PIPE
};

impl Layout {
    /// The layout of the queues of `transport`.
    pub(super) fn of(transport: &str) -> &'static Self {
        if transport == "pipe" { &PIPE } else { &SHM }
    }

    /// The layout of a queue, which may be acknowledged.
    pub(super) fn of_queue(transport: &str, acknowledged: bool) -> &'static Self {
        match transport {
            "pipe" if acknowledged => &PIPE_ACKNOWLEDGED,
            _ if acknowledged => &SHM_ACKNOWLEDGED,
            _ => Self::of(transport),
        }
    }

    /// What is at `at`: a word of the header, or a part of the file.
    pub(super) fn name(&self, at: usize) -> String {
        let word = self.words.iter().find(|(_, begin, len)| (*begin..begin + len).contains(&at));
        let part = || self.parts.iter().rev().find(|(_, begin)| at >= *begin);
        let name = word.map(|(name, ..)| name).or_else(|| part().map(|(name, _)| name));
        name.map_or_else(|| format!("{at:#x}"), |name| (*name).to_owned())
    }
}

/// A file of a queue.
pub(super) enum Place {
    /// One that is shared as memory.
    File(Shared),
    /// A pipe, with what is in it.
    Pipe(Vec<u8>),
}

/// A file that is shared as memory.
pub(super) struct Shared(File);

impl Place {
    /// What is at `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn at(path: PathBuf) -> io::Result<Self> {
        let is_pipe = fs::symlink_metadata(&path)?.file_type().is_fifo();
        if is_pipe { peek(&path).map(Self::Pipe) } else { Ok(Self::File(Shared(File::open(path)?))) }
    }
}

impl Shared {
    /// Appends what is in a range of it, as far as the file goes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn look(&self, (at, len): (usize, usize), to: &mut Vec<u8>) -> io::Result<()> {
        let before = to.len();
        to.resize(before + len, 0);
        let read = self.0.read_at(&mut to[before..], at as u64)?;
        to.truncate(before + read);
        Ok(())
    }
}

/// What is in the FIFO at `path`, which stays there: the kernel copies it to a pipe of one's own.
///
/// # Errors
/// When it cannot be read.
pub(super) fn peek(path: &Path) -> io::Result<Vec<u8>> {
    let fifo = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut len: libc::c_int = 0;
    // SAFETY: the kernel writes one int.
    if unsafe { libc::ioctl(fifo.as_raw_fd(), libc::FIONREAD, &raw mut len) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let len = usize::try_from(len).unwrap_or(0);
    let mut content = vec![0; len];
    if len > 0 {
        let (reader, writer): (OwnedFd, OwnedFd) = pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(fcntl(&fifo, FcntlArg::F_GETPIPE_SZ)?))?;
        match tee(&fifo, &writer, len, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(copied) => {
                content.truncate(copied);
                File::from(reader).read_exact(&mut content)?;
            }
            Err(Errno::EAGAIN) => content.clear(),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(content)
}
