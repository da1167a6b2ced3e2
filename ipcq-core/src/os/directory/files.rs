//! The files in an open directory: made without a name, published at once, found, removed, listed.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, geteuid, linkat, unlinkat};

use crate::QueueName;
use crate::error::BackendErrorKind;
use crate::os::failure::Failure;

/// Tells one file from all others that exist at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
}

impl FileId {
    /// The file that `descriptor` is open on.
    ///
    /// # Errors
    /// When it is no descriptor.
    pub fn of(descriptor: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(fstat(descriptor)?))
    }
}

impl From<FileStat> for FileId {
    fn from(stat: FileStat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// What became of a file that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// There was none of that name.
    Missing,
    /// The name stands for another file, which is as it was.
    Replaced,
}

/// An open directory of queue files.
#[derive(Debug)]
pub struct QueueDirectory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl QueueDirectory {
    pub(super) const fn new(descriptor: OwnedFd, path: PathBuf) -> Self {
        Self { descriptor, path }
    }

    /// The name of the file of the queue `name` on `transport`: `jobs.shm`.
    #[must_use]
    pub fn file_name(name: &QueueName, transport: &str) -> String {
        format!("{name}.{transport}")
    }

    /// A path that leads to `file_name` in this very directory, for calls that take a path: good for as long as this
    /// value lives, and in this process alone.
    #[must_use]
    pub fn entry_path(&self, file_name: &str) -> PathBuf {
        Path::new(&own_descriptor(self.descriptor.as_fd())).join(file_name)
    }

    /// The path that it was opened by: for people, and for handles that travel.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new file for reading and writing that has no name, is in this directory's file system, and vanishes with
    /// its last descriptor unless it is published. Its permission bits are `mode`, whatever the umask says.
    ///
    /// # Errors
    /// When there is no room, or the file system has no such files.
    pub fn create_unnamed(&self, mode: u32) -> Result<OwnedFd, Failure> {
        let mode = Mode::from_bits_truncate(mode);
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let file = openat(&self.descriptor, c".", flags, mode).map_err(|errno| self.no_unnamed(errno))?;
        let file = above_stdio(file).map_err(|error| self.failed("no file could be made in", error))?;
        fchmod(&file, mode).map_err(|errno| self.failed("the mode could not be set of a file in", errno))?;
        Ok(file)
    }

    /// Gives an unnamed file its name, at one instant.
    ///
    /// # Errors
    /// [`Failure::exists`] when the name is taken.
    pub fn publish(&self, file: BorrowedFd<'_>, file_name: &str) -> Result<(), Failure> {
        let by_number = own_descriptor(file);
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, by_number.as_str(), &self.descriptor, file_name, follow)
            .map_err(|errno| self.failed(&format!("the file {file_name} could not be published in"), errno))
    }

