//! The group that all commands of a pipeline are in, and the process that ends them when `ipcq run` is killed.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp, getpid};

use crate::failure::Failure;
use crate::signals;

/// What the guard is told when the pipeline has come to its end by itself.
const DONE: &[u8] = b"done";

/// The group of the commands. Its first process is the guard, which outlives them: no id of another group can be mistaken
/// for it.
#[derive(Debug)]
pub(super) struct Group {
    guard: Child,
    id: Pid,
}

impl Group {
    /// Starts the guard.
    pub(super) fn start() -> Result<Self, Failure> {
        let failed = |error| Failure::system("a process could not be started", &error);
        // The file that runs, even where its name was given to another one since.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ipcq").arg("guard").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = command.spawn().map_err(failed)?;
        let id = i32::try_from(guard.id()).map_err(|_| Failure::failed("a process has no usable id"))?;
        Ok(Self { guard, id: Pid::from_raw(id) })
    }

    /// Starts `command` in the group.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.process_group(self.id.as_raw()).spawn()
    }

    /// Sends `signal` to all of the group. The guard holds back what asks it to end.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = killpg(self.id, signal);
    }

    /// Lets the guard end, and leaves alone what the commands have left running on purpose.
    pub(super) fn dismiss(mut self) {
        if let Some(mut stdin) = self.guard.stdin.take() {
            let _ = stdin.write_all(DONE);
        }
        let _ = self.guard.wait();
    }

    /// Ends whatever is still running.
    pub(super) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.guard.wait();
    }
}

/// What the guard does: it waits until `ipcq run` has ended, and ends the group if that was before its time.
pub(in crate::commands) fn watch() -> Result<(), Failure> {
    if getpgrp() != getpid() {
        // The group would be that of whoever has typed this.
        return Err(Failure::failed("this command is run by run; use that"));
    }
    signals::hold_all().map_err(|errno| Failure::system("signals cannot be held back", &errno.into()))?;
    let mut told = Vec::new();
    let _ = io::stdin().lock().read_to_end(&mut told);
    if told != DONE {
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    }
    Ok(())
}
