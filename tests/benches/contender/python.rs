//! Python's `multiprocessing.Queue`, where there is a Python.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ipcq_cli::measure::job::{How, Job};
use ipcq_cli::measure::{Fault, Measured};
use serde::{Deserialize, Serialize};

use super::{Running, Setting};

const PROGRAM: &str = include_str!("mp_queue.py");

/// Whether there is a Python.
pub(super) fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let mut command = Command::new("python3");
        command.args(["-c", "import multiprocessing"]).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

/// What the program is told.
#[derive(Serialize)]
struct Told {
    trips: bool,
    messages: usize,
    size: usize,
    put: Option<usize>,
    get: Option<usize>,
}

/// What it answers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Fault { fault: String },
    Done { ns: u64, busy: u64, p50: u64, p99: u64 },
}

/// The program; it ends with this value.
struct Python {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    patience: Duration,
}

/// Starts the program with as many processes as `setting` says.
pub(super) fn start(setting: &Setting) -> Result<Box<dyn Running>, Fault> {
    let numbers = [setting.shape.producers, setting.shape.consumers, setting.capacity];
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM]).args(numbers.map(|number| number.to_string()));
    let failed = |error| Fault::system("python3 could not be started", error);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (sender, answers) = channel();
    thread::spawn(move || {
        let lines =
            output.into_iter().flat_map(|output| BufReader::new(output).lines().map_while(Result::ok));
        lines.into_iter().try_for_each(|line| sender.send(line))
    });
    Ok(Box::new(Python { child, input, answers, patience: setting.patience }))
}

impl Running for Python {
    fn measure(&mut self, job: Job) -> Result<Measured, Fault> {
        let told = Told {
            trips: matches!(job.how, How::RoundTrip(_)),
            messages: job.messages,
            size: job.size,
            put: job.pair.map(|pair| pair.put),
            get: job.pair.map(|pair| pair.get),
        };
        let line = serde_json::to_string(&told).map_err(|error| Fault::failed(error.to_string()))?;
        let input = self.input.as_mut().ok_or_else(|| Fault::failed("python3 has been told to end"))?;
        writeln!(input, "{line}").map_err(|error| Fault::system("python3 has ended", error))?;
        let answer = self.answers.recv_timeout(self.patience);
        let answer = answer.map_err(|_| Fault::failed("python3 does not answer"))?;
        match serde_json::from_str(&answer).map_err(|error| Fault::failed(error.to_string()))? {
            Answer::Fault { fault } => Err(Fault::failed(fault)),
            Answer::Done { ns, busy, p50, p99 } => {
                Ok(Measured { busy, ..Measured::new(job.messages, Duration::from_nanos(ns), p50, p99) })
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), Fault> {
        self.input = None;
        // It ends once its input has; a process of it that does not is killed with it.
        let _ = self.answers.recv_timeout(self.patience);
        Ok(())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
