//! The program that the crash tests run: it forks or starts processes, kills them, and looks at what is left.
//!
//! ```text
//! victim step SCENARIO toy|shm DIRECTORY              a death at each instruction of an operation
//! victim leaks SCENARIO shm DIRECTORY                many deaths at the same instruction
//! victim states SCENARIO shm DIRECTORY               what an operation changes in shared memory
//! victim stopped put|get shm DIRECTORY               a process is stopped in the middle of an operation
//! victim closed-under shm DIRECTORY                  the queue is closed under a put that is stopped
//! victim woken stop|kill RUNS shm DIRECTORY          a sleeper is woken, and stopped or killed at once
//! victim hostile before|while shm DIRECTORY          the queue's file is damaged
//! victim odd-files shm DIRECTORY                     there is something else in its place
//! victim elsewhere shm DIRECTORY                     it is opened in another boot, and process namespace
//! victim mismatch boot shm DIRECTORY                 it is refused there, by name
//! victim huge shm DIRECTORY                          huge messages are never finished
//! victim full-disk shm DIRECTORY                     its file system is full
//! victim storm CAPACITY SECONDS shm DIRECTORY         a death every 10 ms
//! victim storm-worker put|get NUMBER SLOTS shm DIRECTORY
//! ```
//!
//! It prints what it measured and exits with 0, or says on standard error what is wrong and exits with 1.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ipcq_core::Transport;
use ipcq_tests::crash::{self, ToyTransport};
use ipcq_tests::transports;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(line) => {
            writeln!(std::io::stdout(), "{line}").expect("standard output");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            writeln!(std::io::stderr(), "{fault}").expect("standard error");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<String, String> {
    let [role @ .., transport, directory] = words else { return Err("which role?".to_owned()) };
    let directory = Path::new(directory);
    match *role {
        ["step", scenario] => step(scenario, &*make(transport, directory)?, directory),
        ["leaks", scenario] => {
            crash::watch(30);
            crash::leaks(&*make(transport, directory)?, directory, scenario)
        }
        ["states", scenario] => {
            crash::watch(60);
            crash::states(&*make(transport, directory)?, directory, scenario)
        }
        ["stopped", operation] => {
            crash::watch(20);
            crash::stopped(&*make(transport, directory)?, directory, operation)
        }
        ["closed-under"] => {
            crash::watch(20);
            crash::closed_under(&*make(transport, directory)?, directory)
        }
        ["woken", end, runs] => {
            crash::watch(20);
            crash::woken(&*make(transport, directory)?, directory, end, number(runs)?)
        }
        ["hostile", when] => {
            crash::watch(120);
            crash::hostile(&*make(transport, directory)?, directory, when)
        }
        ["odd-files"] => {
            crash::watch(20);
            crash::odd_files(&*make(transport, directory)?, directory)
        }
        ["elsewhere"] => {
            crash::watch(20);
            crash::elsewhere(&*make(transport, directory)?, directory)
        }
        ["mismatch", what] => crash::mismatch(&*make(transport, directory)?, what),
        ["huge"] => {
            crash::watch(30);
            crash::huge(&*make(transport, directory)?, directory)
        }
        ["full-disk"] => {
            crash::watch(60);
            let transport = |path: &Path| make(transport, path).expect("a transport of this name");
            crash::full_disk(transport, directory)
        }
        ["storm", capacity, seconds] => {
            crash::watch(20);
            let length = Duration::from_secs(number(seconds)? as u64);
            let queues = directory.join("queues");
            std::fs::create_dir(&queues).map_err(|error| error.to_string())?;
            crash::storm(&*make(transport, &queues)?, directory, number(capacity)?, length)
        }
        ["storm-worker", what, own, slots] => {
            let queues = make(transport, &directory.join("queues"))?;
            crash::work(&*queues, directory, what, number(own)?, number(slots)?)
        }
        _ => Err(format!("there is no role {role:?}")),
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn make(transport: &str, directory: &Path) -> Result<Box<dyn Transport>, String> {
    match transport {
        "toy" => Ok(Box::new(ToyTransport)),
        other => {
            transports::transport(other, directory).ok_or_else(|| format!("there is no transport {other}"))
        }
    }
}

fn step(name: &str, transport: &dyn Transport, directory: &Path) -> Result<String, String> {
    crash::watch(20);
    let scenarios = crash::scenarios::all();
    let scenario = scenarios.iter().find(|scenario| scenario.name() == name);
    let scenario = scenario.ok_or_else(|| format!("there is no scenario {name}"))?;
    Ok(crash::visit(&**scenario, transport, directory)?.to_string())
}
