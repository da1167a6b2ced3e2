//! The command line as plain data: checked for form, with nothing opened or looked up.

mod create;
mod stream;
mod team;
mod values;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use self::create::CreateArgs;
pub(crate) use self::stream::{AmountArgs, Framing, GetArgs, PutArgs, WaitArgs};
pub(crate) use self::team::{BenchArgs, DemoArgs, Role, RunArgs, WorkerArgs};
use crate::backend::BUILT_IN;

/// Queues between processes: bounded, exact, and safe against crashes.
///
/// QUEUE is a name, or a name with its transport, as in shm:jobs. A duration is written 500ms, 2s or 1m; a size
/// 64, 4KiB or 1MiB. IPCQ_DIR in the environment moves all queues under another directory.
///
/// Exit status: 0 done; 1 nothing to do in the time given (empty, full, busy, timed out); 2 usage error or
/// failure; 3 the queue is closed.
#[derive(Debug, Parser)]
#[command(name = "ipcq", version, max_term_width = 110, subcommand_required = true)]
pub(crate) struct Args {
    #[arg(short, long, global = true, value_name = "TRANSPORT", help = transport_help())]
    pub(crate) transport: Option<String>,
    /// How stat, ls, top, gc, doctor and bench print: text for people, or one json object a line
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Say nothing on stderr but failures
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say on stderr what is done
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn transport_help() -> String {
    format!(
        "The transport to make a queue on, or the only one to look for queues on: {} (a list of them for bench) \
         [env: IPCQ_TRANSPORT] [default: {}]",
        BUILT_IN.join(", "),
        BUILT_IN[0]
    )
}

impl Args {
    pub(crate) const fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    /// What Prometheus scrapes, of stat and ls
    Prometheus,
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the textbook program in real processes: producers put and exit, then consumers start and print
    Demo(DemoArgs),
    /// Make a queue; it stays until it is removed
    ///
    /// A queue on a transport whose queues end with the last process that holds them (pipe) is held by a process that
    /// this command leaves behind. It ends when the queue is removed; if it is killed, the queue is gone.
    Create(CreateArgs),
    /// Put messages: the arguments, or the lines of stdin
    Put(PutArgs),
    /// Get messages and print them
    Get(GetArgs),
    /// Show what is known of a queue
    Stat(QueueArg),
    /// Show all queues
    Ls,
    /// Close a queue for everyone: no more puts, gets drain what is there
    Close(QueueArg),
    /// Remove queues and wake everyone who waits on them
    Rm(RmArgs),
    /// Remove what dead processes left behind
    Gc,
    /// Run a pipeline of processes around a queue of its own
    ///
    /// Each CMD is one string for `sh -c`. Each line that a producer prints goes to one consumer, which reads it on
    /// stdin. It ends when all producers have ended and all is consumed; its exit status is that of the first command
    /// that failed, or 0.
    ///
    /// A consumer is given as many lines as it keeps up with: one at a time while it needs more than 10 ms for them, 4 KiB
    /// at most, and the next ones when it has read all. If it ends before its time, the others go on: what it had been
    /// given is lost with it, and what it had not been given goes to them. When no consumer is left, the producers are
    /// ended.
    ///
    /// Ctrl-C and SIGTERM end all commands, and so does the death of `ipcq run`. Producers share stdin, but for a
    /// terminal.
    Run(RunArgs),
    /// Watch queues: how long they are and how fast they move, with a graph of each
    Top(TopArgs),
    /// Say what this system allows, and what to change for more
    Doctor,
    /// Measure throughput and round trips between real processes
    Bench(BenchArgs),
    /// Print what a shell needs to complete command lines of ipcq
    Completions(CompletionsArgs),
    /// Print the page of the manual, for `man -l -`
    Man,
    /// Make a queue and keep it alive: what create starts for transports that need it.
    #[command(hide = true)]
    Keeper(CreateArgs),
    /// Ends the commands of run when that is killed.
    #[command(hide = true)]
    Guard,
    /// One process of demo or bench.
    #[command(hide = true)]
    Worker(WorkerArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct QueueArg {
    /// The queue
    #[arg(value_name = "QUEUE")]
    pub(crate) queue: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// The queues; all that there are when none is named
    #[arg(value_name = "QUEUE")]
    pub(crate) queues: Vec<String>,
    /// Print it once, without a terminal
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RmArgs {
    /// The queues
    #[arg(value_name = "QUEUE", required = true)]
    pub(crate) queues: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
