//! What is known of queues in the text format that Prometheus scrapes.

use std::fmt::Write;

use super::stat::Report;

/// A metric: its name, its type, what it is, and its value.
type Metric = (&'static str, &'static str, &'static str, fn(&Report) -> u64);

const METRICS: [Metric; 14] = [
    ("ipcq_len", "gauge", "Messages in the queue.", |report| number(report.len)),
    ("ipcq_capacity", "gauge", "Messages that the queue takes.", |report| number(report.capacity)),
    ("ipcq_bytes", "gauge", "Storage in use, in bytes.", |report| report.bytes),
    ("ipcq_closed", "gauge", "1 when the queue is closed.", |report| u64::from(report.closed)),
    ("ipcq_in_flight", "gauge", "Messages handed out and not acknowledged.", |report| {
        number(report.in_flight)
    }),
    ("ipcq_waiting_putters", "gauge", "Calls that wait for room.", |report| number(report.waiting_putters)),
    ("ipcq_waiting_getters", "gauge", "Calls that wait for a message.", |report| {
        number(report.waiting_getters)
    }),
    ("ipcq_puts_total", "counter", "Messages put since the queue was made.", |report| report.puts),
    ("ipcq_gets_total", "counter", "Messages taken since the queue was made.", |report| report.gets),
    ("ipcq_put_bytes_total", "counter", "Bytes of the messages put since the queue was made.", |report| {
        report.bytes_put
    }),
    ("ipcq_redeliveries_total", "counter", "Messages handed out again that had come back.", |report| {
        report.redelivered
    }),
    ("ipcq_put_waits_total", "counter", "Calls that slept because there was no room.", |report| {
        report.put_waits
    }),
    ("ipcq_get_waits_total", "counter", "Calls that slept because there was no message.", |report| {
        report.get_waits
    }),
    ("ipcq_recoveries_total", "counter", "Deaths inside a call, put right by the next.", |report| {
        report.recoveries
    }),
];

/// All metrics of all queues, those of one kind together, as the format wants it.
pub(super) fn exposition(reports: &[Report]) -> String {
    let mut text = String::new();
    for (metric, kind, help, value) in METRICS {
        let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
        for report in reports {
            // No name has a character that would have to be escaped.
            let (name, transport) = (report.name.as_deref().unwrap_or_default(), report.transport);
            let _ =
                writeln!(text, "{metric}{{queue=\"{name}\",transport=\"{transport}\"}} {}", value(report));
        }
    }
    text
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
