//! The report of a benchmark: pictures of what was measured, in a file that needs nothing else.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use bytesize::ByteSize;
use ipcq_cli::measure::chart::{Chart, SIZE, Series, escaped};
use ipcq_cli::measure::job::Waiting;
use ipcq_cli::measure::spread::PERMILLES;

use super::report::{Exchange, ROUND_TRIP, Results, Throughput};
use crate::args::Format;
use crate::failure::Failure;

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Html,
    Svg,
    Json,
}

/// Where a report goes, and what it is.
#[derive(Debug)]
pub(super) struct Target<'a> {
    path: &'a Path,
    kind: Kind,
}

impl<'a> Target<'a> {
    /// Checks before anything is measured, which takes long, that it can be written to `path`.
    pub(super) fn new(path: &'a Path) -> Result<Self, Failure> {
        let kind = match path.extension().and_then(OsStr::to_str) {
            Some("html") => Kind::Html,
            Some("svg") => Kind::Svg,
            Some("json") => Kind::Json,
            _ => {
                let path = path.display();
                return Err(Failure::failed(format!(
                    "a report is an .html, .svg or .json file, and {path} is none; give it one of these endings"
                )));
            }
        };
        // An old report stays until there is a new one.
        match fs::File::options().append(true).create(true).open(path) {
            Ok(_) => Ok(Self { path, kind }),
            Err(error) => Err(unwritable(path, &error)),
        }
    }

    pub(super) fn write(&self, results: &Results) -> Result<(), Failure> {
        let text = match self.kind {
            Kind::Html => html(&svg(results), &results.shown(Format::Text)?),
            Kind::Svg => svg(results),
            Kind::Json => results.shown(Format::Json)?,
        };
        fs::write(self.path, text).map_err(|error| unwritable(self.path, &error))
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let cause = crate::failure::cause(error);
    Failure::failed(format!(
        "the report {} could not be written ({cause}); write it elsewhere",
        path.display()
    ))
}

/// On a narrow screen the pictures and the tables scroll, each by itself: made smaller, nobody could read them. The
/// pictures have light colours of their own, which a dark page replaces.
const STYLE: &str = "\
:root { color-scheme: light dark }
body { font-family: sans-serif; margin: 1.5em; background: white; color: black }
div, pre { overflow-x: auto }
@media (max-width: 600px) { body { margin: 0.5em } }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #e6e6e6 }
  svg > rect { fill: #16181c }
  svg text { fill: #e6e6e6 }
  svg [stroke='#ddd'] { stroke: #444 }
  svg [stroke='#0072b2'] { stroke: #56b4e9 }
  svg [fill='#0072b2'] { fill: #56b4e9 }
}";

fn html(svg: &str, tables: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>ipcq bench</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <style>\n{STYLE}\n</style></head>\n\
         <body>\n<h1>ipcq bench</h1>\n<p>{}</p>\n<div>{svg}</div>\n<pre>{}</pre>\n</body>\n</html>\n",
        escaped(&here()),
        escaped(tables)
    )
}

/// What was measured, and where: figures of two machines do not compare.
fn here() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("of an unknown kind", |(_, model)| model);
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("ipcq {} on {count} processors ({model}), Linux {}", env!("CARGO_PKG_VERSION"), kernel.trim())
}

/// All charts, one below the other.
fn svg(results: &Results) -> String {
    let charts = [by_size(results), by_processes(results), latency(results)];
    let charts: Vec<Chart> = charts.into_iter().filter(|chart| !chart.series.is_empty()).collect();
    let (width, each) = SIZE;
    let mut above = 0;
    let drawn = charts.iter().map(|chart| {
        let drawn = chart.draw(above);
        above += each;
        drawn
    });
    let drawn: String = drawn.collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{above}\" \
         viewBox=\"0 0 {width} {above}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{drawn}</svg>\n"
    )
}

/// What is compared in one line, and in which order it was measured.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

/// The throughput at each of `places`, a line for each transport one by one, and in batches.
fn throughput<P: PartialEq>(
    rows: &[&Throughput],
    places: &[P],
    place: impl Fn(&Throughput) -> P,
) -> Vec<Series> {
    let transports = distinct(rows.iter().map(|row| row.transport));
    let mut series = Vec::new();
    for (colour, transport) in transports.into_iter().enumerate() {
        for (dash, batched) in [false, true].into_iter().enumerate() {
            let of_line: Vec<_> = rows
                .iter()
                .filter(|row| row.transport == transport && (row.batch > 1) == batched && row.threads == 1)
                .collect();
            let at = |wanted: &P| of_line.iter().find(|row| place(row) == *wanted);
            let values = places.iter().map(|wanted| at(wanted).map(|row| row.messages_per_second)).collect();
            let how = if batched { "batches" } else { "one by one" };
            series.push(Series { name: format!("{transport}, {how}"), colour, dash, values });
        }
    }
    series
}

fn by_size(results: &Results) -> Chart {
    let fewest = results.throughput.iter().map(shape).min();
    let rows: Vec<_> = results.throughput.iter().filter(|row| Some(shape(row)) == fewest).collect();
    let mut sizes = distinct(rows.iter().map(|row| row.size));
    sizes.sort_unstable();
    let (producers, consumers) = fewest.unwrap_or((0, 0));
    Chart {
        title: format!("Throughput by size, {producers} to {consumers} processes"),
        axes: ["message size", "messages/s"],
        places: sizes.iter().map(|&size| size_name(size)).collect(),
        series: throughput(&rows, &sizes, |row| row.size),
    }
}

fn by_processes(results: &Results) -> Chart {
    let least = results.throughput.iter().map(|row| row.size).min();
    let rows: Vec<_> = results.throughput.iter().filter(|row| Some(row.size) == least).collect();
    let shapes = distinct(rows.iter().map(|row| shape(row)));
    Chart {
        title: format!("Throughput by processes, messages of {}", size_name(least.unwrap_or(0))),
        axes: ["producers to consumers", "messages/s"],
        places: shapes.iter().map(|(producers, consumers)| format!("{producers} to {consumers}")).collect(),
        series: throughput(&rows, &shapes, shape),
    }
}

fn latency(results: &Results) -> Chart {
    let trips = || results.exchanges.iter().filter(|row| row.measured == ROUND_TRIP);
    let least = trips().map(|row| row.size).min();
    let transports = distinct(trips().map(|row| row.transport));
    let line = |row: &Exchange| Series {
        name: format!("{}, {}", row.transport, row.wait),
        colour: transports.iter().position(|transport| *transport == row.transport).unwrap_or(0),
        dash: usize::from(row.wait == Waiting::Blocking.as_str()),
        values: row.spread_us.iter().copied().map(Some).collect(),
    };
    Chart {
        title: format!("Round trips, messages of {}", size_name(least.unwrap_or(0))),
        axes: ["share of round trips that took no longer", "microseconds"],
        places: PERMILLES.iter().map(|permille| percent(*permille)).collect(),
        series: trips().filter(|row| Some(row.size) == least).map(line).collect(),
    }
}

const fn shape(row: &Throughput) -> (usize, usize) {
    (row.producers, row.consumers)
}

fn percent(permille: usize) -> String {
    let (whole, tenth) = (permille / 10, permille % 10);
    if tenth == 0 { format!("{whole} %") } else { format!("{whole}.{tenth} %") }
}

fn size_name(size: usize) -> String {
    ByteSize(size.try_into().unwrap_or(u64::MAX)).to_string()
}
