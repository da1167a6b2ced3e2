//! Mounts and process numbers that only this process sees.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

/// Gives this process namespaces of its own, in a user namespace where it may not have them otherwise.
///
/// # Errors
/// When the system allows neither.
pub(super) fn enter(kinds: CloneFlags) -> io::Result<()> {
    let (user, group) = (getuid(), getgid());
    match unshare(kinds) {
        Err(Errno::EPERM) => {
            unshare(CloneFlags::CLONE_NEWUSER | kinds)
                .map_err(|errno| io::Error::other(format!("neither root nor user namespaces: {errno}")))?;
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
            fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
        }
        outcome => outcome?,
    }
    if kinds.contains(CloneFlags::CLONE_NEWNS) {
        let own = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, own, None::<&str>)?;
    }
    Ok(())
}

/// Mounts a file system in memory, of `size` bytes, at `path`.
///
/// # Errors
/// When the system refuses.
pub(super) fn mount_memory(path: &Path, size: usize) -> io::Result<()> {
    let options = format!("size={size},mode=700");
    Ok(mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?)
}

/// Shows `file` in the place of `path`.
///
/// # Errors
/// When the system refuses.
pub(super) fn cover(path: &Path, file: &Path) -> io::Result<()> {
    Ok(mount(Some(file), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}
