//! `ipcq`: make, fill, empty and watch inter-process queues from the command line.
//!
//! stdout carries data only, everything else goes to stderr. The exit status is 0 when it is done, 1 when there
//! was nothing to do in the time given, 2 for a usage error or a failure, and 3 when the queue is closed.
#![deny(unsafe_code)]

mod args;
mod backend;
mod closed_stdout;
mod commands;
mod diagnostics;
mod failure;
mod input;
mod keeper;
mod listen;
mod output;
mod progress;
mod signals;
mod tally;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::diagnostics::Diagnostics;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return diagnostics::usage_error(&error),
    };
    let diagnostics = Diagnostics::new(args.verbosity());
    match commands::run(&args, &diagnostics) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics.failure(&failure);
            failure.status().into()
        }
    }
}
