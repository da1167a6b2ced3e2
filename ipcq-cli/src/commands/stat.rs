//! `stat`: everything that is known of a queue.

use ipcq_core::{BackendError, Channel, QueueName};
use serde::Serialize;

use super::prometheus::exposition;
use crate::args::Format;
use crate::backend::Backends;
use crate::failure::Failure;
use crate::output::print;

/// Everything that is known of a queue, as it is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) name: Option<String>,
    pub(super) transport: &'static str,
    pub(super) len: usize,
    pub(super) capacity: usize,
    pub(super) bytes: u64,
    pub(super) closed: bool,
    pub(super) puts: u64,
    pub(super) gets: u64,
    pub(super) in_flight: usize,
    pub(super) redelivered: u64,
    pub(super) bytes_put: u64,
    pub(super) put_waits: u64,
    pub(super) get_waits: u64,
    pub(super) recoveries: u64,
    pub(super) waiting_putters: usize,
    pub(super) waiting_getters: usize,
    pub(super) codec: String,
    pub(super) max_message: usize,
    pub(super) auto_close: bool,
    pub(super) acknowledged: bool,
    pub(super) location: String,
}

impl Report {
    /// What `ls` shows of a queue, one to a line: what it promises, and no more, so that a line stays a line.
    pub(super) const LISTED: [&str; 13] = [
        "name",
        "transport",
        "len",
        "capacity",
        "bytes",
        "closed",
        "puts",
        "gets",
        "in_flight",
        "waiting_putters",
        "waiting_getters",
        "codec",
        "location",
    ];

    pub(super) fn of(channel: &dyn Channel) -> Result<Self, BackendError> {
        let (identity, stat) = (channel.identity(), channel.stat()?);
        Ok(Self {
            name: identity.name.as_ref().map(QueueName::to_string).or_else(|| identity.reached_at.clone()),
            transport: identity.transport,
            len: stat.len,
            capacity: identity.capacity,
            bytes: stat.bytes,
            closed: stat.closed,
            puts: stat.puts,
            gets: stat.gets,
            in_flight: stat.in_flight,
            redelivered: stat.redelivered,
            bytes_put: stat.bytes_put,
            put_waits: stat.put_waits,
            get_waits: stat.get_waits,
            recoveries: stat.recoveries,
            waiting_putters: stat.waiting_putters,
            waiting_getters: stat.waiting_getters,
            codec: identity.codec.clone(),
            max_message: identity.max_message,
            auto_close: identity.auto_close,
            acknowledged: identity.acknowledged,
            location: stat.location,
        })
    }

    /// One object on one line.
    pub(super) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::failed(error.to_string()))
    }

    /// Everything as text, by name.
    fn facts(&self) -> [(&'static str, String); 21] {
        let yes_or_no = |yes| if yes { "yes" } else { "no" }.to_owned();
        [
            ("name", self.name.clone().unwrap_or_default()),
            ("transport", self.transport.to_owned()),
            ("len", self.len.to_string()),
            ("capacity", self.capacity.to_string()),
            ("bytes", self.bytes.to_string()),
            ("closed", yes_or_no(self.closed)),
            ("puts", self.puts.to_string()),
            ("gets", self.gets.to_string()),
            ("in_flight", self.in_flight.to_string()),
            ("redelivered", self.redelivered.to_string()),
            ("bytes_put", self.bytes_put.to_string()),
            ("put_waits", self.put_waits.to_string()),
            ("get_waits", self.get_waits.to_string()),
            ("recoveries", self.recoveries.to_string()),
            ("waiting_putters", self.waiting_putters.to_string()),
            ("waiting_getters", self.waiting_getters.to_string()),
            ("codec", self.codec.clone()),
            ("max_message", self.max_message.to_string()),
            ("auto_close", yes_or_no(self.auto_close)),
            ("acknowledged", yes_or_no(self.acknowledged)),
            ("location", self.location.clone()),
        ]
    }

    /// The values of what is [`LISTED`](Self::LISTED), in its order.
    pub(super) fn listed(&self) -> [String; Self::LISTED.len()] {
        let facts = self.facts();
        Self::LISTED.map(|listed| {
            let fact = facts.iter().find(|(name, _)| *name == listed);
            fact.map(|(_, value)| value.clone()).unwrap_or_default()
        })
    }
}

pub(super) fn run(backends: &Backends, queue: &str, format: Format) -> Result<(), Failure> {
    let channel = backends.open(queue)?;
    let report = Report::of(&*channel)?;
    match format {
        Format::Json => print(&(report.json()? + "\n")),
        Format::Prometheus => print(&exposition(&[report])),
        Format::Text => {
            let lines = report.facts();
            print(&lines.iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect::<String>())
        }
    }
}
