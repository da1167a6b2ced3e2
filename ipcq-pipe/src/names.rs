//! The two files of a named queue, and what is left of dead ones.
//!
//! `jobs.pipe` is the control file. It gets its name at one instant, when all is ready, which decides who made the
//! queue. `jobs.INCARNATION.fifo` is the pipe, made before that under a name that no other queue has; so nobody who
//! takes away an old queue's files can take a new one's. A queue lives as long as somebody holds its FIFO open; a
//! control file whose FIFO nobody holds is of a dead queue, and a FIFO that nobody holds is of no use, but for the
//! instant between making and opening it, during which its maker holds off removals.

use std::os::fd::AsFd;

use interprocess::os::unix::fifo_file::create_fifo;
use ipcq_core::os::directory::{FileId, QueueDirectory, Removal};
use ipcq_core::os::failure::Failure;
use ipcq_core::{BackendErrorKind, QueueName};
use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};

use crate::kernel::Pipe;

/// What the file names of FIFOs end with.
const SUFFIX: &str = ".fifo";

/// The name of the FIFO of a queue.
pub(crate) fn fifo_name(name: &QueueName, incarnation: u128) -> String {
    format!("{name}.{incarnation:032x}{SUFFIX}")
}

/// The name of the queue whose FIFO has this name.
fn queue_of(fifo: &str) -> Option<&str> {
    let (name, incarnation) = fifo.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    let is_number = incarnation.len() == 32 && incarnation.bytes().all(|b| b.is_ascii_hexdigit());
    is_number.then_some(name)
}

/// Makes a FIFO that this process holds open.
pub(crate) fn make_fifo(directory: &QueueDirectory, fifo: &str, mode: u32) -> Result<Pipe, Failure> {
    let failed = |source| Failure::new("its pipe could not be made", source);
    let _hold_off = directory.hold_off_removals()?;
    create_fifo(directory.entry_path(fifo), mode).map_err(|source| {
        let failure = failed(source);
        // EPERM is what a file system without FIFOs says.
        let forbidden = [Errno::EACCES, Errno::EROFS]
            .iter()
            .any(|errno| failure.cause().raw_os_error() == Some(*errno as i32));
        if forbidden || failure.kind() == BackendErrorKind::NoRoom {
            failure
        } else {
            failure.with_advice(NO_FIFO)
        }
    })?;
    let open = || -> Result<Pipe, Failure> {
        let file = directory.find(fifo)?.open_fifo_as_holder()?;
        fchmod(&file, Mode::from_bits_truncate(mode)).map_err(|errno| failed(errno.into()))?;
        Pipe::reopen(file.as_fd()).map_err(failed)
    };
    open().inspect_err(|_| unlink_fifo(directory, fifo))
}

const NO_FIFO: &str =
    "set IPCQ_DIR to a directory on a file system with FIFOs, such as tmpfs, ext4, xfs or btrfs";

/// Opens the FIFO of a queue that is alive, and makes this process one more holder; `None` when nobody holds it.
pub(crate) fn open_fifo(directory: &QueueDirectory, fifo: &str, id: FileId) -> Result<Option<Pipe>, Failure> {
    let found = match directory.find(fifo) {
        Ok(found) if found.id() == id => found,
        Ok(_) => return Ok(None),
        Err(failure) if failure.is_missing() => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let file = match found.open_fifo() {
        Err(failure) if has_no_holder(&failure) => return Ok(None),
        outcome => outcome?,
    };
    let failed = |source| Failure::new("its pipe could not be opened", source);
    Pipe::reopen(file.as_fd()).map(Some).map_err(failed)
}

/// Removes the FIFO `fifo`, whoever holds it.
pub(crate) fn unlink_fifo(directory: &QueueDirectory, fifo: &str) {
    if let Ok(found) = directory.find(fifo) {
        // Should it stay, it is removed when nobody holds it: by who makes a queue of this name, or collects garbage.
        let _ = directory.unlink_if(fifo, found.id());
    }
}

/// Removes every FIFO that nobody holds, of the queue `name` or of all; returns the names of their queues.
pub(crate) fn sweep(directory: &QueueDirectory, name: Option<&QueueName>) -> Result<Vec<String>, Failure> {
    let mut swept = Vec::new();
    for fifo in directory.files()? {
        let Some(queue) = queue_of(&fifo).filter(|queue| name.is_none_or(|name| name.as_str() == *queue))
        else {
            continue;
        };
        let Ok(found) = directory.find(&fifo) else { continue };
        let is_useless = || found.open_fifo().is_err_and(|failure| has_no_holder(&failure));
        if is_useless() && directory.unlink_if_useless(&fifo, found.id(), is_useless)? == Removal::Removed {
            swept.push(queue.to_owned());
        }
    }
    Ok(swept)
}

/// Removes every FIFO of the queue `name`, held or not: for a queue whose control file does not say which is its own.
pub(crate) fn unlink_all(directory: &QueueDirectory, name: &QueueName) -> Result<(), Failure> {
    let fifos = directory.files()?;
    let own = fifos.iter().filter(|fifo| queue_of(fifo) == Some(name.as_str()));
    own.for_each(|fifo| unlink_fifo(directory, fifo));
    Ok(())
}

fn has_no_holder(failure: &Failure) -> bool {
    failure.cause().raw_os_error() == Some(libc::ENXIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_fifo_says_which_queue_it_is_of() -> Result<(), Box<dyn std::error::Error>> {
        for text in ["jobs", "jobs.today", "a.b.fifo"] {
            let name = QueueName::new(text)?;
            assert_eq!(queue_of(&fifo_name(&name, u128::MAX)), Some(text));
            assert_eq!(queue_of(&fifo_name(&name, 7)), Some(text));
        }
        for other in ["jobs.fifo", "jobs.7.fifo", "jobs.pipe", "fifo", ""] {
            assert_eq!(queue_of(other), None);
        }
        Ok(())
    }
}
