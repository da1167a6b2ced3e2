//! A process that keeps a queue alive whose transport ends it with the last process that has it.
//!
//! The command that makes the queue starts its keeper, waits until that has made it, and returns. The keeper has a
//! session of its own and none of its maker's descriptors, so that it outlives terminal and pipeline. It ends when
//! the queue is removed, and its queue of dead letters, if it has one; the kernel tells it that something in the queue's
//! directory was deleted.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use ipcq_core::{
    BackendErrorKind, Capacity, Channel, CreateError, Lifetime, QueueName, QueueOptions, Transport,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd;

use crate::failure::Failure;

/// What a keeper says when the queue is there; anything else is why it is not.
const READY: &str = "ready";

/// What the maker answers once it has the queue; without it the keeper takes the queue away again, because nobody
/// knows of it.
const KEEP: &[u8] = b"keep";

/// What it says first when there was a queue of that name before.
const EXISTS: &str = "exists: ";

/// How often a keeper looks whether its queue is still there, where the kernel cannot tell it.
const LOOK: Duration = Duration::from_millis(250);

/// What a keeper finds when it looks for its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    There,
    Removed,
    /// It could not look: for want of descriptors, or because the directory was made unsafe. That may pass, and a
    /// keeper that ended would take the queue with it.
    Unknown,
}

/// Whether named queues of `transport` need a keeper to stay.
pub(crate) fn is_needed(transport: &dyn Transport) -> bool {
    transport.capabilities().lifetime != Lifetime::UntilRemoved
}

/// Starts a keeper that makes the queue `name` on `transport`, with the arguments `listen` besides, and returns the queue; or says that there is one of that
/// name already.
pub(crate) fn start(
    transport: &dyn Transport,
    name: &QueueName,
    options: &QueueOptions,
    listen: &[String],
) -> Result<Result<Arc<dyn Channel>, Failure>, Failure> {
    let failed =
        |error| Failure::system(&format!("the process that keeps queue {name} could not be started"), &error);
    // The file that runs, even where its name was given to another one since.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("ipcq")
        .args(["--transport", transport.name(), "keeper"])
        .args(arguments(name, options))
        .args(listen)
        // The C library can give back all of its first heap, and of others only what lies between pieces in use.
        .env("MALLOC_ARENA_MAX", "1");
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut keeper = streams.spawn().map_err(failed)?;
    let mut answer = String::new();
    if let Some(mut stdout) = keeper.stdout.take() {
        stdout.read_to_string(&mut answer).map_err(failed)?;
    }
    if answer == READY {
        return take(transport, name, keeper).map(Ok);
    }
    let status = keeper.wait().map_err(failed)?;
    if let Some(why) = answer.strip_prefix(EXISTS) {
        return Ok(Err(Failure::failed(why)));
    }
    let why =
        if answer.is_empty() { format!("the process that should keep it ended: {status}") } else { answer };
    Err(Failure::failed(why))
}

/// Opens the queue that `keeper` has made, and lets it keep it.
fn take(transport: &dyn Transport, name: &QueueName, mut keeper: Child) -> Result<Arc<dyn Channel>, Failure> {
    let channel = transport.open(name).map_err(Failure::from);
    let taken = channel.and_then(|channel| {
        let told = keeper.stdin.as_mut().map_or(Ok(()), tell);
        told.map_err(|error| Failure::system("the process that keeps the queue has ended", &error))?;
        Ok(channel)
    });
    if taken.is_err() {
        // It is gone when this says why there is none.
        drop(keeper.stdin.take());
        let _ = keeper.wait();
    }
    taken
}

/// Tells a keeper that its queue is wanted, and waits until it has given up this pipe, the last that it had of its maker.
fn tell(stdin: &mut ChildStdin) -> io::Result<()> {
    stdin.write_all(KEEP)?;
    loop {
        let mut closed = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
        match poll(&mut closed, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            waited => return waited.map(drop).map_err(io::Error::from),
        }
    }
}

/// How `options` are written on the command line of a keeper, which is that of `create`.
fn arguments(name: &QueueName, options: &QueueOptions) -> Vec<String> {
    let capacity = match options.wanted_capacity() {
        Capacity::Exactly(messages) => messages.to_string(),
        Capacity::Max => "max".to_owned(),
    };
    let mut arguments = vec![
        name.to_string(),
        format!("--capacity={capacity}"),
        format!("--max-message={}", options.message_limit()),
        format!("--mode={:o}", options.mode_bits()),
    ];
    if options.closes_by_itself() {
        arguments.push("--auto-close".to_owned());
    }
    if options.is_acknowledged() {
        arguments.push("--acknowledged".to_owned());
    }
    let limit = options.redelivery_limit().map(|times| format!("--max-redeliveries={times}"));
    let lease = options.lease_time().map(|time| format!("--lease={}", humantime::format_duration(time)));
    arguments.extend(limit.into_iter().chain(lease));
    arguments
}

