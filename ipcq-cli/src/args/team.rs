//! What the commands take that start processes of their own: `demo`, `run` and `bench`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use ipcq_core::Capacity;

use super::values::{bench_size, capacity, positive, processes, seconds, whole};

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

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// How many messages its queue takes; max is the most that the transport can hold [default: 1000]
    #[arg(long, value_name = "N|max", value_parser = capacity, allow_hyphen_values = true)]
    pub(crate) capacity: Option<Capacity>,
    /// Commands whose lines become messages; may be given more than once
    #[arg(long = "producer", value_name = "CMD", required = true, num_args = 1..)]
    pub(crate) producers: Vec<String>,
    /// Commands that read messages as lines on stdin; may be given more than once
    #[arg(long = "consumer", value_name = "CMD", required = true, num_args = 1..)]
    pub(crate) consumers: Vec<String>,
    /// How many processes of each consumer
    #[arg(short = 'j', long, value_name = "N", default_value = "1", value_parser = processes, allow_hyphen_values = true)]
    pub(crate) jobs: usize,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// The sizes of messages, up to 256MiB [default: 64,64KiB, and two between for a report]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = bench_size)]
    size: Vec<usize>,
    /// Draw the results into this file, which needs nothing else: .html or .svg; or write them as .json
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
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

impl BenchArgs {
    /// The sizes of messages.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        match (self.size.is_empty(), &self.report) {
            (false, _) => self.size.clone(),
            (true, None) => vec![64, 64 << 10],
            (true, Some(_)) => vec![64, 1 << 10, 8 << 10, 64 << 10],
        }
    }
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
