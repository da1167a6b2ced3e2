//! A process that keeps a queue alive whose transport ends it with the last process that has it.
//!
//! The command that makes the queue starts its keeper, waits until that has made it, and returns. The keeper has a
//! session of its own and none of its maker's descriptors, so that it outlives terminal and pipeline. It ends when
//! the queue is removed; the kernel tells it that something in the queue's directory was deleted.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use ipcq_core::{Capacity, Channel, CreateError, Lifetime, QueueName, QueueOptions, Transport};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd;

use crate::failure::Failure;

/// What a keeper says when the queue is there; anything else is why it is not.
const READY: &str = "ready";

/// What it says first when there was a queue of that name before.
const EXISTS: &str = "exists: ";

/// How often a keeper looks whether its queue is still there, where the kernel cannot tell it.
const LOOK: Duration = Duration::from_millis(250);

/// Whether named queues of `transport` need a keeper to stay.
pub(crate) fn is_needed(transport: &dyn Transport) -> bool {
    transport.capabilities().lifetime != Lifetime::UntilRemoved
}

/// Starts a keeper that makes the queue `name` on `transport`, and returns once it has; or says that there is one of
/// that name already.
pub(crate) fn start(
    transport: &dyn Transport,
    name: &QueueName,
    options: &QueueOptions,
) -> Result<Result<(), Failure>, Failure> {
    let failed = |error| Failure::system("the process that keeps the queue could not be started", &error);
    // The file that runs, even where its name was given to another one since.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ipcq").args(["--transport", transport.name(), "keeper"]).args(arguments(name, options));
    let streams = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut keeper = streams.spawn().map_err(failed)?;
    let mut answer = String::new();
    if let Some(mut stdout) = keeper.stdout.take() {
        stdout.read_to_string(&mut answer).map_err(failed)?;
    }
    if answer == READY {
        return Ok(Ok(()));
    }
    let status = keeper.wait().map_err(failed)?;
    if let Some(why) = answer.strip_prefix(EXISTS) {
        return Ok(Err(Failure::failed(why)));
    }
    let why =
        if answer.is_empty() { format!("the process that should keep it ended: {status}") } else { answer };
    Err(Failure::failed(why))
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
    arguments
}

/// Makes the queue `name`, says so, and keeps it until it is removed.
pub(crate) fn run(
    transport: &dyn Transport,
    name: &QueueName,
    options: &QueueOptions,
) -> Result<(), Failure> {
    let made = make(transport, name, options);
    let answer = made.as_ref().map_or_else(String::as_str, |_| READY);
    let said = io::stdout().write_all(answer.as_bytes()).and_then(|()| io::stdout().flush());
    let Ok(channel) = made else { return Ok(()) };
    // Where the maker was killed, nobody asks for the queue any more.
    said.and_then(|()| let_go()).map_err(|error| Failure::system("a queue could not be kept", &error))?;
    wait_for_the_end(transport, name, &*channel);
    Ok(())
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

/// Gives up the session and all descriptors of the maker but the standard ones.
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
    Ok(())
}

/// Gives up the standard descriptors, which tells the maker that it may go, and the working directory.
fn let_go() -> io::Result<()> {
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    unistd::dup2_stdin(&null)?;
    unistd::dup2_stdout(&null)?;
    unistd::dup2_stderr(&null)?;
    Ok(unistd::chdir("/")?)
}

fn wait_for_the_end(transport: &dyn Transport, name: &QueueName, channel: &dyn Channel) {
    let is_there = || {
        let there = transport.open(name);
        there.is_ok_and(|found| found.identity().incarnation == channel.identity().incarnation)
    };
    let directory = channel.identity().directory.clone();
    let watch = directory.and_then(|directory| {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).ok()?;
        let deletions = AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        watch.add_watch(&directory, deletions).ok()?;
        Some(watch)
    });
    while is_there() {
        // A user may have few watches: looking now and then does as well.
        match watch.as_ref().map(Inotify::read_events) {
            Some(Ok(_)) => {}
            _ => thread::sleep(LOOK),
        }
    }
}
