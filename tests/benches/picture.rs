//! The results as a picture.

use ipcq_cli::measure::chart::{Chart, SIZE, Series};

use crate::interval::Interval;
use crate::results::{Outcome, Results};
use crate::scenario::{SIZES, TRANSPORTS, id, size_name};

/// All charts, one below the other.
pub(crate) fn svg(results: &Results) -> String {
    let sizes = SIZES.map(|size| (size_name(size), id("stream", 1, size)));
    let shapes = [1, 2, 4, 8].map(|count| (format!("{count} to {count}"), id("stream", count, 64)));
    let batches = [1, 2, 4, 8].map(|count| (format!("{count} to {count}"), id("batch", count, 64)));
    let trips = ["roundtrip-busy", "roundtrip-asleep"].map(|kind| (kind.to_owned(), id(kind, 1, 64)));
    let charts = [
        chart(results, "One at a time, 1 to 1 processes", ["message size", "messages/s"], &sizes),
        chart(results, "One at a time, messages of 64 B", ["producers to consumers", "messages/s"], &shapes),
        chart(results, "Batches of 64, messages of 64 B", ["producers to consumers", "messages/s"], &batches),
        chart(results, "Round trips, messages of 64 B", ["how both sides wait", "microseconds"], &trips),
    ];
    // The legend of many lines is longer than a chart is high.
    let (width, each) = (SIZE.0, SIZE.1);
    let (mut drawn, mut above) = (String::new(), 0);
    for chart in charts.iter().filter(|chart| !chart.series.is_empty()) {
        drawn += &chart.draw(above);
        above += each;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{above}\" \
         viewBox=\"0 0 {width} {above}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{drawn}</svg>\n"
    )
}

/// A line for each that took part, over `places`, each of which is a scenario.
fn chart(results: &Results, title: &str, axes: [&'static str; 2], places: &[(String, String)]) -> Chart {
    let outcomes: Vec<Option<&Outcome>> = places.iter().map(|(_, id)| results.find(id)).collect();
    let mut labels: Vec<&str> = Vec::new();
    for entered in outcomes.iter().flatten().flat_map(|outcome| &outcome.entered) {
        if !labels.contains(&entered.label.as_str()) {
            labels.push(&entered.label);
        }
    }
    let value = |outcome: &Option<&Outcome>, label: &str| {
        let entered = (*outcome)?.find(label)?;
        Interval::of(&entered.values).map(|interval| interval.median)
    };
    let series = labels.iter().enumerate().map(|(number, label)| Series {
        name: (*label).to_owned(),
        colour: number,
        // ipcq's lines are whole, those of others, and of variants, are broken.
        dash: if TRANSPORTS.contains(label) { 0 } else { 1 + number / 6 },
        values: outcomes.iter().map(|outcome| value(outcome, label)).collect(),
    });
    let places = places.iter().map(|(name, _)| name.clone()).collect();
    Chart { title: title.to_owned(), axes, places, series: series.collect() }
}
