//! Other processes: whether they live, and whether they are stopped.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A handle of the process `pid`, which is readable once it is dead; `None` when it is.
pub(crate) fn handle_of(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(handle) => Ok(Some(handle)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the process of `handle` is dead.
pub(crate) fn is_dead(handle: impl AsFd) -> bool {
    let mut handles = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    poll(&mut handles, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Whether the process `pid` is stopped, and so answers nobody.
pub(crate) fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state may hold anything, closing brackets included.
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['T', 't']))
}

/// How many file handles the process `pid` may have, where it has them all; nothing where that cannot be known.
pub(crate) fn handles_used_up(pid: i32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let soft =
        limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    let limit = soft.parse().ok()?;
    let used = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    (used as u64 >= limit).then_some(limit)
}
