//! The record locks that hold slots: one byte for each slot, far beyond any content of the file.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// The byte of slot 0. Locks may lie beyond the end of a file, and no queue grows as far as this.
const BASE: i64 = 1 << 62;

/// Who holds a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody: the owner of the slot, if it had one, is dead.
    Nobody,
    /// This process.
    Myself,
    /// Another process.
    Another,
}

/// Takes the byte `index` for this process. `false`: another process has it. What this process already has it
/// gets again. Safe between `fork` and `exec`.
pub(super) fn try_take(file: BorrowedFd<'_>, index: usize) -> Result<bool, Errno> {
    match retry(|| fcntl(file, FcntlArg::F_SETLK(&byte(index, libc::F_WRLCK)))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives the byte `index` back, if this process has it.
pub(super) fn give_back(file: BorrowedFd<'_>, index: usize) -> Result<(), Errno> {
    retry(|| fcntl(file, FcntlArg::F_SETLK(&byte(index, libc::F_UNLCK)))).map(drop)
}

/// Who holds the byte `index`. Safe between `fork` and `exec`.
///
/// Asked in the name of the open file (`F_OFD_GETLK`), not of the process (`F_GETLK`), which would hide the locks
/// of the asking process: so the answer needs nothing that this process remembers, and is right after `exec` too.
/// The kernel translates the holder's number into the asker's process namespace, so that only this process can
/// appear under its own number.
pub(super) fn holder(file: BorrowedFd<'_>, index: usize) -> Result<Holder, Errno> {
    let mut lock = byte(index, libc::F_WRLCK);
    retry(|| fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)))?;
    if libc::c_int::from(lock.l_type) == libc::F_UNLCK {
        return Ok(Holder::Nobody);
    }
    Ok(if lock.l_pid == nix::unistd::getpid().as_raw() { Holder::Myself } else { Holder::Another })
}

fn byte(index: usize, kind: libc::c_int) -> libc::flock {
    #[expect(clippy::cast_possible_truncation, reason = "lock types and SEEK_SET are single digits")]
    let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    // A table longer than that cannot be mapped; should one come here all the same, its last byte is contended.
    let offset = i64::try_from(index).unwrap_or(i64::MAX).min(BASE - 2);
    libc::flock { l_type, l_whence, l_start: BASE + offset, l_len: 1, l_pid: 0 }
}

/// File systems over a network may be interrupted.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// [`io::Error`] of `errno`; allocates nothing.
pub(super) fn io_error(errno: Errno) -> io::Error {
    io::Error::from(errno)
}