/// Makes the queue `name`, says so, and keeps it until it is removed.
pub(crate) fn run(
    transport: &dyn Transport,
    name: &QueueName,
    options: &QueueOptions,
) -> Result<(), Failure> {
    let dead = name.of_dead_letters().ok().filter(|_| options.redelivery_limit().is_some());
    let had_dead = dead.as_ref().is_none_or(|dead| transport.open(dead).is_ok());
    let made = make(transport, name, options);
    let answer = made.as_ref().map_or_else(String::as_str, |_| READY);
    let said = io::stdout().write_all(answer.as_bytes()).and_then(|()| io::stdout().flush());
    let Ok(channel) = made else { return Ok(()) };
    let mut kept = vec![Kept { name: name.clone(), channel }];
    // Whoever made it, it is to stay as long as this queue may need it.
    let dead = dead.and_then(|name| transport.open(&name).ok().map(|channel| Kept { name, channel }));
    kept.extend(dead);
    if said.and_then(|()| let_go()).is_ok_and(|wanted| wanted) {
        wait_for_the_end(transport, kept);
        return Ok(());
    }
    for queue in kept.iter().take(if had_dead { 1 } else { 2 }) {
        if look(transport, queue) == Found::There {
            transport.remove(&queue.name)?;
        }
    }
    Ok(())
}

/// A queue that a keeper keeps.
struct Kept {
    name: QueueName,
    channel: Arc<dyn Channel>,
}

/// The queue, or the answer that says why there is none.
fn make(
    transport: &dyn Transport,
    name: &QueueName,
    options: &QueueOptions,
) -> Result<Arc<dyn Channel>, String> {
    detach().map_err(|error| {
        let failure = Failure::system("the process that keeps the queue could not detach itself", &error);
        failure.text().to_owned()
    })?;
    transport.create(name, options).map_err(|error| {
        let mark = if matches!(error, CreateError::Exists { .. }) { EXISTS } else { "" };
        format!("{mark}{}", Failure::from(error).text())
    })
}

/// Gives up the session and the working directory of the maker, and all its descriptors but the standard ones.
fn detach() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&descriptor| descriptor > 2)
        .collect();
    for descriptor in open {
        match unistd::close(descriptor) {
            // The directory that was read is closed already.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    unistd::setsid()?;
    Ok(unistd::chdir("/")?)
}

/// Gives up the standard descriptors, which tells the maker that it may go on; returns whether that wants the queue.
fn let_go() -> io::Result<bool> {
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    unistd::dup2_stderr(&null)?;
    unistd::dup2_stdout(&null)?;
    let mut answer = Vec::new();
    io::stdin().take(KEEP.len().try_into().unwrap_or(u64::MAX)).read_to_end(&mut answer)?;
    unistd::dup2_stdin(&null)?;
    Ok(answer == KEEP)
}

/// Waits until all of `kept` have been removed.
fn wait_for_the_end(transport: &dyn Transport, mut kept: Vec<Kept>) {
    // Before the first look, so that no removal falls between a look and the wait for the next.
    let directory = kept.first().and_then(|queue| queue.channel.identity().directory.as_deref());
    let watch = directory.and_then(|directory| watch(directory).ok());
    loop {
        let mut is_known = true;
        kept.retain(|queue| {
            let found = look(transport, queue);
            is_known &= found != Found::Unknown;
            found != Found::Removed
        });
        if kept.is_empty() {
            return;
        }
        // A user may have few watches: looking now and then does as well.
        if !is_known || watch.as_ref().is_none_or(|watch| watch.read_events().is_err()) {
            thread::sleep(LOOK);
        }
    }
}

fn look(transport: &dyn Transport, queue: &Kept) -> Found {
    let channel = &queue.channel;
    // The queue itself may know what could not be looked up by its name.
    let is_gone = || channel.is_closed().is_err_and(|error| error.kind() == BackendErrorKind::Gone);
    match transport.open(&queue.name) {
        Ok(found) if found.identity().incarnation == channel.identity().incarnation => Found::There,
        Err(error) if !error.is_missing() && !is_gone() => Found::Unknown,
        // One of the same name is another queue.
        _ => Found::Removed,
    }
}

/// Tells of every deletion in `directory`, and of its own.
fn watch(directory: &Path) -> nix::Result<Inotify> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let deletions = AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF;
    watch.add_watch(directory, deletions)?;
    Ok(watch)
}
