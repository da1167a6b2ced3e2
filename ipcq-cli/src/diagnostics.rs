//! What is said on stderr: one line for each thing, and never a failure of its own.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::args::Verbosity;
use crate::failure::{Failure, Status};

/// Says things on stderr, as much as the user wants to hear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Diagnostics {
    verbosity: Verbosity,
}

impl Diagnostics {
    pub(crate) const fn new(verbosity: Verbosity) -> Self {
        Self { verbosity }
    }

    /// Says what went wrong. What the exit status says as well is left out when the user wants quiet.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.status() == Status::Failed || self.verbosity != Verbosity::Quiet {
            say(failure.text());
        }
    }

    /// Says something that the user should know.
    pub(crate) fn note(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            say(text);
        }
    }

    /// Says what is being done, to users who asked for it.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbosity == Verbosity::Verbose {
            say(text);
        }
    }

    /// Whether somebody watches stderr, to whom a long wait should be explained.
    pub(crate) fn has_audience(&self) -> bool {
        self.verbosity != Verbosity::Quiet && io::stderr().is_terminal()
    }

    /// Replaces the line of progress on a terminal; an empty one removes it.
    pub(crate) fn progress(&self, text: &str) {
        if self.has_audience() {
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}

/// Writes one line. `eprintln!` would panic where stderr cannot be written; there is nobody left to tell.
fn say(text: &str) {
    let line = format!("ipcq: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Prints help to stdout, or what is wrong with the command line in one line to stderr.
pub(crate) fn usage_error(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Status::Failed.into()
        }
        _ => {
            say(&one_line(&error.to_string()));
            Status::Failed.into()
        }
    }
}

/// Folds the report of the argument parser, which has paragraphs, into one line.
fn one_line(report: &str) -> String {
    let mut text = String::new();
    let mut usage = "ipcq".to_owned();
    for line in report.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(shown) = line.strip_prefix("Usage: ") {
            let command = shown.split(' ').take_while(|word| !word.starts_with(['[', '<', '-']));
            usage = command.collect::<Vec<_>>().join(" ");
        } else if !line.starts_with("For more information") {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    format!("{text}; see `{usage} --help`")
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_usage_error_becomes_one_line() {
        let report = "error: the following required arguments were not provided:\n  <QUEUE>\n\n\
                      Usage: ipcq put <QUEUE> [MESSAGE]...\n\nFor more information, try '--help'.\n";
        let expected = "the following required arguments were not provided: <QUEUE>; see `ipcq put --help`";
        assert_eq!(one_line(report), expected);
    }
}
