//! The results of a benchmark: a table for people, or one json object a line.

use bytesize::ByteSize;
use ipcq_cli::measure::chart::scaled;
use ipcq_cli::measure::job::{How, Waiting};
use ipcq_cli::measure::spread::{PERMILLES, median, ratios};
use ipcq_cli::measure::{Job, Measured, Shape};
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::output::table;

/// What exchanges are called that go there and back.
pub(super) const ROUND_TRIP: &str = "round_trip";

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
    pub(super) measured: &'static str,
    pub(super) transport: &'static str,
    pub(super) size: usize,
    /// How both sides wait: busy, or blocking.
    pub(super) wait: &'static str,
    pub(super) p50_us: f64,
    /// Of the repetitions, each of which took another pair of processors.
    pub(super) p50_us_least: f64,
    pub(super) p50_us_most: f64,
    pub(super) p99_us: f64,
    /// At each of [`PERMILLES`].
    pub(super) spread_us: Vec<f64>,
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
    pub(super) throughput: Vec<Throughput>,
    pub(super) exchanges: Vec<Exchange>,
}

/// One object of the json output.
#[derive(Serialize)]
struct Line<'a, T> {
    measured: &'static str,
    #[serde(flatten)]
    result: &'a T,
}

impl Results {
    /// Takes in how fast messages went through the queue in each repetition, and through the reference beside it.
    pub(super) fn add_throughput(
        &mut self,
        transport: &'static str,
        shape: Shape,
        job: Job,
        rates: &[f64],
        reference: Option<(&'static str, &[f64])>,
    ) {
        let (how, rate) = (job.how, median(rates));
        let bytes = u32::try_from(job.size).map_or(f64::INFINITY, f64::from);
        self.throughput.push(Throughput {
            transport,
            size: job.size,
            producers: shape.producers,
            consumers: shape.consumers,
            batch: if let How::Batches(batch) = how { batch } else { 1 },
            threads: if let How::Threads(threads) = how { threads } else { 1 },
            messages_per_second: rate.round(),
            bytes_per_second: (rate * bytes).round(),
            reference: reference.map(|(name, _)| name),
            reference_messages_per_second: reference.map(|(_, rates)| median(rates).round()),
            ratio: reference.map(|(_, beside)| ratio(rates, beside)),
        });
    }

    /// Takes in how long the exchanges of each repetition took, and those of the reference beside it.
    pub(super) fn add_exchange(
        &mut self,
        transport: &'static str,
        job: Job,
        measured: &[Measured],
        reference: Option<(&'static str, &[Measured])>,
    ) {
        let own = measured;
        let (p50s, p99s) = (times(measured, |one| one.p50), times(measured, |one| one.p99));
        let beside =
            reference.map(|(_, beside)| (times(beside, |one| one.p50), times(beside, |one| one.p99)));
        let (measured, waiting) = match job.how {
            How::Call(waiting) => ("call", waiting),
            How::RoundTrip(waiting) => (ROUND_TRIP, waiting),
            _ => (ROUND_TRIP, Waiting::Blocking),
        };
        self.exchanges.push(Exchange {
            measured,
            transport,
            size: job.size,
            wait: waiting.as_str(),
            p50_us: rounded(median(&p50s)),
            p50_us_least: rounded(p50s.iter().copied().fold(f64::INFINITY, f64::min)),
            p50_us_most: rounded(p50s.iter().copied().fold(0.0, f64::max)),
            p99_us: rounded(median(&p99s)),
            spread_us: spread(own),
            reference: reference.map(|(name, _)| name),
            reference_p50_us: beside.as_ref().map(|(p50s, _)| rounded(median(p50s))),
            reference_p99_us: beside.as_ref().map(|(_, p99s)| rounded(median(p99s))),
            ratio: beside.as_ref().map(|(beside, _)| ratio(beside, &p50s)),
        });
    }

    pub(super) fn shown(&self, format: Format) -> Result<String, Failure> {
        match format {
            Format::Json => self.json().map_err(|error| Failure::failed(error.to_string())),
            Format::Text | Format::Prometheus => {
                let calls = self.exchange_table("call", "put and reply p50");
                let gap = if calls.is_empty() { "" } else { "\n" };
                let round_trips = self.exchange_table(ROUND_TRIP, "round trip p50");
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
        let titles =
            ["transport", "size", "waiting", title, "over pairs", "p99", "reference", "p50", "p99", "ratio"];
        let us = |us: f64| format!("{us:.2} us");
        let results = self.exchanges.iter().filter(|result| result.measured == measured);
        let rows = results.map(|result| {
            [
                result.transport.to_owned(),
                ByteSize(result.size.try_into().unwrap_or(u64::MAX)).to_string(),
                result.wait.to_owned(),
                us(result.p50_us),
                format!("{:.2}-{:.2}", result.p50_us_least, result.p50_us_most),
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

/// In microseconds, what each repetition took in nanoseconds.
fn times(measured: &[Measured], of: fn(&Measured) -> u64) -> Vec<f64> {
    measured.iter().map(|one| from_ns(of(one))).collect()
}

/// In microseconds.
fn from_ns(ns: u64) -> f64 {
    u32::try_from(ns).map_or(f64::INFINITY, f64::from) / 1000.0
}

/// In microseconds, the median of the repetitions at each share.
fn spread(measured: &[Measured]) -> Vec<f64> {
    let us = |place: usize| measured.iter().map(move |one| from_ns(one.spread[place])).collect::<Vec<_>>();
    (0..PERMILLES.len()).map(|place| rounded(median(&us(place)))).collect()
}

/// The median of what each of `numbers` is of the one `beside` it.
fn ratio(numbers: &[f64], beside: &[f64]) -> f64 {
    three_digits(median(&ratios(numbers, beside)))
}

/// The first three digits, wherever the point is: a broker beside a channel between threads is a small part of it.
fn three_digits(number: f64) -> f64 {
    format!("{number:.2e}").parse().unwrap_or(number)
}

/// Three digits after the point are more than can be measured.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
