//! What `put` and `get` take: messages in a stream of bytes.

use std::ffi::OsString;
use std::time::Duration;

use super::values::{duration, processes, whole};

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
    /// How many commands run at once
    #[arg(short = 'j', long, value_name = "N", default_value = "1", value_parser = processes, requires = "exec")]
    pub(crate) jobs: usize,
    /// Run this command once for each message, which it reads on stdin, or has in place of {} in its arguments
    ///
    /// It is the rest of the line. Its exit status says whether it has done its work: commands that fail are counted, and
    /// the status is 2 then.
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true, conflicts_with_all = ["null", "raw", "length_prefixed"])]
    pub(crate) exec: Option<Vec<OsString>>,
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

impl WaitArgs {
    /// Whether anything was said.
    pub(crate) const fn is_bounded(self) -> bool {
        self.no_wait || self.timeout.is_some()
    }
}
