//! The command line as plain data: checked for form, with nothing opened or looked up.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, Subcommand, ValueEnum};
use ipcq_core::{Capacity, QueueOptions};

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
    /// How stat, ls, gc, doctor and bench print: text for people, or one json object a line
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
    /// Say what this system allows, and what to change for more
    Doctor,
    /// Measure throughput and round trips between real processes
    Bench(BenchArgs),
    /// Make a queue and keep it alive: what create starts for transports that need it.
    #[command(hide = true)]
    Keeper(CreateArgs),
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
pub(crate) struct RmArgs {
    /// The queues
    #[arg(value_name = "QUEUE", required = true)]
    pub(crate) queues: Vec<String>,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How many messages each producer puts
    #[arg(short = 'n', long, value_name = "N", default_value = "5", value_parser = whole::<u32>, allow_hyphen_values = true)]
    pub(crate) messages: u32,
    /// How many producer processes
    #[arg(long, value_name = "N", default_value = "1", value_parser = processes, allow_hyphen_values = true)]
    pub(crate) producers: usize,
    /// How many consumer processes
    #[arg(long, value_name = "N", default_value = "1", value_parser = processes, allow_hyphen_values = true)]
    pub(crate) consumers: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// The name of the new queue
    #[arg(value_name = "NAME")]
    pub(crate) queue: String,
    /// How many messages it takes; max is the most that the transport can hold [default: 1000]
    #[arg(long, value_name = "N|max", value_parser = capacity, allow_hyphen_values = true)]
    pub(crate) capacity: Option<Capacity>,
    /// The longest message it takes [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    pub(crate) max_message: Option<usize>,
    /// Who may open it, as file permissions
    #[arg(long, default_value = "600", value_parser = ["600", "660", "666"])]
    pub(crate) mode: String,
    /// Close it when its last producer has left
    #[arg(long)]
    pub(crate) auto_close: bool,
}

impl CreateArgs {
    /// What the queue is made with.
    pub(crate) fn options(&self) -> QueueOptions {
        let mode = match self.mode.as_str() {
            "666" => 0o666,
            "660" => 0o660,
            _ => 0o600,
        };
        QueueOptions::new()
            .capacity(self.capacity.unwrap_or(Capacity::Exactly(QueueOptions::DEFAULT_CAPACITY)))
            .max_message(self.max_message.unwrap_or(QueueOptions::DEFAULT_MAX_MESSAGE))
            .mode(mode)
            .auto_close(self.auto_close)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct PutArgs {
    /// The queue
    #[arg(value_name = "QUEUE")]
    pub(crate) queue: String,
    /// The messages; without any, each line of stdin is one
    #[arg(value_name = "MESSAGE", conflicts_with_all = ["null", "raw", "length_prefixed"])]
    pub(crate) messages: Vec<OsString>,
    #[command(flatten)]
    pub(crate) framing: FramingArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Make the queue if there is none
    #[arg(long)]
    pub(crate) create: bool,
    /// Close the queue after the last message
    #[arg(long)]
    pub(crate) close: bool,
    /// Put the bytes as they are into a queue of another codec than bytes
    #[arg(long)]
    pub(crate) as_is: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// The queue
    #[arg(value_name = "QUEUE")]
    pub(crate) queue: String,
    #[command(flatten)]
    pub(crate) amount: AmountArgs,
    #[command(flatten)]
    pub(crate) framing: FramingArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// How many messages `get` takes; one when nothing is said.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct AmountArgs {
    /// Get this many messages
    #[arg(short = 'n', value_name = "N", value_parser = whole::<u64>, allow_hyphen_values = true)]
    pub(crate) number: Option<u64>,
    /// Get messages until the queue is empty
    #[arg(long)]
    pub(crate) all: bool,
    /// Get messages until the queue is closed and drained
    #[arg(long)]
    pub(crate) follow: bool,
}

/// How one message is told from the next on stdin and stdout; by line ends when nothing is said.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct FramingArgs {
    /// Messages are ended by NUL
    #[arg(short = '0', long)]
    null: bool,
    /// Nothing is between messages; all of stdin is one
    #[arg(long)]
    raw: bool,
    /// The length of each message is before it, in 4 bytes, the highest first
    #[arg(long)]
    length_prefixed: bool,
}

/// How messages are told apart in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each message is followed by this byte.
    Delimited(u8),
    /// Nothing is between messages.
    Raw,
    /// Each message follows its length, a big-endian u32.
    LengthPrefixed,
}

impl From<FramingArgs> for Framing {
    fn from(args: FramingArgs) -> Self {
        match args {
            FramingArgs { null: true, .. } => Self::Delimited(0),
            FramingArgs { raw: true, .. } => Self::Raw,
            FramingArgs { length_prefixed: true, .. } => Self::LengthPrefixed,
            _ => Self::Delimited(b'\n'),
        }
    }
}

