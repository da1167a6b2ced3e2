//! `get --exec`: a command for each message.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{io, thread};

use ipcq_core::{Channel, DeliveryTag, GetFault, Wait};
use memchr::memmem;
use nix::unistd::{AccessFlags, access};

use super::terms::Terms;
use crate::backend::label;
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;
use crate::tally::messages;

/// What stands for the message in an argument.
const PLACE: &[u8] = b"{}";

/// What is run for each message.
#[derive(Debug)]
pub(super) struct Task {
    program: OsString,
    arguments: Vec<OsString>,
    /// Whether the message stands in an argument; else the command reads it.
    in_arguments: bool,
}

impl Task {
    /// The task that `words` on the command line are. Looks whether the program is there, before any message is taken
    /// for it.
    pub(super) fn new(words: &[OsString]) -> Result<Self, Failure> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Failure::failed("--exec needs a command; see `ipcq get --help`"));
        };
        if !is_program(program) {
            let program = program.to_string_lossy();
            return Err(Failure::failed(format!(
                "there is no program {program:?} to run; nothing was taken from the queue, install it or name another"
            )));
        }
        let in_arguments =
            arguments.iter().any(|argument| memmem::find(argument.as_bytes(), PLACE).is_some());
        Ok(Self { program: program.clone(), arguments: arguments.to_vec(), in_arguments })
    }

    /// Runs it with `message`, and waits for its end.
    fn run(&self, message: &[u8]) -> io::Result<ExitStatus> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments.iter().map(|argument| filled(argument, message)));
        if self.in_arguments {
            return command.stdin(Stdio::null()).status();
        }
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command need not read; what counts is how it ends.
            let _ = stdin.write_all(message);
        }
        child.wait()
    }
}

/// `argument` with `message` in every place for it.
fn filled(argument: &OsStr, message: &[u8]) -> OsString {
    let (mut bytes, mut rest) = (Vec::new(), argument.as_bytes());
    while let Some(place) = memmem::find(rest, PLACE) {
        bytes.extend_from_slice(&rest[..place]);
        bytes.extend_from_slice(message);
        rest = &rest[place + PLACE.len()..];
    }
    bytes.extend_from_slice(rest);
    OsString::from_vec(bytes)
}

/// Whether the system would find a program of that name.
fn is_program(name: &OsStr) -> bool {
    let can_run = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if name.as_bytes().contains(&b'/') {
        return can_run(Path::new(name));
    }
    let directories = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    !name.is_empty()
        && env::split_paths(&directories).any(|directory: PathBuf| can_run(&directory.join(name)))
}

/// Messages and what became of them, shared by all that run commands.
struct Work<'a> {
    channel: &'a dyn Channel,
    queue: String,
    terms: Terms,
    task: &'a Task,
    diagnostics: Diagnostics,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    /// How many messages were asked for.
    wanted: u64,
    /// How many came.
    taken: u64,
    /// How many commands did not end with status 0.
    failed: u64,
    /// Why no more messages come.
    end: Option<GetFault>,
}

/// Runs `task` for each message, `jobs` at once, until there are as many as wanted or no more come.
pub(super) fn run(
    channel: &dyn Channel,
    terms: Terms,
    task: &Task,
    jobs: usize,
    diagnostics: Diagnostics,
) -> Result<(), Failure> {
    let (queue, tally) = (label(channel), Mutex::default());
    let work = &Work { channel, queue, terms, task, diagnostics, tally };
    thread::scope(|scope| {
        for _ in 1..jobs.min(usize::try_from(terms.wanted()).unwrap_or(jobs)) {
            // With fewer threads than wanted it takes longer, and no harm is done.
            let _ = thread::Builder::new().spawn_scoped(scope, || work.work());
        }
        work.work();
    });
    work.outcome()
}

