//! What the benchmark is asked for.

use std::path::PathBuf;

use clap::Parser;

/// Measures ipcq beside other ways from process to process.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p ipcq-tests --")]
pub(crate) struct Options {
    /// Only these transports of ipcq
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "shm,pipe,zmq")]
    pub(crate) transport: Vec<String>,
    /// Only scenarios whose names have one of these in them
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) scenario: Vec<String>,
    /// Beside ipcq only contenders whose names have one of these in them
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) peer: Vec<String>,
    /// How often all are measured in turn
    #[arg(long, default_value_t = 30)]
    pub(crate) rounds: usize,
    /// How long one measurement takes, in seconds
    #[arg(long, default_value_t = 0.02)]
    pub(crate) seconds: f64,
    /// Only say which scenarios there are
    #[arg(long)]
    pub(crate) list: bool,
    /// Measure nothing: take the results of an earlier run from this json file
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Write results.json, RESULTS.md and results.svg into this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) write: Option<PathBuf>,
    /// What Cargo passes to benchmarks
    #[arg(long, hide = true)]
    bench: bool,
    /// A fixed number of messages for each pair of processes, for tests
    #[arg(skip)]
    pub(crate) messages: Option<usize>,
}

impl Options {
    /// Everything once, for milliseconds.
    pub(crate) fn quick() -> Self {
        let quick = Self::parse_from(["quick", "--rounds", "1"]);
        Self { messages: Some(2), ..quick }
    }

    /// Whether the scenario of that name is to be measured.
    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.scenario.is_empty() || self.scenario.iter().any(|part| scenario.contains(part.as_str()))
    }
}
