//! The file behind a queue: the one descriptor that this process has of it, and its memory.
//!
//! Closing any descriptor of a file ends all record locks that the process has on it, and they say that it is
//! alive (see [`participants`](super::participants)): [`open_files`](super::open_files) sees to it that there is
//! only one.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::uio::pread;

use super::directory::{FileId, above_stdio};
use super::open_files::OpenFiles;

/// The most that one system call reserves, so that a signal cannot make it start over for ever.
const STEP: usize = 16 << 20;

/// The file of a queue, on a memory file system or anonymous.
#[derive(Debug)]
pub struct Storage<T: 'static> {
    file: ManuallyDrop<OwnedFd>,
    id: FileId,
    open_files: &'static OpenFiles<T>,
}

impl<T> Storage<T> {
    /// The storage in `file`, which stands in `open_files` until this is dropped.
    ///
    /// # Errors
    /// When it is no file.
    pub fn new(file: OwnedFd, open_files: &'static OpenFiles<T>) -> io::Result<Self> {
        Ok(Self { id: FileId::of(&file)?, file: ManuallyDrop::new(file), open_files })
    }

    /// Which file it is.
    #[must_use]
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// Reserves memory for `len` bytes at `at`, so that touching them cannot fail. What was reserved in vain
    /// when this fails is given back.
    ///
    /// # Errors
    /// When there is no room.
    pub fn reserve(&self, at: usize, len: usize) -> io::Result<()> {
        self.check_limit(at + len)?;
        let mut done = 0;
        while done < len {
            let step = STEP.min(len - done);
            match fallocate(&*self.file, FallocateFlags::empty(), offset(at + done)?, offset(step)?) {
                Ok(()) => done += step,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.release(at, done);
                    return Err(errno.into());
                }
            }
        }
        Ok(())
    }

    /// Whether the file may grow to `end`: the kernel would say no by a signal that ends the process.
    fn check_limit(&self, end: usize) -> io::Result<()> {
        let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
        if u64::try_from(end).is_ok_and(|end| end <= limit) || end <= self.len()? {
            return Ok(());
        }
        Err(Errno::EFBIG.into())
    }

    /// Gives the memory of a range back to the system. Should that fail, it stays in use until the next time.
    pub fn release(&self, at: usize, len: usize) {
        if len == 0 {
            return;
        }
        let (Ok(at), Ok(len)) = (offset(at), offset(len)) else { return };
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        while fallocate(&*self.file, flags, at, len) == Err(Errno::EINTR) {}
    }

    /// Sees to it that nobody can pull the memory of an [anonymous file](anonymous_file) from under the others.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn seal(&self) -> io::Result<()> {
        fcntl(&*self.file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL))?;
        Ok(())
    }

    /// The word at `at` in the file, as it is there: to read what has no memory yet through a mapping would take some,
    /// or end the process when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn word(&self, at: usize) -> io::Result<u64> {
        let mut word = [0; 8];
        pread(&*self.file, &mut word, offset(at)?)?;
        Ok(u64::from_ne_bytes(word))
    }

    /// How long the file is.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn len(&self) -> io::Result<usize> {
        Ok(usize::try_from(fstat(&*self.file)?.st_size).unwrap_or(0))
    }

    /// Whether the file has no bytes at all.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// How many bytes of memory it uses.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(fstat(&*self.file)?.st_blocks.unsigned_abs() * 512)
    }
}

/// A new file without a name, in memory, for [`Storage::new`].
///
/// # Errors
/// When there is no room.
pub fn anonymous_file() -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    above_stdio(memfd_create("ipcq", flags)?)
}

impl<T> AsFd for Storage<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl<T> AsRawFd for Storage<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl<T> Drop for Storage<T> {
    fn drop(&mut self) {
        self.open_files.close(self.id, || {
            // SAFETY: dropped here only, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        });
    }
}

fn offset(bytes: usize) -> io::Result<i64> {
    i64::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
