//! The results of a benchmark: a table for people, or one json object a line.

use bytesize::ByteSize;
use serde::Serialize;

use super::crew::Shape;
use super::job::{How, Waiting};
use crate::args::Format;
use crate::failure::Failure;
use crate::output::table;

/// How fast messages went through a queue, and beside it through the reference.
#[derive(Debug, Serialize)]
pub(super) struct Throughput {
    pub(super) transport: &'static str,
    pub(super) size: usize,
    pub(super) producers: usize,
    pub(super) consumers: usize,
    /// How many messages are moved by one call.
    pub(super) batch: usize,
    /// How many threads of each process call at a time.
    pub(super) threads: usize,
    pub(super) messages_per_second: f64,
    pub(super) bytes_per_second: f64,
    /// What it is measured beside.
    pub(super) reference: Option<&'static str>,
    /// Of the reference one by one, which knows no batches.
    pub(super) reference_messages_per_second: Option<f64>,
    /// How many times as fast as the reference the queue is.
    pub(super) ratio: Option<f64>,
}

/// How long messages took there and back, or a put with its reply.
#[derive(Debug, Serialize)]
pub(super) struct Exchange {
    measured: &'static str,
    pub(super) transport: &'static str,
    pub(super) size: usize,
    /// How both sides wait: busy, or blocking.
    pub(super) wait: &'static str,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// What it is measured beside.
    pub(super) reference: Option<&'static str>,
    pub(super) reference_p50_us: Option<f64>,
    pub(super) reference_p99_us: Option<f64>,
    /// How many times as fast as the reference the queue is.
    pub(super) ratio: Option<f64>,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Results {
    throughput: Vec<Throughput>,
    exchanges: Vec<Exchange>,
}

/// One object of the json output.
#[derive(Serialize)]
struct Line<'a, T> {
    measured: &'static str,
    #[serde(flatten)]
    result: &'a T,
}

impl Results {
    /// Takes in what messages of `size` bytes did: the median rate of the queue and of the reference.
    pub(super) fn add_throughput(
        &mut self,
        transport: &'static str,
        shape: Shape,
        (how, size): (How, usize),
        rate: f64,
        reference: Option<(&'static str, f64)>,
    ) {
        let bytes = u32::try_from(size).map_or(f64::INFINITY, f64::from);
        self.throughput.push(Throughput {
            transport,
            size,
            producers: shape.producers,
            consumers: shape.consumers,
            batch: if let How::Batches(batch) = how { batch } else { 1 },
            threads: if let How::Threads(threads) = how { threads } else { 1 },
            messages_per_second: rate.round(),
            bytes_per_second: (rate * bytes).round(),
            reference: reference.map(|(name, _)| name),
            reference_messages_per_second: reference.map(|(_, rate)| rate.round()),
            ratio: reference.map(|(_, reference)| rounded(rate / reference)),
        });
    }

    /// Takes in how long exchanges of messages of `size` bytes took, median and 99th percentile in nanoseconds.
    pub(super) fn add_exchange(
        &mut self,
        transport: &'static str,
        (how, size): (How, usize),
        (p50, p99): (f64, f64),
        reference: Option<(&'static str, (f64, f64))>,
    ) {
        let us = |ns: f64| rounded(ns / 1000.0);
        let (measured, waiting) = match how {
            How::Call(waiting) => ("call", waiting),
            How::RoundTrip(waiting) => ("round_trip", waiting),
            _ => ("round_trip", Waiting::Blocking),
        };
        self.exchanges.push(Exchange {
            measured,
            transport,
            size,
            wait: waiting.as_str(),
            p50_us: us(p50),
            p99_us: us(p99),
            reference: reference.map(|(name, _)| name),
            reference_p50_us: reference.map(|(_, (p50, _))| us(p50)),
            reference_p99_us: reference.map(|(_, (_, p99))| us(p99)),
            ratio: reference.map(|(_, (reference, _))| rounded(reference / p50)),
        });
    }

    pub(super) fn shown(&self, format: Format) -> Result<String, Failure> {
        match format {
            Format::Json => self.json().map_err(|error| Failure::failed(error.to_string())),
            Format::Text => {
                let calls = self.exchange_table("call", "put and reply p50");
                let gap = if calls.is_empty() { "" } else { "\n" };
                let round_trips = self.exchange_table("round_trip", "round trip p50");
                Ok(self.throughput_table() + "\n" + &round_trips + gap + &calls)
            }
        }
    }

    fn json(&self) -> serde_json::Result<String> {
        let mut text = String::new();
        for result in &self.throughput {
            text += &(serde_json::to_string(&Line { measured: "throughput", result })? + "\n");
        }
        for result in &self.exchanges {
            text += &(serde_json::to_string(result)? + "\n");
        }
        Ok(text)
    }

    fn throughput_table(&self) -> String {
        let titles = [
            "transport",
            "size",
            "processes",
            "by",
            "messages/s",
            "bytes/s",
            "reference",
            "one by one/s",
            "ratio",
        ];
        let rows = self.throughput.iter().map(|result| {
            [
                result.transport.to_owned(),
                ByteSize(result.size.try_into().unwrap_or(u64::MAX)).to_string(),
                format!("{}x{}", result.producers, result.consumers),
                match (result.batch, result.threads) {
                    (1, 1) => "one".to_owned(),
                    (1, threads) => format!("one, {threads} threads each"),
                    (batch, _) => format!("batches of {batch}"),
                },
                scaled(result.messages_per_second),
                scaled(result.bytes_per_second) + "B",
                result.reference.unwrap_or_default().to_owned(),
                result.reference_messages_per_second.map_or_else(String::new, scaled),
                result.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
            ]
        });
        table(&titles, &rows.collect::<Vec<_>>())
    }

    /// What there is of one kind.
    fn exchange_table(&self, measured: &str, title: &str) -> String {
        let titles = ["transport", "size", "waiting", title, "p99", "reference", "p50", "p99", "ratio"];
        let us = |us: f64| format!("{us:.2} us");
        let results = self.exchanges.iter().filter(|result| result.measured == measured);
        let rows = results.map(|result| {
            [
                result.transport.to_owned(),
                ByteSize(result.size.try_into().unwrap_or(u64::MAX)).to_string(),
                result.wait.to_owned(),
                us(result.p50_us),
                us(result.p99_us),
                result.reference.unwrap_or_default().to_owned(),
                result.reference_p50_us.map_or_else(String::new, us),
                result.reference_p99_us.map_or_else(String::new, us),
                result.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
            ]
        });
        let rows: Vec<_> = rows.collect();
        if rows.is_empty() { String::new() } else { table(&titles, &rows) }
    }
}

/// Three digits after the point are more than can be measured.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// `15.2 M`: a rate for people.
fn scaled(rate: f64) -> String {
    let (divisor, unit) = match rate {
        1e9.. => (1e9, "G"),
        1e6.. => (1e6, "M"),
        1e3.. => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{:.1} {unit}", rate / divisor)
}
