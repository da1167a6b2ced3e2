//! The program that the crash tests run: it forks or starts processes, kills them, and looks at what is left.
//!
//! ```text
//! victim step SCENARIO toy|TRANSPORT DIRECTORY        a death at each instruction of an operation
//! victim leaks SCENARIO TRANSPORT DIRECTORY           many deaths at the same instruction
//! victim states SCENARIO TRANSPORT DIRECTORY          what an operation changes in shared memory
//! victim stopped put|get TRANSPORT DIRECTORY          a process is stopped in the middle of an operation
//! victim closed-under TRANSPORT DIRECTORY             the queue is closed under a put that is stopped
//! victim woken stop|kill RUNS TRANSPORT DIRECTORY     a sleeper is woken, and stopped or killed at once
//! victim idle PUTS TRANSPORT DIRECTORY                   sleepers are counted that wake in vain
//! victim hostile before|while TRANSPORT DIRECTORY     the queue's file is damaged
//! victim odd-files TRANSPORT DIRECTORY                there is something else in its place
//! victim elsewhere TRANSPORT DIRECTORY                it is opened in another boot, and process namespace
//! victim mismatch boot TRANSPORT DIRECTORY            it is refused there, by name
//! victim huge TRANSPORT DIRECTORY                     huge messages are never finished
//! victim full-disk TRANSPORT DIRECTORY                its file system is full
//! victim storm CAPACITY SECONDS TRANSPORT DIRECTORY   a death every 10 ms
//! victim jobs NUMBER TRANSPORT DIRECTORY              a worker that holds some dies every 20 ms
//! victim job-worker NUMBER TRANSPORT DIRECTORY
//! victim stops CAPACITY SECONDS TRANSPORT DIRECTORY   one is stopped for a while every 60 ms
//! victim storm-worker put|get NUMBER SLOTS TRANSPORT DIRECTORY
//! ```
//!
//! It prints what it measured and exits with 0, or says on standard error what is wrong and exits with 1.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use ipcq_core::Transport;
use ipcq_tests::crash::{self, ToyTransport};
use ipcq_tests::transports;

fn main() -> ExitCode {
    if let Err(error) = bind_at_start() {
        writeln!(std::io::stderr(), "it could not be started again: {error}").expect("standard error");
        return ExitCode::FAILURE;
    }
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

/// Has the functions of libraries bound when the program starts, for which it begins again. Otherwise they are bound where
/// they are first called: a process that is stepped would take hundreds of instructions for that, which its parent, that
/// has called them since, and the forks after it do not take.
fn bind_at_start() -> io::Result<()> {
    const BIND_NOW: &str = "LD_BIND_NOW";
    if std::env::var_os(BIND_NOW).is_some() {
        return Ok(());
    }
    let mut again = Command::new(std::env::current_exe()?);
    Err(again.args(std::env::args_os().skip(1)).env(BIND_NOW, "1").exec())
}

fn run(words: &[&str]) -> Result<String, String> {
    let [role @ .., transport, directory] = words else { return Err("which role?".to_owned()) };
    let directory = Path::new(directory);
    let queues = || make(transport, directory);
    if let Some(seconds) = patience(role) {
        crash::watch(seconds);
    }
    match *role {
        ["step", scenario] => step(scenario, &*queues()?, directory),
        ["leaks", scenario] => crash::leaks(&*queues()?, directory, scenario),
        ["states", scenario] => crash::states(&*queues()?, directory, scenario),
        ["stopped", operation] => crash::stopped(&*queues()?, directory, operation),
        ["closed-under"] => crash::closed_under(&*queues()?, directory),
        ["woken", end, runs] => crash::woken(&*queues()?, directory, end, number(runs)?),
        ["idle", puts] => crash::idle(&*queues()?, directory, number(puts)?),
        ["hostile", when] => crash::hostile(&*queues()?, directory, when),
        ["odd-files"] => crash::odd_files(&*queues()?, directory),
        ["elsewhere"] => crash::elsewhere(&*queues()?, directory),
        ["mismatch", what] => crash::mismatch(&*queues()?, what),
        ["huge"] => crash::huge(&*queues()?, directory),
        ["full-disk"] => {
            let transport = |path: &Path| make(transport, path).expect("a transport of this name");
            crash::full_disk(transport, directory)
        }
        ["storm", capacity, seconds] => {
            let length = Duration::from_secs(number(seconds)? as u64);
            let queues = directory.join("queues");
            std::fs::create_dir(&queues).map_err(|error| error.to_string())?;
            crash::storm(&*make(transport, &queues)?, directory, number(capacity)?, length)
        }
        ["jobs", jobs] => {
            let queues = directory.join("queues");
            std::fs::create_dir(&queues).map_err(|error| error.to_string())?;
            crash::jobs(&*make(transport, &queues)?, directory, number(jobs)?)
        }
        ["job-worker", jobs] => {
            let queues = make(transport, &directory.join("queues"))?;
            crash::do_jobs(&*queues, directory, number(jobs)?)
        }
        ["stops", capacity, seconds] => {
            let length = Duration::from_secs(number(seconds)? as u64);
            let queues = directory.join("queues");
            std::fs::create_dir(&queues).map_err(|error| error.to_string())?;
            crash::stops(&*make(transport, &queues)?, directory, number(capacity)?, length)
        }
        ["storm-worker", what, own, slots] => {
            let queues = make(transport, &directory.join("queues"))?;
            crash::work(&*queues, directory, what, number(own)?, number(slots)?)
        }
        _ => Err(format!("there is no role {role:?}")),
    }
}

/// How long the program may stand still in a role, in seconds; nothing for those that others watch.
fn patience(role: &[&str]) -> Option<u32> {
    match role.first().copied() {
        Some("mismatch" | "storm-worker" | "job-worker") => None,
        Some("hostile") => Some(120),
        Some("states" | "full-disk") => Some(60),
        Some("leaks" | "huge") => Some(30),
        _ => Some(20),
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
    let scenarios = crash::scenarios::all();
    let scenario = scenarios.iter().find(|scenario| scenario.name() == name);
    let scenario = scenario.ok_or_else(|| format!("there is no scenario {name}"))?;
    Ok(crash::visit(&**scenario, transport, directory)?.to_string())
}