    /// Looks up `file_name` without opening what it stands for.
    ///
    /// # Errors
    /// [`Failure::is_missing`] when there is none.
    pub fn find(&self, file_name: &str) -> Result<Found, Failure> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let failed = |errno| self.failed(&format!("there is no access to {file_name} in"), errno);
        let descriptor = openat(&self.descriptor, file_name, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&descriptor).map_err(failed)?;
        Ok(Found { descriptor, stat, what: format!("the file {}", self.path.join(file_name).display()) })
    }

    /// Checks whether this user may remove `found`, without removing it.
    ///
    /// # Errors
    /// When the directory may not be changed, or is one in which only owners may remove.
    pub fn check_removal(&self, found: &Found) -> Result<(), Failure> {
        let failed = |errno| self.failed("nothing may be removed from", errno);
        let may = AccessFlags::W_OK | AccessFlags::X_OK;
        faccessat(&self.descriptor, ".", may, AtFlags::AT_EACCESS).map_err(failed)?;
        let directory = fstat(&self.descriptor).map_err(failed)?;
        let user = geteuid().as_raw();
        let sticky = directory.st_mode & Mode::S_ISVTX.bits() != 0;
        let owner = [0, directory.st_uid, found.stat.st_uid].contains(&user);
        if sticky && !owner { Err(failed(Errno::EPERM)) } else { Ok(()) }
    }

    /// Removes `file_name` if it is still the file `id`.
    ///
    /// Processes that remove exclude each other by a lock of the directory, so that none takes away what was
    /// made after another had removed the old one. The lock is waited for 10 ms: who is stopped while holding it
    /// delays nobody longer, and leaves only the instant between the last look and the removal unguarded.
    ///
    /// # Errors
    /// When the directory may not be changed.
    pub fn unlink_if(&self, file_name: &str, id: FileId) -> Result<Removal, Failure> {
        let _lock = self.lock(FlockArg::LockExclusiveNonblock, 10);
        self.unlink(file_name, id)
    }

    /// Removes `file_name` if it is still the file `id`, and `useless` says so while nobody
    /// [holds off removals](Self::hold_off_removals); else says that it was replaced.
    ///
    /// # Errors
    /// When the directory may not be changed.
    pub fn unlink_if_useless(
        &self,
        file_name: &str,
        id: FileId,
        useless: impl FnOnce() -> bool,
    ) -> Result<Removal, Failure> {
        let Some(_lock) = self.lock(FlockArg::LockExclusiveNonblock, 10) else {
            return Ok(Removal::Replaced);
        };
        if useless() { self.unlink(file_name, id) } else { Ok(Removal::Replaced) }
    }

    /// Keeps others from [removing what is useless](Self::unlink_if_useless) until the returned value is dropped:
    /// for one who makes a file and then says that it is of use.
    ///
    /// # Blocking
    /// While somebody removes a file; for 2 s at most, which only one who was stopped in the middle of it takes.
    ///
    /// # Errors
    /// When the directory cannot be locked.
    pub fn hold_off_removals(&self) -> Result<HoldOff, Failure> {
        let locked = self.lock(FlockArg::LockSharedNonblock, 2000);
        locked.map(HoldOff).ok_or_else(|| self.failed("somebody who was stopped has locked", Errno::EAGAIN))
    }

    fn unlink(&self, file_name: &str, id: FileId) -> Result<Removal, Failure> {
        let failed = |errno| self.failed(&format!("the file {file_name} could not be removed from"), errno);
        match fstatat(&self.descriptor, file_name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(Removal::Missing),
            Err(errno) => return Err(failed(errno)),
            Ok(stat) if FileId::from(stat) != id => return Ok(Removal::Replaced),
            Ok(_) => {}
        }
        match unlinkat(&self.descriptor, file_name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(Removal::Removed),
            Err(Errno::ENOENT) => Ok(Removal::Missing),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// The queues of `transport` that have an entry here, sorted, whatever the entries are, directories excepted.
    ///
    /// # Errors
    /// When the directory may not be read.
    pub fn list(&self, transport: &str) -> Result<Vec<QueueName>, Failure> {
        let suffix = format!(".{transport}");
        let files = self.files()?;
        let stems = files.iter().filter_map(|file| file.strip_suffix(&suffix));
        let mut names: Vec<_> = stems.filter_map(|stem| QueueName::new(stem).ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The names of everything that is here, directories excepted, in no order.
    ///
    /// # Errors
    /// When the directory may not be read.
    pub fn files(&self) -> Result<Vec<String>, Failure> {
        let failed = |error: io::Error| self.failed("there is no reading", error);
        let mut names = Vec::new();
        for entry in fs::read_dir(own_descriptor(self.descriptor.as_fd())).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            names.extend(entry.file_name().into_string().ok().filter(|_| !is_directory));
        }
        Ok(names)
    }

    /// `None` when it cannot be had in as many milliseconds: removal is then as safe as a look just before it makes
    /// it.
    fn lock(&self, how: FlockArg, patience: u32) -> Option<Flock<File>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(&self.descriptor, c".", flags, Mode::empty()).ok()?;
        let mut directory = File::from(directory);
        for _ in 0..patience {
            match Flock::lock(directory, how) {
                Ok(lock) => return Some(lock),
                Err((unlocked, _)) => directory = unlocked,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    fn no_unnamed(&self, errno: Errno) -> Failure {
        match errno {
            Errno::EOPNOTSUPP | Errno::EISDIR => self
                .failed("files without a name (O_TMPFILE) cannot be made on the file system of", errno)
                .with_kind(BackendErrorKind::Unsupported)
                .with_advice("set IPCQ_DIR to a directory on tmpfs, ext4, xfs or btrfs"),
            Errno::ENOENT => self
                .failed("no file could be made in", errno)
                .with_advice("the directory was removed: make it again, or set IPCQ_DIR to another one"),
            _ => self.failed("no file could be made in", errno),
        }
    }

    fn failed(&self, what: &str, cause: impl Into<io::Error>) -> Failure {
        Failure::new(format!("{what} the directory {}", self.path.display()), cause.into())
    }
}

/// As long as this lives, nobody removes what is useless; see [`QueueDirectory::hold_off_removals`].
#[derive(Debug)]
#[must_use = "removals are held off only as long as this lives"]
pub struct HoldOff(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// To make in this directory what is no regular file.
impl AsFd for QueueDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A file that was looked up and is not open: dropping this releases none of the record locks that this process
/// holds on the file, as closing an open descriptor would.
#[derive(Debug)]
pub struct Found {
    descriptor: OwnedFd,
    stat: FileStat,
    what: String,
}

impl Found {
    /// Which file it is.
    #[must_use]
    pub fn id(&self) -> FileId {
        FileId::from(self.stat)
    }

    /// Whether it is a socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits()
    }

    /// A descriptor that stands for this file and does not open it (`O_PATH`).
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    /// Opens exactly this file, for reading and writing, even if its name stands for another by now. Never waits,
    /// and never opens anything but a regular file.
    ///
    /// # Errors
    /// When it is no regular file, or the user may not open it.
    pub fn open(&self) -> Result<OwnedFd, Failure> {
        self.open_as(SFlag::S_IFREG, "regular file", OFlag::O_RDWR)
    }

    /// Opens exactly this FIFO as a writer, if it has a reader. Never waits, and never opens anything else. With
    /// the descriptor the FIFO keeps what is in it, even if the reader goes.
    ///
    /// # Errors
    /// `ENXIO` when it has no reader; when it is no FIFO, or the user may not open it.
    pub fn open_fifo(&self) -> Result<OwnedFd, Failure> {
        self.open_as(SFlag::S_IFIFO, "FIFO", OFlag::O_WRONLY)
    }

    /// Opens exactly this FIFO for reading and writing, which makes the caller one that holds it open, whether or not
    /// others do. Never waits, and never opens anything else.
    ///
    /// # Errors
    /// When it is no FIFO, or the user may not open it.
    pub fn open_fifo_as_holder(&self) -> Result<OwnedFd, Failure> {
        self.open_as(SFlag::S_IFIFO, "FIFO", OFlag::O_RDWR)
    }

    fn open_as(&self, kind: SFlag, what: &str, access: OFlag) -> Result<OwnedFd, Failure> {
        if self.stat.st_mode & SFlag::S_IFMT.bits() != kind.bits() {
            return Err(Failure::new(format!("{} is no {what}", self.what), Errno::EINVAL.into())
                .with_kind(BackendErrorKind::Damaged)
                .with_advice("something else made it: remove it, or use another name"));
        }
        let failed = |cause: io::Error| Failure::new(format!("{} could not be opened", self.what), cause);
        let by_number = own_descriptor(self.descriptor.as_fd());
        let flags = access | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = openat(AT_FDCWD, by_number.as_str(), flags, Mode::empty());
        above_stdio(file.map_err(|errno| failed(errno.into()))?).map_err(failed)
    }
}

/// Moves a new descriptor out of the place of the standard streams, where a child's streams would replace it.
///
/// Only for files on which this process holds no lock yet.
///
/// # Errors
/// When there are no descriptors left.
pub fn above_stdio(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(descriptor);
    }
    // `try_clone` takes a number above the standard streams.
    descriptor.try_clone()
}

/// The path of this process's descriptor, through which the kernel finds the file itself.
fn own_descriptor(descriptor: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_no_file_could_be_made_is_told_apart() -> io::Result<()> {
        let directory = QueueDirectory::new(fs::File::open("/")?.into(), PathBuf::from("/queues"));
        let unsupported = directory.no_unnamed(Errno::EOPNOTSUPP);
        assert_eq!(unsupported.kind(), BackendErrorKind::Unsupported);
        assert_eq!(
            unsupported.to_string(),
            "files without a name (O_TMPFILE) cannot be made on the file system of the directory /queues; set \
             IPCQ_DIR to a directory on tmpfs, ext4, xfs or btrfs"
        );
        assert!(directory.no_unnamed(Errno::ENOENT).to_string().contains("the directory was removed"));
        assert_eq!(directory.no_unnamed(Errno::ENOSPC).kind(), BackendErrorKind::NoRoom);
        Ok(())
    }
}
