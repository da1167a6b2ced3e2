//! `run`: a pipeline of real processes around a queue that nobody else sees.
//!
//! Each command is a process of its own, with a thread here that moves its lines. All commands are in one process
//! group, whose guard ends them should this process be killed; the queue has no name and ends with this process.

mod consumer;
mod guard;
mod hands;
mod producer;

use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use ipcq_core::{Capacity, Channel, QueueOptions};
use nix::sys::signal::Signal;

use self::guard::Group;
pub(super) use self::guard::watch;
use self::hands::Hands;
use crate::args::RunArgs;
use crate::backend::Backends;
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;
use crate::signals::Interrupts;
use crate::tally::messages;

/// How long commands have to end that were asked to.
const GRACE: Duration = Duration::from_secs(2);

/// What one command is in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Producer,
    Consumer,
}

/// What happened.
enum Event {
    /// A command has ended, or what it reads or prints could not be moved.
    Ended(Side, String, Result<ExitStatus, Failure>),
    /// The user wants an end.
    Interrupted(Signal),
}

/// A pipeline at work.
struct Pipeline {
    queue: Arc<dyn Channel>,
    hands: Arc<Hands>,
    group: Group,
    sender: Sender<Event>,
    events: Receiver<Event>,
    producers: usize,
    consumers: usize,
    /// Set when nobody is left who consumes: what becomes of producers then is no failure of theirs.
    abandoned: bool,
    failed: Option<Failure>,
    diagnostics: Diagnostics,
}

pub(super) fn run(backends: &Backends, args: &RunArgs, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let unheard = |errno: nix::errno::Errno| Failure::system("signals cannot be held back", &errno.into());
    let interrupts = Interrupts::hold().map_err(unheard)?;
    let capacity = args.capacity.unwrap_or(Capacity::Exactly(QueueOptions::DEFAULT_CAPACITY));
    let queue = backends.default()?.create_anonymous(&QueueOptions::new().capacity(capacity))?;
    let mut pipeline = Pipeline::new(queue, *diagnostics)?;
    let sender = pipeline.sender.clone();
    thread::spawn(move || {
        while let Some(signal) = interrupts.next() {
            let _ = sender.send(Event::Interrupted(signal));
        }
    });
    if let Err(failure) = pipeline.start(args) {
        pipeline.group.kill();
        return Err(failure);
    }
    pipeline.attend()
}

impl Pipeline {
    fn new(queue: Arc<dyn Channel>, diagnostics: Diagnostics) -> Result<Self, Failure> {
        let (sender, events) = channel();
        let (hands, group) = (Arc::default(), Group::start()?);
        let (producers, consumers, abandoned, failed) = (0, 0, false, None);
        Ok(Self { queue, hands, group, sender, events, producers, consumers, abandoned, failed, diagnostics })
    }

    /// Starts all commands; the consumers first, so that they are there when lines come.
    fn start(&mut self, args: &RunArgs) -> Result<(), Failure> {
        for command in &args.consumers {
            for _ in 0..args.jobs {
                self.start_consumer(command)?;
            }
        }
        args.producers.iter().try_for_each(|command| self.start_producer(command))
    }

    fn start_consumer(&mut self, command: &str) -> Result<(), Failure> {
        let mut shell = shell(command);
        let child = self.spawn(command, shell.stdin(Stdio::piped()))?;
        let (queue, hands) = (self.queue.clone(), self.hands.clone());
        self.consumers += 1;
        self.tend(Side::Consumer, command, move || consumer::serve(child, &*queue, &hands));
        Ok(())
    }

    fn start_producer(&mut self, command: &str) -> Result<(), Failure> {
        let mut shell = shell(command);
        // Only the foreground may read a terminal, and the group is not there: Ctrl-C is for `ipcq run`, which tells it.
        let stdin = if io::stdin().is_terminal() { Stdio::null() } else { Stdio::inherit() };
        let child = self.spawn(command, shell.stdin(stdin).stdout(Stdio::piped()))?;
        let queue = self.queue.clone();
        self.producers += 1;
        self.tend(Side::Producer, command, move || producer::serve(child, &*queue));
        Ok(())
    }

    fn spawn(&self, command: &str, shell: &mut Command) -> Result<Child, Failure> {
        let failed = |error| Failure::system(&format!("{} could not be started", shown(command)), &error);
        self.group.spawn(shell).map_err(failed)
    }

