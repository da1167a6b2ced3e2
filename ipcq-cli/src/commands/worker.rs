//! The processes of `demo` and `bench`: this program again, with the queues handed down to it.

use std::io::Read;
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
        self.start_between([Stdio::null(), Stdio::inherit()], transport, queues, role, number, messages)
    }

    /// The same with this stdin and this stdout.
    pub(super) fn start_between(
        &mut self,
        [stdin, stdout]: [Stdio; 2],
        transport: &dyn Transport,
        queues: &[&dyn Channel],
        role: Role,
        number: usize,
        messages: u32,
    ) -> Result<(), Failure> {
        // The file that runs, even where its name was given to another one since.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ipcq").stdin(stdin).stdout(stdout);
        command.args(["--transport", transport.name(), "worker", role.as_str()]);
        command.args([number.to_string(), std::process::id().to_string(), messages.to_string()]);
        for queue in queues {
            queue.share_with(&mut command)?;
        }
        // What it says is said here, once.
        command.stderr(Stdio::piped());
        let child =
            command.spawn().map_err(|error| Failure::system("a process could not be started", &error))?;
        self.children.push(child);
        Ok(())
    }

    /// Waits until all have ended.
    pub(super) fn wait(mut self) -> Result<(), Failure> {
        let mut failed = None;
        while !self.children.is_empty() {
            if let Err(failure) = outcome(self.children.remove(0)) {
                failed.get_or_insert(failure);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Fails when one that should still be at work has ended.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        for place in 0..self.children.len() {
            match self.children[place].try_wait() {
                Ok(None) => {}
                Ok(Some(_)) => {
                    outcome(self.children.remove(place))?;
                    return Err(Failure::failed("one of the processes ended too early; try again"));
                }
                Err(error) => return Err(Failure::system("a process could not be waited for", &error)),
            }
        }
        Ok(())
    }
}

/// Waits for `child`, and says what it said when it failed.
fn outcome(mut child: Child) -> Result<(), Failure> {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        // It says a line at most; whatever else writes there is not for people.
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    let status =
        child.wait().map_err(|error| Failure::system("a process could not be waited for", &error))?;
    if status.success() {
        return Ok(());
    }
    let line = said.lines().find_map(|line| line.strip_prefix("ipcq: "));
    Err(line.map_or_else(
        || Failure::failed(format!("one of the processes failed ({status}); try again")),
        Failure::failed,
    ))
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
        _ => bench::work(&*transport, args.role, args.number),
    }
}