/// How long to wait for each message; for ever when nothing is said.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct WaitArgs {
    /// Wait at most this long for each message
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Do not wait
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// The sizes of messages, up to 256MiB
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "64,64KiB", value_parser = bench_size)]
    pub(crate) size: Vec<usize>,
    /// How many producer processes [default: 1, then 4]
    #[arg(long, value_name = "N", value_parser = processes, allow_hyphen_values = true)]
    pub(crate) producers: Option<usize>,
    /// How many consumer processes [default: 1, then 4]
    #[arg(long, value_name = "N", value_parser = processes, allow_hyphen_values = true)]
    pub(crate) consumers: Option<usize>,
    /// How many messages one measurement moves [default: as many as take --seconds]
    #[arg(long, value_name = "N", value_parser = positive, allow_hyphen_values = true)]
    pub(crate) messages: Option<NonZeroUsize>,
    /// How long one measurement takes, about
    #[arg(long, value_name = "S", default_value_t = 0.06, value_parser = seconds, allow_hyphen_values = true)]
    pub(crate) seconds: f64,
    /// How often each measurement is repeated; the median counts
    #[arg(long, value_name = "N", default_value = "12", value_parser = positive, allow_hyphen_values = true)]
    pub(crate) repetitions: NonZeroUsize,
    /// Leave out the reference: crossbeam-channel between threads, or for pipe the raw kernel pipe between processes
    #[arg(long)]
    pub(crate) no_reference: bool,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    pub(crate) role: Role,
    /// Its number among the processes of its role
    pub(crate) number: u32,
    /// The process that started it
    pub(crate) parent: i32,
    /// How many messages it puts
    #[arg(default_value_t = 0)]
    pub(crate) messages: u32,
}

/// What a process of demo or bench does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    DemoProducer,
    DemoConsumer,
    BenchProducer,
    BenchConsumer,
    RawProducer,
    RawConsumer,
}

impl Role {
    /// Its name on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::DemoProducer => "demo-producer",
            Self::DemoConsumer => "demo-consumer",
            Self::BenchProducer => "bench-producer",
            Self::BenchConsumer => "bench-consumer",
            Self::RawProducer => "raw-producer",
            Self::RawConsumer => "raw-consumer",
        }
    }
}

fn size(text: &str) -> Result<usize, String> {
    let wrong = || "a size is written 64, 4KiB or 1MiB".to_owned();
    let digits_first = text.starts_with(|first: char| first.is_ascii_digit());
    let size: ByteSize = text.parse().map_err(|_| wrong())?;
    if !digits_first || size.as_u64() == u64::MAX {
        return Err(wrong());
    }
    usize::try_from(size.as_u64()).map_err(|_| wrong())
}

/// A measurement moves dozens of messages: of 2 GiB each that takes tens of gigabytes of memory, and many minutes.
fn bench_size(text: &str) -> Result<usize, String> {
    let huge = || "a benchmark holds many messages in memory: a size of at most 256MiB is needed".to_owned();
    size(text).and_then(|size| (size <= 256 << 20).then_some(size).ok_or_else(huge))
}

fn capacity(text: &str) -> Result<Capacity, String> {
    match text {
        "max" => Ok(Capacity::Max),
        number => match number.parse() {
            Ok(messages) if messages > 0 => Ok(Capacity::Exactly(messages)),
            _ => Err("a capacity is a number of messages, at least 1, or max".to_owned()),
        },
    }
}

fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a whole number is needed, which is neither negative nor too large".to_owned())
}

fn positive(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number is needed, at least 1".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a duration is written 500ms, 2s or 1m".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.001 to 3600 is needed".to_owned()),
    }
}

fn processes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=256) => Ok(number),
        _ => Err("a number of processes from 1 to 256 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("64"), Ok(64));
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        for wrong in ["", "KiB", "-1", "1XB", "99999999999TiB", "ten", "1e3", "nan", "inf", ".5"] {
            assert!(size(wrong).is_err(), "{wrong:?} was taken for {:?}", size(wrong));
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for wrong in ["", "5", "-1s", "2 parsecs", "s"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken for {:?}", duration(wrong));
        }
    }

    #[test]
    fn a_capacity_is_a_positive_number_or_max() {
        assert_eq!(capacity("max"), Ok(Capacity::Max));
        assert_eq!(capacity("3"), Ok(Capacity::Exactly(3)));
        for wrong in ["0", "-1", "many", "1.5", "99999999999999999999999"] {
            assert!(capacity(wrong).is_err(), "{wrong:?} was taken for {:?}", capacity(wrong));
        }
    }
}
