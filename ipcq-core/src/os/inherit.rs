//! Passing the descriptor of a queue to a child that a [`Command`] starts.
//!
//! The parent leaves the descriptor open over `exec` and writes its number into the child's environment, in
//! `IPCQ_INHERITED_SHM` for the transport `shm`: a comma-separated list, in the order of the calls, of
//! `NUMBER:DEVICE:INODE`. The last two say which file the descriptor was: a process further down that inherits the
//! variable and not the descriptor has something else of that number, or nothing, and must not take it.
//!
//! A variable set on the command by hand replaces the list, and `env_clear` empties it: clear the environment
//! first, then share.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::directory::FileId;
use super::participants::{Slot, Table};

/// What can be passed to a child: keeps its descriptor open, and its slots mapped, as long as it lives.
///
/// # Safety
/// Both methods run in the child between `fork` and `exec`: they return what the value holds, take no lock and
/// allocate nothing.
pub unsafe trait Inheritable: Send + Sync + 'static {
    /// The one descriptor of the queue's file that this process has.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// The slots of the queue; empty when a child is never registered.
    fn slots(&self) -> &[Slot];
}

/// Lets every process that `command` starts from now on inherit `queue`, and with `register` makes it a producer
/// before `spawn` returns. Returns the queue's number among those shared on this command by this transport.
///
/// The queue stays open in this process as long as `command` lives. Each `spawn` registers its child anew, in a
/// slot of its own. `spawn` fails with `EUSERS` when no slot is free for the child. A child that is registered and
/// then cannot run its program has been a producer, and has left. A queue shared twice on one command has two
/// numbers and is registered once. Other hooks of the command must leave the descriptor alone.
///
/// # Errors
/// When the descriptor is not open, or is one of the standard streams, which the child's would replace.
pub fn share_with<Q: Inheritable>(
    command: &mut Command,
    transport: &str,
    queue: Arc<Q>,
    register: bool,
) -> io::Result<usize> {
    let number = queue.descriptor().as_raw_fd();
    if number <= nix::libc::STDERR_FILENO {
        return Err(io::Error::from(nix::errno::Errno::EBADF));
    }
    let entry = Inherited { descriptor: number, file: FileId::of(queue.descriptor())? };
    let variable = variable_name(transport);
    let mut list = value_on(command, &variable).unwrap_or_default();
    let place = entries(&list).count();
    if !list.is_empty() {
        list.push(",");
    }
    list.push(entry.to_string());
    command.env(variable, list);
    let in_child = move || prepare_child(queue.as_ref(), register);
    // SAFETY: between fork and exec the closure calls `fcntl` and `getpid` and changes atomics; it takes no lock,
    // allocates nothing (as the trait demands of its two methods), and its errors are plain numbers. What it refers to is kept alive by the `Arc` in it.
    unsafe { command.pre_exec(in_child) };
    Ok(place)
}

/// Runs in the child between `fork` and `exec`.
fn prepare_child<Q: Inheritable>(queue: &Q, register: bool) -> io::Result<()> {
    let descriptor = queue.descriptor();
    if register {
        Table::new(descriptor, queue.slots()).register_in_child()?;
    }
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// A descriptor that this process inherited, and which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    descriptor: RawFd,
    file: FileId,
}

impl Inherited {
    /// The queue with this number that the parent shared by `transport`; `None` when it shared fewer, or when the
    /// descriptor is not open any more or is another file by now.
    #[must_use]
    pub fn find(transport: &str, number: usize) -> Option<Self> {
        let list = std::env::var_os(variable_name(transport))?;
        entries(&list).nth(number).flatten().filter(|entry| entry.is_open())
    }

    /// The inherited descriptor of `file`, if there is one. A process that opens by name what it also inherited
    /// must use that one: closing a second descriptor would end its registration.
    #[must_use]
    pub fn of_file(transport: &str, file: FileId) -> Option<Self> {
        let list = std::env::var_os(variable_name(transport))?;
        entries(&list).flatten().find(|entry| entry.file == file && entry.is_open())
    }

    /// Which file it is.
    #[must_use]
    pub const fn file(&self) -> FileId {
        self.file
    }

    /// Takes the descriptor over; children inherit it no longer by accident.
    ///
    /// # Errors
    /// When it is not open any more, or another file by now.
    ///
    /// # Safety
    /// Nothing else in this process may own this descriptor: take it once, under a lock, and look in the process's
    /// table of open files by [`file`](Self::file) first.
    pub unsafe fn take(self) -> io::Result<OwnedFd> {
        if !self.is_open() {
            return Err(io::Error::from(nix::errno::Errno::EBADF));
        }
        // SAFETY: it is open, and the caller vouches that nobody else owns it.
        let owned = unsafe { OwnedFd::from_raw_fd(self.descriptor) };
        fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(owned)
    }

    fn is_open(&self) -> bool {
        if self.descriptor <= nix::libc::STDERR_FILENO {
            return false;
        }
        // SAFETY: the number is not -1, and is used for one `fstat`, which may find it closed.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        FileId::of(descriptor).is_ok_and(|file| file == self.file)
    }

    fn parse(entry: &str) -> Option<Self> {
        let mut fields = entry.split(':');
        let descriptor = fields.next()?.parse().ok()?;
        let device = fields.next()?.parse().ok()?;
        let inode = fields.next()?.parse().ok()?;
        fields.next().is_none().then_some(Self { descriptor, file: FileId { device, inode } })
    }
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.descriptor, self.file.device, self.file.inode)
    }
}

fn variable_name(transport: &str) -> String {
    format!("IPCQ_INHERITED_{}", transport.to_ascii_uppercase())
}

/// What earlier calls set on this command. What this process itself inherited is not passed on: its numbers are
/// not those of the child's queues.
fn value_on(command: &Command, variable: &str) -> Option<OsString> {
    let (_, value) = command.get_envs().find(|(key, _)| *key == OsStr::new(variable))?;
    value.map(OsStr::to_owned)
}

/// The entries of a list; `None` for one that makes no sense, which keeps the numbers of the others.
fn entries(list: &OsStr) -> impl Iterator<Item = Option<Inherited>> {
    let list = list.to_str().unwrap_or_default();
    list.split(',').filter(|entry| !entry.is_empty()).map(Inherited::parse)
}