    /// Serves a command in a thread of its own, and tells of its end.
    fn tend(
        &self,
        side: Side,
        command: &str,
        serve: impl FnOnce() -> Result<ExitStatus, Failure> + Send + 'static,
    ) {
        let (command, sender) = (command.to_owned(), self.sender.clone());
        thread::spawn(move || {
            let ended = serve();
            let _ = sender.send(Event::Ended(side, command, ended));
        });
    }

    /// Follows the pipeline to its end.
    fn attend(mut self) -> Result<(), Failure> {
        while self.producers + self.consumers > 0 {
            // This value has a sender, so that there is always one.
            match self.events.recv() {
                Ok(Event::Ended(side, command, ended)) => self.ended(side, &command, ended)?,
                Ok(Event::Interrupted(signal)) => return self.interrupt(signal),
                Err(_) => break,
            }
        }
        let left = self.queue.len()? + self.hands.left();
        if left > 0 {
            let left = messages(u64::try_from(left).unwrap_or(u64::MAX));
            self.diagnostics.note(&format!("every consumer has ended; {left} went to none"));
        }
        self.group.dismiss();
        self.failed.map_or(Ok(()), Err)
    }

    fn ended(
        &mut self,
        side: Side,
        command: &str,
        ended: Result<ExitStatus, Failure>,
    ) -> Result<(), Failure> {
        match side {
            Side::Producer => self.producers -= 1,
            Side::Consumer => self.consumers -= 1,
        }
        match ended {
            _ if self.abandoned && side == Side::Producer => {}
            Ok(status) if status.success() => {}
            Ok(status) => self.fail(failure_of(side, command, status)),
            Err(failure) => self.fail(failure),
        }
        if self.producers == 0 || self.consumers == 0 {
            // The end for consumers when all is consumed; or for producers, whom nobody hears any more.
            self.queue.close()?;
        }
        if self.consumers == 0 && self.producers > 0 && !self.abandoned {
            self.abandoned = true;
            self.group.signal(Signal::SIGTERM);
            let sender = self.sender.clone();
            thread::spawn(move || {
                thread::sleep(GRACE);
                let _ = sender.send(Event::Interrupted(Signal::SIGKILL));
            });
        }
        Ok(())
    }

    /// Says what failed; the first to fail decides how this ends.
    fn fail(&mut self, failure: Failure) {
        if self.failed.is_none() {
            self.failed = Some(failure);
        } else {
            self.diagnostics.note(failure.text());
        }
    }

    /// Ends all commands, with `signal` if they listen to it, and this process as well.
    fn interrupt(mut self, signal: Signal) -> Result<(), Failure> {
        self.group.signal(signal);
        self.queue.close()?;
        let deadline = Instant::now() + GRACE;
        while self.producers + self.consumers > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Ended(Side::Producer, ..)) => self.producers -= 1,
                Ok(Event::Ended(Side::Consumer, ..)) => self.consumers -= 1,
                // Once more, or no answer: there is no time for manners.
                _ => break,
            }
        }
        self.group.kill();
        match signal {
            Signal::SIGKILL => self.failed.map_or(Ok(()), Err),
            signal => Err(Failure::interrupted(signal)),
        }
    }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

/// That a command failed, with the exit status that says how: its own, or as shells say it that a signal ended it.
fn failure_of(side: Side, command: &str, status: ExitStatus) -> Failure {
    let side = match side {
        Side::Producer => "producer",
        Side::Consumer => "consumer",
    };
    let (code, how) = match (status.code(), status.signal()) {
        (Some(code), _) => (code, format!("ended with status {code}")),
        (None, number) => {
            let number = number.unwrap_or(0);
            let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
            (128 + number, format!("was ended by {name}"))
        }
    };
    Failure::of_command(u8::try_from(code).unwrap_or(u8::MAX), format!("{side} {} {how}", shown(command)))
}

/// A command as messages name it: on one line, and not too long.
fn shown(command: &str) -> String {
    const LONGEST: usize = 60;
    let line: Vec<char> = command.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    if line.len() <= LONGEST {
        return format!("'{}'", line.into_iter().collect::<String>());
    }
    format!("'{}...'", line[..LONGEST].iter().collect::<String>())
}
