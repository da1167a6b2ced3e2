//! The processes of `demo` and `bench`: this program again, with the queues handed down to it.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use ipcq_cli::measure::{self, Work};
use ipcq_core::Transport;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::demo;
use crate::args::{Role, WorkerArgs};
use crate::backend::Backends;
use crate::failure::Failure;

/// What starts such a process; it inherits the queues that are shared with this command.
pub(super) fn command(transport: &dyn Transport, role: Role, number: usize, messages: u32) -> Command {
    // The file that runs, even where its name was given to another one since.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ipcq").stdin(Stdio::null());
    command.args(["--transport", transport.name(), "worker", role.as_str()]);
    command.args([number.to_string(), std::process::id().to_string(), messages.to_string()]);
    command
}

/// Does what one such process has to do.
pub(super) fn run(backends: &Backends, args: WorkerArgs) -> Result<(), Failure> {
    set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| Failure::system("the end of the parent cannot be noticed", &errno.into()))?;
    if getppid().as_raw() != args.parent {
        // It ended before it could be noticed.
        return Err(Failure::failed("this command is run by demo and bench; use one of them"));
    }
    let transport = backends.default()?;
    let (work, puts) = match args.role {
        Role::DemoProducer => return demo::produce(&*transport, args.messages),
        Role::DemoConsumer => return demo::consume(&*transport),
        Role::BenchProducer => (Work::Queues, true),
        Role::BenchConsumer => (Work::Queues, false),
        Role::RawProducer => (Work::Raw, true),
        Role::RawConsumer => (Work::Raw, false),
    };
    Ok(measure::work(&*transport, work, puts, args.number)?)
}
