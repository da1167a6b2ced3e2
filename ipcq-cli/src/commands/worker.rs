//! The processes of `demo` and `bench`: this program again, with the queues handed down to it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use ipcq_core::{Channel, Transport};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::{bench, demo};
use crate::args::{Role, WorkerArgs};
use crate::backend::Backends;
use crate::failure::Failure;

/// Processes that end with this value: whoever is still there is killed and waited for.
#[derive(Debug, Default)]
pub(super) struct Team {
    children: Vec<Child>,
}

impl Team {
    /// Starts a process which inherits `queues`, numbered in their order.
    pub(super) fn start(
        &mut self,
        transport: &dyn Transport,
        queues: &[&dyn Channel],
        role: Role,
        number: usize,
        messages: u32,
    ) -> Result<(), Failure> {
        // The file that runs, even where its name was given to another one since.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ipcq").stdin(Stdio::null());
        command.args(["--transport", transport.name(), "worker", role.as_str()]);
        command.args([number.to_string(), std::process::id().to_string(), messages.to_string()]);
        for queue in queues {
            queue.share_with(&mut command)?;
        }
        let child =
            command.spawn().map_err(|error| Failure::system("a process could not be started", &error))?;
        self.children.push(child);
        Ok(())
    }

    /// Waits until all have ended.
    pub(super) fn wait(mut self) -> Result<(), Failure> {
        let mut failed = None;
        for mut child in self.children.drain(..) {
            match child.wait() {
                Ok(status) if status.success() => {}
                Ok(status) => {
                    failed = Some(Failure::failed(format!("one of the processes failed: {status}")))
                }
                Err(error) => failed = Some(Failure::system("a process could not be waited for", &error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Fails when one that should still be at work has ended.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        for child in &mut self.children {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    return Err(Failure::failed(format!("one of the processes ended too early: {status}")));
                }
                Err(error) => return Err(Failure::system("a process could not be waited for", &error)),
            }
        }
        Ok(())
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
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
    match args.role {
        Role::DemoProducer => demo::produce(&*transport, args.messages),
        Role::DemoConsumer => demo::consume(&*transport),
        Role::BenchProducer | Role::BenchConsumer => bench::work(&*transport, args.role, args.number),
    }
}
