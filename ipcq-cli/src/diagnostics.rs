//! What is said on stderr: one line for each thing, and never a failure of its own.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

use crate::args::{Args, Verbosity};
use crate::failure::{Failure, Status};
use crate::output::print;

/// Says things on stderr, as much as the user wants to hear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Diagnostics {
    verbosity: Verbosity,
}

impl Diagnostics {
    pub(crate) const fn new(verbosity: Verbosity) -> Self {
        Self { verbosity }
    }

    /// Says what went wrong. What the exit status says as well is left out when the user wants quiet, and that the user
    /// wanted an end always.
    pub(crate) fn failure(&self, failure: &Failure) {
        let says = match failure.status() {
            Status::Failed | Status::OfCommand(_) => true,
            Status::NothingToDo | Status::Closed => self.verbosity != Verbosity::Quiet,
            Status::Interrupted(_) => false,
        };
        if says {
            say(failure.text());
        }
    }

    /// Says what all but the last of `failures` are: that one is the command's, and said at its end.
    pub(crate) fn all_failed(&self, mut failures: Vec<Failure>) -> Result<(), Failure> {
        let last = failures.pop();
        failures.iter().for_each(|failure| self.failure(failure));
        last.map_or(Ok(()), Err)
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
}

/// Whether the user likes colours: <https://no-color.org>.
pub(crate) fn wants_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes one line. `eprintln!` would panic where stderr cannot be written; there is nobody left to tell.
fn say(text: &str) {
    let line = format!("ipcq: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Prints help to stdout, or what is wrong with the command line in one line to stderr.
pub(crate) fn usage_error(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match print(&error.render().to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                say(failure.text());
                failure.status().into()
            }
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Status::Failed.into()
        }
        _ => {
            say(&one_line(&error.to_string(), &command()));
            Status::Failed.into()
        }
    }
}

/// The command whose help is worth reading, as far as the arguments tell: some errors do not say it.
fn command() -> String {
    let commands = Args::command();
    let named = std::env::args_os().skip(1).find_map(|argument| {
        commands.find_subcommand(&argument).filter(|command| !command.is_hide_set()).map(Command::get_name)
    });
    named.map_or_else(|| "ipcq".to_owned(), |name| format!("ipcq {name}"))
}

/// Folds the report of the argument parser, which has paragraphs, into one line.
fn one_line(report: &str, command: &str) -> String {
    let paragraphs = report.split("\n\n").map(str::trim);
    let said = paragraphs.filter(|paragraph| {
        let boilerplate = ["Usage: ", "For more information"];
        !paragraph.is_empty() && !boilerplate.iter().any(|start| paragraph.starts_with(start))
    });
    let folded = said.map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = folded.collect::<Vec<_>>().join("; ");
    format!("{}; see `{command} --help`", text.strip_prefix("error: ").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_usage_error_becomes_one_line() {
        let report = "error: the following required arguments were not provided:\n  <QUEUE>\n\n\
                      Usage: ipcq put <QUEUE> [MESSAGE]...\n\nFor more information, try '--help'.\n";
        let expected = "the following required arguments were not provided: <QUEUE>; see `ipcq put --help`";
        assert_eq!(one_line(report, "ipcq put"), expected);
        let report = "error: invalid value '0600' for '--mode <MODE>'\n  [possible values: 600, 660]\n\n  \
                      tip: a similar value exists: '600'\n\nFor more information, try '--help'.\n";
        let expected = "invalid value '0600' for '--mode <MODE>' [possible values: 600, 660]; \
                        tip: a similar value exists: '600'; see `ipcq create --help`";
        assert_eq!(one_line(report, "ipcq create"), expected);
    }
}
