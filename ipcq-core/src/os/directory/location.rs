//! Which directory: found from the environment, opened or made.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, mkdirat};
use nix::unistd::geteuid;

use super::files::QueueDirectory;
use crate::error::BackendErrorKind;
use crate::os::failure::Failure;

/// Opens a directory to reach files through it; needs no right to list it.
const REACH: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Where queue files live; nothing is opened or made yet.
///
/// The default directory, private and in memory, is trusted only as far as it is the user's own, with mode 0700
/// and no link: in a directory that everybody may write, somebody else may have made it. A directory that was
/// chosen (`IPCQ_DIR`) is made with mode 0700, with its parents, if it is not there, and else taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    path: PathBuf,
}

impl Location {
    /// `IPCQ_DIR`, or the default directory when that is unset or empty.
    #[must_use]
    pub fn from_env() -> Self {
        match std::env::var_os("IPCQ_DIR").filter(|path| !path.is_empty()) {
            Some(path) => Self::at(path),
            None => Self::default_of_user(),
        }
    }

    /// The directory `path`. A relative path is completed now, so that it means the same in every process and
    /// after a change of the working directory.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path: std::path::absolute(&path).unwrap_or(path) }
    }

    /// `/dev/shm/ipcq-UID`, for the effective user.
    #[must_use]
    pub fn default_of_user() -> Self {
        Self { path: PathBuf::from(format!("/dev/shm/ipcq-{}", geteuid())) }
    }

    /// The path, absolute unless the working directory is gone.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory; makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or reached, or when it is the default one and not safe to use.
    pub fn open_or_create(&self) -> Result<QueueDirectory, Failure> {
        self.reach(true)
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// [`Failure::is_missing`] when it is not there; else as [`open_or_create`](Self::open_or_create).
    pub fn open(&self) -> Result<QueueDirectory, Failure> {
        self.reach(false)
    }

    fn reach(&self, create: bool) -> Result<QueueDirectory, Failure> {
        let private = *self == Self::default_of_user();
        let reached = walk(&self.path, create, private);
        let directory = reached.map_err(|error| self.unreachable(error, private))?;
        if private {
            self.check_private(&directory)?;
        }
        Ok(QueueDirectory::new(directory, self.path.clone()))
    }

    fn unreachable(&self, error: io::Error, private: bool) -> Failure {
        let link = private && matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP));
        if link {
            return self.refused("it is a link or no directory", error);
        }
        let what = format!("its directory {} cannot be used", self.path.display());
        match error.raw_os_error() {
            Some(libc::ENOTDIR | libc::ELOOP) => Failure::new(what, error)
                .with_advice("a part of the path is no directory: set IPCQ_DIR to another one"),
            _ if private => Failure::new(what, error)
                .with_advice("make /dev/shm usable, or set IPCQ_DIR to a directory of your own"),
            _ => Failure::new(what, error),
        }
    }

    fn check_private(&self, directory: &OwnedFd) -> Result<(), Failure> {
        let stat = fstat(directory).map_err(|errno| self.unreachable(errno.into(), true))?;
        let refuse = |why: String| Err(self.refused(&why, Errno::EPERM.into()));
        if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFDIR.bits() {
            return refuse("it is no directory".to_owned());
        }
        if stat.st_uid != geteuid().as_raw() {
            return refuse(format!("it belongs to user {} and not to user {}", stat.st_uid, geteuid()));
        }
        let mode = stat.st_mode & 0o777;
        if mode != 0o700 {
            return refuse(format!("its mode is {mode:o} and not 700"));
        }
        Ok(())
    }

    fn refused(&self, why: &str, cause: io::Error) -> Failure {
        let path = self.path.display();
        Failure::new(format!("the directory {path} is not safe to use: {why}"), cause)
            .with_kind(BackendErrorKind::Denied)
            .with_advice(format!(
                "remove it, or make it yours alone (chmod 700 {path}), or set IPCQ_DIR to a directory of your own"
            ))
    }
}

/// Goes down `path` one component at a time, which works for paths longer than the kernel takes at once.
///
/// `last_is_no_link` refuses a link in place of the last component; links elsewhere are followed, for the caller
/// chose the path.
fn walk(path: &Path, create: bool, last_is_no_link: bool) -> io::Result<OwnedFd> {
    let mut at = openat(nix::fcntl::AT_FDCWD, ".", REACH, Mode::empty());
    if path.is_absolute() {
        at = openat(nix::fcntl::AT_FDCWD, "/", REACH, Mode::empty());
    }
    let mut at = at?;
    let mut names: Vec<OsString> = path.components().filter_map(step).map(OsStr::to_owned).collect();
    let last = names.pop();
    for name in &names {
        at = enter(&at, name, REACH, create)?;
    }
    let flags = if last_is_no_link { REACH.union(OFlag::O_NOFOLLOW) } else { REACH };
    match last {
        Some(name) => enter(&at, &name, flags, create),
        None => Ok(at),
    }
}

fn step(component: Component<'_>) -> Option<&OsStr> {
    match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }
}

/// Opens the directory `name` in `at`; makes it, with mode 0700 whatever the umask says, when it is not there.
fn enter(at: &OwnedFd, name: &OsStr, flags: OFlag, create: bool) -> io::Result<OwnedFd> {
    match openat(at, name, flags, Mode::empty()) {
        Err(Errno::ENOENT) if create => {}
        result => return Ok(result?),
    }
    match mkdirat(at, name, Mode::S_IRWXU) {
        Ok(()) => fchmodat(at, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?,
        // Another process was faster.
        Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(openat(at, name, flags, Mode::empty())?)
}
