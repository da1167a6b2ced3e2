//! Runs the program in a directory of its own, with a limit on its time, and says readably what went wrong.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes a test of each case on each transport, named after both.
macro_rules! on_every_transport {
    ($($case:ident),* $(,)?) => {
        on_transport! { shm: $($case)* }
        on_transport! { pipe: $($case)* }
        on_transport! { zmq: $($case)* }
    };
}

/// The same for transports whose queues end with the last process that holds them.
macro_rules! on_every_transport_with_keepers {
    ($($case:ident),* $(,)?) => {
        on_transport! { pipe: $($case)* }
        on_transport! { zmq: $($case)* }
    };
}

macro_rules! on_transport {
    ($transport:ident: $($case:ident)*) => {
        mod $transport {
            $(#[test]
            fn $case() {
                super::$case(&crate::support::Sandbox::new(stringify!($transport)));
            })*
        }
    };
}

/// A transport with a directory of its own.
pub(crate) struct Sandbox {
    transport: &'static str,
    directory: TempDir,
}

impl Sandbox {
    pub(crate) fn new(transport: &'static str) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix("ipcq-cli-").tempdir_in(parent);
        Self { transport, directory: directory.expect("a directory for the queues of one test") }
    }

    pub(crate) const fn transport(&self) -> &'static str {
        self.transport
    }

    /// Where the queues are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `wanted` messages, or as many as every system lets a queue of this transport hold.
    pub(crate) fn at_most(&self, wanted: u32) -> u32 {
        // A pipe of 1 MiB, the least that `fs.pipe-max-size` is by default.
        if self.transport == "pipe" { wanted.min(16_000) } else { wanted }
    }

    /// The processes that keep the queue `name` of this directory alive.
    pub(crate) fn keepers(&self, name: &str) -> Vec<Pid> {
        let directory = format!("IPCQ_DIR={}", self.directory().display());
        let has = |pid: &str, file: &str, wanted: &str| {
            let fields = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            fields.split(|byte| *byte == 0).any(|field| field == wanted.as_bytes())
        };
        let keeps = |pid: &String| {
            has(pid, "cmdline", "keeper") && has(pid, "cmdline", name) && has(pid, "environ", &directory)
        };
        let processes = std::fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
        let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(keeps).filter_map(|pid| Some(Pid::from_raw(pid.parse().ok()?))).collect()
    }

    /// Looks until exactly `number` processes keep the queue `name`.
    pub(crate) fn await_keepers(&self, name: &str, number: usize) {
        let deadline = Instant::now() + LIMIT;
        while self.keepers(name).len() != number {
            assert!(Instant::now() < deadline, "{number} should keep {name}: {:?}", self.keepers(name));
        }
    }

    /// Looks until no process is left that has to do with this directory.
    pub(crate) fn await_no_processes(&self) {
        let directory = format!("IPCQ_DIR={}", self.directory().display());
        let ours = |pid: &String| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|field| field == directory.as_bytes())
        };
        let deadline = Instant::now() + LIMIT;
        loop {
            let processes = std::fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
            let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
            let left: Vec<String> = names.filter(ours).collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "processes are left behind: {left:?}");
        }
    }

    /// Kills the one process that keeps the queue `name`, and waits until the queue has ended with it.
    pub(crate) fn kill_keeper(&self, name: &str) {
        let keepers = self.keepers(name);
        assert_eq!(keepers.len(), 1, "{keepers:?}");
        kill(keepers[0], Signal::SIGKILL).expect("it can be killed");
        self.await_keepers(name, 0);
    }

    /// The largest capacity that `ipcq doctor` says the transport can have.
    pub(crate) fn max_capacity(&self) -> u64 {
        let doctor = self.ipcq("doctor --format json").done().succeeds().stdout();
        let reports = doctor.lines().map(|line| serde_json::from_str(line).expect("an object a line"));
        let of_this = |report: &serde_json::Value| report["transport"] == self.transport();
        let report = reports.into_iter().find(of_this).expect("a report on this transport");
        report["max_capacity"].as_u64().expect("a number")
    }

    /// What is in the directory.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory()).expect("the directory").filter_map(Result::ok);
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// How messages to people name the queue `name`.
    pub(crate) fn label(&self, name: &str) -> String {
        format!("{}:{name}", self.transport)
    }

    /// `ipcq` with `arguments`, which are separated by blanks.
    pub(crate) fn ipcq(&self, arguments: &str) -> Run {
        self.ipcq_with(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn ipcq_with(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipcq"));
        command.args(arguments);
        self.prepared(command)
    }

    /// A script of the shell in which `ipcq` is the program.
    pub(crate) fn shell(&self, script: &str) -> Run {
        let mut command = Command::new("bash");
        let program = env!("CARGO_BIN_EXE_ipcq");
        command.args(["-c", &format!("set -o pipefail; ipcq() {{ '{program}' \"$@\"; }}; {script}")]);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Run {
        command.env("IPCQ_DIR", self.directory()).env("IPCQ_TRANSPORT", self.transport);
        Run { command, input: Vec::new() }
    }

    /// The length of a queue, as `stat` says it.
    pub(crate) fn len(&self, queue: &str) -> u64 {
        self.stat(queue)["len"].as_u64().expect("a number of messages")
    }

    pub(crate) fn stat(&self, queue: &str) -> serde_json::Value {
        let done = self.ipcq(&format!("stat {queue} --format json")).done().succeeds();
        serde_json::from_str(&done.stdout()).expect("one json object")
    }

    /// Asks until `queue` has as many getters waiting.
    pub(crate) fn await_getters(&self, queue: &str, number: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.stat(queue)["waiting_getters"].as_u64() != Some(number) {
            assert!(Instant::now() < deadline, "there are never {number} getters waiting on {queue}");
        }
    }

    /// Asks until `queue` has as many putters waiting.
    pub(crate) fn await_putters(&self, queue: &str, number: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.stat(queue)["waiting_putters"].as_u64() != Some(number) {
            assert!(Instant::now() < deadline, "there are never {number} putters waiting on {queue}");
        }
    }
}

/// A command that has not been started.
pub(crate) struct Run {
    command: Command,
    input: Vec<u8>,
}

impl Run {
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
        Done { what: std::mem::take(&mut self.what), status, stdout, stderr }
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

/// A command that has ended.
pub(crate) struct Done {
    what: String,
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Done {
    /// Its exit status, unless a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.stdout
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.status.success(), "should succeed\n{self}");
        self
    }

    /// It succeeds and prints exactly this.
    #[track_caller]
    pub(crate) fn prints(self, expected: impl AsRef<[u8]>) -> Self {
        let expected = String::from_utf8_lossy(expected.as_ref()).into_owned();
        assert_eq!(self.stdout(), expected, "prints something else\n{self}");
        self.succeeds()
    }

    /// It succeeds, prints nothing and says nothing.
    #[track_caller]
    pub(crate) fn says_nothing(self) -> Self {
        assert!(self.stderr.is_empty(), "should say nothing\n{self}");
        self.prints("")
    }

    /// It ends with `status`, and one line on stderr that has all of `words` says why.
    #[track_caller]
    pub(crate) fn fails(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status.code(), Some(status), "should end with another status\n{self}");
        let said = self.stderr();
        assert_eq!(said.lines().count(), 1, "should say one line\n{self}");
        assert!(said.starts_with("ipcq: ") && said.ends_with('\n'), "should say who speaks\n{self}");
        for foreign in ["panicked", "::", "Error", "Err(", "os error", "src/"] {
            assert!(!said.contains(foreign), "{foreign:?} is not for people\n{self}");
        }
        for word in words {
            assert!(said.contains(word), "should say {word:?}\n{self}");
        }
        self
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        writeln!(f, "{}\n{}", self.what, self.status)?;
        writeln!(f, "stdout, {} bytes:\n{}", self.stdout.len(), shown(&self.stdout))?;
        writeln!(f, "stderr, {} bytes:\n{}", self.stderr.len(), shown(&self.stderr))
    }
}