impl Work<'_> {
    fn work(&self) {
        let mut message = Vec::new();
        while let Some(tag) = self.next(&mut message) {
            let ended = self.task.run(&message);
            self.settle(tag.as_ref(), ended);
        }
    }

    /// Takes the next message, and of an acknowledged queue what it is to be [settled](Self::settle) by.
    fn next(&self, message: &mut Vec<u8>) -> Option<Option<DeliveryTag>> {
        if !self.with(|tally| tally.claim(self.terms.wanted())) {
            return None;
        }
        let mut wait = self.terms.wait();
        let got = loop {
            match self.take(message, wait) {
                Err(fault) => match self.terms.try_again(&fault, wait) {
                    Some(again) => wait = again,
                    None => break Err(fault),
                },
                got => break got,
            }
        };
        self.with(|tally| match got {
            Ok(tag) => {
                tally.taken += 1;
                Some(tag)
            }
            Err(fault) => {
                tally.end.get_or_insert(fault);
                None
            }
        })
    }

    fn take(&self, message: &mut Vec<u8>, wait: Wait) -> Result<Option<DeliveryTag>, GetFault> {
        if self.channel.identity().acknowledged {
            return self.channel.get_delivery(message, wait).map(Some);
        }
        self.channel.get(message, wait).map(|()| None)
    }

    /// Does what becomes of a message whose command `ended`. One of a plain queue was gone when it was taken, and a
    /// failure is only counted; one of an acknowledged queue is acknowledged now, or goes back.
    fn settle(&self, tag: Option<&DeliveryTag>, ended: io::Result<ExitStatus>) {
        let succeeded = match ended {
            Ok(status) if status.success() => true,
            Ok(status) => {
                self.diagnostics.detail(&format!("a command failed: {status}"));
                false
            }
            Err(error) => {
                let cause = crate::failure::cause(&error);
                self.diagnostics.note(&format!("the command could not be run with a message: {cause}"));
                false
            }
        };
        let settled = match tag {
            Some(tag) if succeeded => self.channel.acknowledge(tag),
            Some(tag) => self.channel.give_back(tag),
            None => Ok(()),
        };
        if let Err(fault) = settled {
            let queue = &self.queue;
            self.diagnostics
                .note(&format!("a message of queue {queue} is not this process's any more: {fault}"));
        }
        self.with(|tally| tally.failed += u64::from(!succeeded));
    }

    fn outcome(&self) -> Result<(), Failure> {
        self.with(|tally| {
            let (taken, failed) = (messages(tally.taken), tally.failed);
            self.diagnostics.detail(&format!("got {taken} from queue {}", self.queue));
            if failed > 0 && self.channel.identity().acknowledged {
                let back = format!("the command failed {failed} of {} times for queue {}", tally.taken, self.queue);
                // Who takes all there is, or will be, takes what went back as well.
                if self.terms.is_bounded() {
                    return Err(Failure::failed(format!(
                        "{back}, and what it failed for went back; run it with -v to see how"
                    )));
                }
                self.diagnostics.detail(&back);
            } else if failed > 0 {
                return Err(Failure::failed(format!(
                    "the command failed for {failed} of {taken} from queue {}, which are taken; run it with -v to see how",
                    self.queue
                )));
            }
            match &tally.end {
                Some(fault) => self.terms.end(&self.queue, tally.taken, fault),
                None => Ok(()),
            }
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Tally) -> T) -> T {
        look(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tally {
    /// Claims one of `wanted` messages, while more come.
    const fn claim(&mut self, wanted: u64) -> bool {
        let claimed = self.end.is_none() && self.wanted < wanted;
        if claimed {
            self.wanted += 1;
        }
        claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_stands_in_every_place() {
        let filled = |argument: &str| filled(OsStr::new(argument), b"a {} b");
        assert_eq!(filled("x"), "x");
        assert_eq!(filled("{}"), "a {} b");
        assert_eq!(filled("<{}-{}>"), "<a {} b-a {} b>");
        assert_eq!(filled("{ }{"), "{ }{");
    }

    #[test]
    fn programs_are_found_as_the_system_finds_them() {
        assert!(is_program(OsStr::new("sh")) && is_program(OsStr::new("/bin/sh")));
        assert!(!is_program(OsStr::new("no-such-program")) && !is_program(OsStr::new("/etc/passwd")));
        assert!(!is_program(OsStr::new("")) && !is_program(OsStr::new("/")));
    }
}
