//! Commands before and while they run.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;

use super::{Done, LIMIT};

/// A command that has not been started.
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
}

impl Run {
    pub(super) const fn new(command: Command) -> Self {
        Self { command, input: Vec::new() }
    }

    /// What it reads.
    pub(crate) fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.input = bytes.as_ref().to_vec();
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Starts it; its stdin stays open.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        heed_signals();
        let mut child = self.command.spawn().expect("ipcq can be started");
        Running {
            what: format!("{:?}", self.command),
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().expect("a pipe")),
            stderr: lines(child.stderr.take().expect("a pipe")),
            child,
            deadline: Instant::now() + LIMIT,
        }
    }

    /// Starts it with a stdout that nobody reads, and the terminal or file that `stderr` is.
    pub(crate) fn start_unread(mut self, stderr: Stdio) -> Unread {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        Unread(self.command.spawn().expect("ipcq can be started"))
    }

    /// Starts it between these streams.
    pub(crate) fn start_on(mut self, [stdin, stdout, stderr]: [Stdio; 3]) -> Unread {
        self.command.stdin(stdin).stdout(stdout).stderr(stderr);
        Unread(self.command.spawn().expect("ipcq can be started"))
    }

    /// Runs it to its end.
    pub(crate) fn done(mut self) -> Done {
        let input = std::mem::take(&mut self.input);
        let mut running = self.start();
        let mut stdin = running.stdin.take().expect("a pipe");
        // A program that does not read everything is judged by what it says.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let done = running.end();
        feeder.join().expect("the input was fed");
        done
    }
}

/// Has commands heed the signals that ask them to end, as those of a terminal do. What this program was started to ignore,
/// behind `nohup` or in a script's background, they would ignore too.
fn heed_signals() {
    for asking in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: no handler of a test is lost, for there is none: ending is what these signals do.
        unsafe { signal(asking, SigHandler::SigDfl) }.expect("a signal that can be heeded");
    }
}

/// Lines as they come, each with its end.
fn lines(stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            let count = stream.read_until(b'\n', &mut line).unwrap_or(0);
            if count == 0 || sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A command that has been started; it does not outlive this value.
pub(crate) struct Running {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    deadline: Instant,
}

impl Running {
    /// Writes to its stdin, which stays open.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).expect("it reads its stdin");
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.stdout.recv_timeout(left) {
            Ok(line) => String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned(),
            Err(error) => panic!("{} printed no line: {error}", self.what),
        }
    }

    /// Closes its stdin and waits until it has ended.
    pub(crate) fn end(mut self) -> Done {
        self.stdin = None;
        let (stdout, stderr) = (self.rest(true), self.rest(false));
        let status = self.child.wait().expect("its status");
        Done::new(std::mem::take(&mut self.what), status, stdout, stderr)
    }

    fn rest(&mut self, of_stdout: bool) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let stream = if of_stdout { &self.stdout } else { &self.stderr };
            match stream.recv_timeout(left) {
                Ok(line) => all.extend(line),
                Err(RecvTimeoutError::Disconnected) => return all,
                Err(RecvTimeoutError::Timeout) => panic!("{} does not end", self.what),
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it can be sent a signal");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("the id of a process"))
    }

    /// Kills it, as a user or the kernel would, and waits until nobody has its stdout any more.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("its status");
        self.rest(true);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command whose output nobody reads; it does not outlive this value.
pub(crate) struct Unread(Child);

impl Unread {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("the id of a process"));
        kill(pid, signal).expect("it can be sent a signal");
    }

    /// Waits until it has ended.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.0.wait().expect("its status")
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
