//! Which directory: found from the environment, opened or made.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
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
    /// Whether it is the default directory, and so must be the user's alone.
    private: bool,
}

impl Location {
    /// `IPCQ_DIR`, or the default directory when that is unset or empty.
    #[must_use]
    pub fn from_env() -> Self {
        Self::chosen(std::env::var_os("IPCQ_DIR"))
    }

    fn chosen(directory: Option<OsString>) -> Self {
        let directory = directory.filter(|path| !path.is_empty());
        directory.map_or_else(Self::default_of_user, Self::at)
    }

    /// The directory `path`. A relative path is completed now, so that it means the same in every process and
    /// after a change of the working directory. The path of the default directory means that one, with its rules.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let path = std::path::absolute(&path).unwrap_or(path);
        let private = path == default_path();
        Self { path, private }
    }

    /// `/dev/shm/ipcq-UID`, for the effective user.
    #[must_use]
    pub fn default_of_user() -> Self {
        Self { path: default_path(), private: true }
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
        let reached = walk(&self.path, create, self.private);
        let directory = reached.map_err(|error| self.unreachable(error))?;
        if self.private {
            self.check_private(&directory)?;
        }
        Ok(QueueDirectory::new(directory, self.path.clone()))
    }

    fn unreachable(&self, error: io::Error) -> Failure {
        let no_directory = matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP));
        if no_directory && self.private {
            return self.refused("it is a link or no directory", error);
        }
        let failure = Failure::new(format!("its directory {} cannot be used", self.path.display()), error);
        if no_directory {
            return failure.with_advice("a part of the path is no directory: set IPCQ_DIR to another one");
        }
        if failure.kind() == BackendErrorKind::NoRoom {
            return failure;
        }
        failure.with_advice("make it usable, or set IPCQ_DIR to a directory of your own")
    }

    fn check_private(&self, directory: &OwnedFd) -> Result<(), Failure> {
        let stat = fstat(directory).map_err(|errno| self.unreachable(errno.into()))?;
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

fn default_path() -> PathBuf {
    PathBuf::from(format!("/dev/shm/ipcq-{}", geteuid()))
}

/// Goes down `path` one component at a time, which works for paths longer than the kernel takes at once.
///
/// `last_is_no_link` refuses a link in place of the last component; links elsewhere are followed, for the caller
/// chose the path.
fn walk(path: &Path, create: bool, last_is_no_link: bool) -> io::Result<OwnedFd> {
    let start = if path.is_absolute() { c"/" } else { c"." };
    let mut at = openat(AT_FDCWD, start, REACH, Mode::empty())?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn private(path: impl Into<PathBuf>) -> Location {
        Location { path: path.into(), private: true }
    }

    fn refusal(location: &Location) -> String {
        let failure = location.open_or_create().expect_err("the directory is not safe");
        assert_eq!(failure.kind(), BackendErrorKind::Denied);
        let text = failure.to_string();
        assert!(text.contains("set IPCQ_DIR"), "{text}");
        text
    }

    #[test]
    fn the_environment_chooses() {
        assert_eq!(Location::chosen(None), Location::default_of_user());
        assert_eq!(Location::chosen(Some(OsString::new())), Location::default_of_user());
        assert_eq!(Location::chosen(Some("/a/b".into())).path(), Path::new("/a/b"));
        let relative = Location::chosen(Some("queues".into()));
        assert!(relative.path().is_absolute() && relative.path().ends_with("queues"));
        assert!(!relative.private);
    }

    #[test]
    fn the_default_directory_keeps_its_rules_under_every_spelling() {
        let path = default_path();
        assert!(Location::at(&path).private);
        assert!(Location::chosen(Some(path.into())).private);
        assert!(Location::default_of_user().path().starts_with("/dev/shm"));
    }

    #[test]
    fn a_private_directory_is_made_and_found_again() -> Tested {
        let parent = tempfile::tempdir()?;
        let location = private(parent.path().join("mine"));
        assert!(location.open().expect_err("it is not made yet").is_missing());
        location.open_or_create()?;
        location.open_or_create()?;
        location.open()?;
        assert_eq!(std::fs::metadata(location.path())?.permissions().mode() & 0o7777, 0o700);
        Ok(())
    }

    #[test]
    fn a_wide_private_directory_is_refused() -> Tested {
        let directory = tempfile::tempdir()?;
        for mode in [0o755, 0o770, 0o777, 0o500] {
            std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(mode))?;
            let text = refusal(&private(directory.path()));
            assert!(text.contains(&format!("its mode is {mode:o} and not 700")), "{text}");
            assert!(text.contains("chmod 700"), "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_private_directory_of_somebody_else_is_refused() -> Tested {
        let directory = tempfile::tempdir()?;
        // Only root can give a directory away; for everybody else the root directory is somebody else's.
        let path = if geteuid().is_root() {
            chown(directory.path(), Some(1), None)?;
            directory.path()
        } else {
            Path::new("/")
        };
        let text = refusal(&private(path));
        assert!(text.contains("it belongs to user"), "{text}");
        Ok(())
    }

    #[test]
    fn a_link_or_a_file_is_no_private_directory() -> Tested {
        let parent = tempfile::tempdir()?;
        let (target, link, file) =
            (parent.path().join("target"), parent.path().join("link"), parent.path().join("file"));
        private(&target).open_or_create()?;
        symlink(&target, &link)?;
        std::fs::write(&file, "")?;
        for path in [link, file] {
            let text = refusal(&private(path));
            assert!(text.contains("it is a link or no directory"), "{text}");
        }
        Ok(())
    }
}
