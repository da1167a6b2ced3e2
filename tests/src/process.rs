//! Processes as tests use them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Nanoseconds on the clock that all processes of the machine share and that never jumps.
///
/// # Panics
/// When the system has no such clock.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has this clock");
    let nanoseconds = Duration::from(time).as_nanos();
    u64::try_from(nanoseconds).expect("the machine has not been up for centuries")
}

/// How long the threads of `process` together have been ready to run and have not run, because others had the processors;
/// zero where the kernel does not say.
#[must_use]
pub fn stood_in_line(process: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Duration::ZERO };
    let texts = threads.flatten().flat_map(|thread| fs::read_to_string(thread.path().join("schedstat")));
    let stood = |text: String| text.split_whitespace().nth(1).and_then(|field| field.parse().ok());
    texts.filter_map(stood).map(Duration::from_nanos).sum()
}

/// A child process with which a test talks line by line; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `command` with its standard input and output in the hands of the test.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("asked for above"));
        Self { child, input, output }
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).expect("process numbers are small");
        kill(Pid::from_raw(id), signal).expect("a child can be signalled");
    }

    /// Says one line to the process.
    ///
    /// # Panics
    /// When it does not listen any more.
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the process listens");
    }

    /// The next line that the process says.
    ///
    /// # Panics
    /// When it ended before.
    #[must_use]
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("the process speaks text");
        if read == 0 {
            let status = self.child.wait();
            panic!("the process ended without an answer: {status:?}");
        }
        line.trim_end().to_owned()
    }

    /// Waits until the process has ended well, and returns what it still said.
    ///
    /// # Panics
    /// When it failed.
    pub fn finish(mut self) -> Vec<String> {
        drop(self.input.take());
        let rest = self.output.by_ref().lines().map(|line| line.expect("the process speaks text")).collect();
        let status = self.child.wait().expect("it is a child of this process");
        assert!(status.success(), "a process of the test failed: {status}");
        rest
    }

    /// Kills the process.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("it is a child of this process");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
