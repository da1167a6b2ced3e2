//! ipcq beside other ways from process to process: the same scenarios for all, in turns, every message checked.
//!
//! `cargo bench -p ipcq-tests` measures everything; README.md says how, and what options there are. Without `--bench`,
//! which Cargo passes then, it is a test: everything runs once, for milliseconds.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it found")]

mod bounds;
mod checks;
mod contender;
mod contest;
mod interval;
mod line;
mod machine;
mod options;
mod picture;
mod report;
mod results;
mod scenario;
mod storage;
mod targets;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use self::options::Options;
use self::results::Results;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.get(1).map(String::as_str) {
        Some("worker") => worker::run(&arguments[2..]),
        _ if arguments.iter().any(|argument| argument == "--bench") => bench(&Options::parse()),
        _ => checks::run(&arguments[1..]),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("ipcq: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, says what was found, and writes it where it is kept.
fn bench(options: &Options) -> Result<(), String> {
    if options.list {
        scenario::all(options).iter().for_each(|scenario| println!("{}", scenario.id()));
        return Ok(());
    }
    let results = match &options.from {
        Some(file) => Results::read(file)?,
        None => measured(options)?,
    };
    print!("{}", report::markdown(&results));
    if let Some(directory) = &options.write {
        results.write(directory)?;
    }
    let broken = results.broken();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("; ")) }
}

fn measured(options: &Options) -> Result<Results, String> {
    let mut results = Results { machine: machine::here(), rounds: options.rounds, ..Results::default() };
    for scenario in scenario::all(options) {
        eprintln!("{} ...", scenario.id());
        results.scenarios.push(contest::run(&scenario, options));
    }
    if options.wants("storage") {
        results.storage = storage::measured(options)?;
    }
    results.absent = contender::absent();
    Ok(results)
}
