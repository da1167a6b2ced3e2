//! The program that the crash tests run: it forks processes, kills them, and looks at what is left.
//!
//! `victim step SCENARIO toy|shm DIRECTORY` prints one line and exits with 0, or says on standard error what is
//! wrong and exits with 1.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ipcq_core::Transport;
use ipcq_shm::ShmTransport;
use ipcq_tests::crash::{self, ToyTransport};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["step", scenario, transport, directory] => step(scenario, transport, Path::new(directory)),
        _ => Err("usage: victim step SCENARIO toy|shm DIRECTORY".to_owned()),
    };
    match outcome {
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

fn step(name: &str, transport: &str, directory: &Path) -> Result<String, String> {
    crash::watch(20);
    let transport: Box<dyn Transport> = match transport {
        "toy" => Box::new(ToyTransport),
        "shm" => Box::new(ShmTransport::in_directory(directory)),
        other => return Err(format!("there is no transport {other}")),
    };
    let scenarios = crash::scenarios::all();
    let scenario = scenarios.iter().find(|scenario| scenario.name() == name);
    let scenario = scenario.ok_or_else(|| format!("there is no scenario {name}"))?;
    Ok(crash::visit(&**scenario, &*transport, directory)?.to_string())
}
