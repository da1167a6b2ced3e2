//! A consumer of a pipeline: its command reads messages as lines.
//!
//! The command's pipe is as small as pipes can be, and is written to only when all of it has been read. So what a
//! command has and has not begun to read is little, others get the rest, and little is lost with a command that dies.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

use ipcq_core::{Batch, Channel, GetFault, Limit, Wait};
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::hands::Hands;
use crate::backend::label;
use crate::failure::Failure;

/// The least room that a pipe can have, in bytes: a page, which is either empty or full to a writer that waits.
const PAGE: usize = 4096;
/// The most lines that are handed over at once.
const MOST: usize = PAGE / 4;
/// How often a consumer without messages looks whether its command still reads.
const LOOK: Duration = Duration::from_millis(100);
/// A command that has read its lines within this time may get twice as many at once.
const QUICK: Duration = Duration::from_millis(1);
/// A command that needs longer for its lines gets the next one by itself, so that others get their share.
const SLOW: Duration = Duration::from_millis(10);

/// Hands messages to `child` until the queue is closed and drained, or the command does not read any more; then waits
/// for its end.
pub(super) fn serve(mut child: Child, queue: &dyn Channel, hands: &Hands) -> Result<ExitStatus, Failure> {
    let handed = child.stdin.take().map_or(Ok(()), |stdin| hand_over(stdin, queue, hands));
    let status =
        child.wait().map_err(|error| Failure::system("a command could not be waited for", &error))?;
    handed.map(|()| status)
}

fn hand_over(mut stdin: ChildStdin, queue: &dyn Channel, hands: &Hands) -> Result<(), Failure> {
    // With more room it works as well, and shares less evenly.
    let _ = fcntl(&stdin, FcntlArg::F_SETPIPE_SZ(i32::try_from(PAGE).unwrap_or(0)));
    let mut at_once = 1;
    let mut batch = Batch::new();
    loop {
        let before = Instant::now();
        if !await_reader(&stdin, PollTimeout::NONE) {
            return Ok(());
        }
        at_once = match before.elapsed() {
            time if time < QUICK => (at_once * 2).min(MOST),
            time if time > SLOW => 1,
            _ => at_once,
        };
        batch.clear();
        hands.take();
        if let Err(end) = next(&mut batch, at_once, queue, hands) {
            hands.done(std::iter::empty());
            match end {
                GetFault::Timeout if await_reader(&stdin, PollTimeout::ZERO) => continue,
                GetFault::Closed if hands.wait_for_returned() => continue,
                GetFault::Timeout | GetFault::Closed => return Ok(()),
                fault => return Err(Failure::get(&label(queue), &fault)),
            }
        }
        let written = write(&mut stdin, &batch);
        hands.done(batch.iter_from(written).map(<[u8]>::to_vec));
        if written < batch.len() {
            return Ok(());
        }
    }
}

/// Takes messages that another consumer gave back, or the next ones of the queue.
fn next(batch: &mut Batch, at_once: usize, queue: &dyn Channel, hands: &Hands) -> Result<(), GetFault> {
    // With their line ends they fit into the page: a command that copies what it reads would tear a line otherwise.
    let limit = Limit::messages(at_once).with_bytes(PAGE - at_once);
    hands.returned(batch, limit);
    if batch.is_empty() {
        queue.get_many(batch, limit, Wait::timeout(LOOK))?;
    }
    Ok(())
}

/// Waits until all that was written has been read. Returns whether there is anybody who reads.
fn await_reader(stdin: &ChildStdin, timeout: PollTimeout) -> bool {
    let mut pipe = [PollFd::new(stdin.as_fd(), PollFlags::POLLOUT)];
    while poll(&mut pipe, timeout) == Err(nix::errno::Errno::EINTR) {}
    !pipe[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Writes `batch` as lines. Returns how many are wholly in the pipe; fewer than there are when nobody reads any more.
fn write(stdin: &mut ChildStdin, batch: &Batch) -> usize {
    let mut lines = Vec::with_capacity(batch.byte_len() + batch.len());
    let mut ends = Vec::with_capacity(batch.len());
    for message in batch.iter() {
        lines.extend_from_slice(message);
        lines.push(b'\n');
        ends.push(lines.len());
    }
    let mut written = 0;
    while written < lines.len() {
        match stdin.write(&lines[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    ends.iter().filter(|&&end| end <= written).count()
}
