//! The pipe itself: each system call on it, wrapped once. Nothing here waits.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use interprocess::os::unix::unnamed_pipe;
use ipcq_core::os::directory::{FileId, above_stdio};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, FdFlag, OFlag, SpliceFFlags, fcntl, openat, tee};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{read, write};

use crate::record::LARGE;

/// What the kernel gives a pipe at a time.
pub(crate) const PAGE: usize = 4096;

#[allow(unsafe_code, reason = "the one ioctl")]
mod ioctl {
    nix::ioctl_read_bad!(fionread, nix::libc::FIONREAD, nix::libc::c_int);
}

/// A pipe, open for reading and writing, so that it keeps what is in it as long as this lives.
#[derive(Debug)]
pub(crate) struct Pipe {
    file: OwnedFd,
}

impl Pipe {
    /// A new pipe without a name.
    pub(crate) fn unnamed() -> io::Result<Self> {
        let (writer, _reader) = unnamed_pipe::pipe(true)?;
        Self::reopen(OwnedFd::from(writer).as_fd())
    }

    /// The pipe of which `end` is an end, or both, by a descriptor that shares its flags with nobody: who inherits
    /// one could be made to wait.
    pub(crate) fn reopen(end: BorrowedFd<'_>) -> io::Result<Self> {
        let path = format!("/proc/self/fd/{}", end.as_raw_fd());
        let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(AT_FDCWD, path.as_str(), flags, Mode::empty())?;
        Ok(Self { file: above_stdio(file)? })
    }

    pub(crate) fn id(&self) -> io::Result<FileId> {
        FileId::of(&self.file)
    }

    /// How many bytes it can hold, if each page is full.
    pub(crate) fn size(&self) -> io::Result<usize> {
        let size = fcntl(&self.file, FcntlArg::F_GETPIPE_SZ)?;
        Ok(usize::try_from(size).unwrap_or(0))
    }

    /// Makes it hold `bytes` at least.
    pub(crate) fn set_size(&self, bytes: usize) -> io::Result<()> {
        let bytes = i32::try_from(bytes).map_err(|_| Errno::EPERM)?;
        fcntl(&self.file, FcntlArg::F_SETPIPE_SZ(bytes))?;
        Ok(())
    }

    /// Writes as many of `bytes` as there is room for; up to a page go in whole or not at all.
    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            match write(&self.file, bytes) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(0),
                outcome => return outcome,
            }
        }
    }

    /// Reads what is there, up to the length of `bytes`.
    #[inline]
    pub(crate) fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match read(&self.file, bytes) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(0),
                outcome => return outcome,
            }
        }
    }

    /// Reads `bytes` into the memory of `words`, all of them or none.
    pub(crate) fn read_into(&self, words: &[AtomicU64], bytes: usize) -> Result<(), Errno> {
        if bytes > size_of_val(words) {
            return Err(Errno::EINVAL);
        }
        loop {
            // SAFETY: the descriptor is open, and the kernel writes no more than `bytes` into the words, which are atomics
            // and so may be written through a shared reference; others load them one by one.
            #[allow(unsafe_code, reason = "nobody may have a reference to bytes that others write")]
            let read = unsafe { libc::read(self.file.as_raw_fd(), words.as_ptr().cast_mut().cast(), bytes) };
            match Errno::result(read).map(usize::try_from) {
                Err(Errno::EINTR) => {}
                Ok(Ok(read)) if read == bytes => return Ok(()),
                Err(errno) => return Err(errno),
                Ok(_) => return Err(Errno::EIO),
            }
        }
    }

    /// How many bytes are in it.
    pub(crate) fn len(&self) -> Result<usize, Errno> {
        let mut bytes = 0;
        // SAFETY: the descriptor is open, and the kernel writes one int.
        #[allow(unsafe_code, reason = "the one ioctl")]
        unsafe {
            ioctl::fionread(self.file.as_raw_fd(), &raw mut bytes)?;
        }
        Ok(usize::try_from(bytes).unwrap_or(0))
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A look at the first record of a pipe without taking it: the kernel copies it to a pipe of one's own.
#[derive(Debug)]
pub(crate) struct Peek {
    writer: OwnedFd,
    reader: OwnedFd,
}

impl Peek {
    /// Takes two descriptors, for as long as this lives.
    pub(crate) fn new() -> io::Result<Self> {
        let (writer, reader) = unnamed_pipe::pipe(true)?;
        let (writer, reader) = (OwnedFd::from(writer), OwnedFd::from(reader));
        for end in [&writer, &reader] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        Ok(Self { writer, reader })
    }

    /// The first `size` bytes in `pipe`, or as many as are there.
    pub(crate) fn first(&self, pipe: &Pipe, size: usize) -> Result<([u8; LARGE], usize), Errno> {
        let mut record = [0; LARGE];
        let size = size.min(LARGE);
        let copied = match tee(pipe, &self.writer, size, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Err(Errno::EAGAIN) => 0,
            outcome => outcome?,
        };
        if copied == 0 {
            return Ok((record, 0));
        }
        let read = read(&self.reader, &mut record[..size])?;
        Ok((record, read))
    }
}
