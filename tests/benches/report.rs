//! The results as people read them.

use std::fmt::Write;

use ipcq_cli::measure::chart::scaled;

use crate::bounds;
use crate::interval::Interval;
use crate::results::{Entered, Outcome, Results};
use crate::scenario::size_name;
use crate::storage::{CAPACITY, SIZE};
use crate::targets;

/// All of it, as `RESULTS.md` has it.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text =
        "# What was measured\n\nMade by `cargo bench -p ipcq-tests`; README.md says how it is measured.\n\n"
            .to_owned();
    text += &machine(results);
    text += "\n## Targets\n\n";
    text += "A ratio is of ipcq's figure to that of the one beside it: the median of the rounds' ratios. A target is met when \
             all of the interval keeps to it.\n\n";
    text += &targets::table(results);
    text += &bounds::section(&targets::verdicts(results));
    text += "\n![throughput and round trips](results.svg)\n\n## Figures\n";
    for outcome in &results.scenarios {
        text += &scenario(outcome);
    }
    text += &storage(results);
    text
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "- {name}: {value}");
        }
    };
    row("commit", &machine.commit);
    row("processors", &format!("{} x {}, {} GiB", machine.processors, machine.processor, machine.memory_gib));
    row("system", &machine.kernel);
    row("built with", &machine.compiler);
    row("beside", &machine.versions.join(", "));
    row("Python", &machine.python);
    row("load when it began", &machine.load);
    row("rounds", &results.rounds.to_string());
    for (name, why) in &results.absent {
        row(&format!("absent, {name}"), why);
    }
    text
}

fn scenario(outcome: &Outcome) -> String {
    let line = outcome.line().map_or_else(String::new, |line| {
        let (low, median, high) = (line.low, line.median, line.high);
        format!("A cache line there and back: {median:.0} ns ({low:.0}-{high:.0}).\n\n")
    });
    let mut text = format!("\n### {}\n\n{line}", outcome.id);
    text += match outcome.is_time() {
        true => {
            "| | p50, us | 95 % interval | p99, us | processors, us a message |\n|---|---:|---:|---:|---:|\n"
        }
        false => {
            "| | messages/s | 95 % interval | bytes/s | processors, ns a message |\n|---|---:|---:|---:|---:|\n"
        }
    };
    for entered in &outcome.entered {
        text += &row(outcome, entered);
    }
    for broken in &outcome.broken {
        let _ = writeln!(text, "\nWent wrong: {broken}");
    }
    text
}

fn row(outcome: &Outcome, entered: &Entered) -> String {
    let Some(figure) = Interval::of(&entered.values) else { return String::new() };
    let busy = Interval::of(&entered.processor_ns).map(|busy| busy.median);
    let label = &entered.label;
    if outcome.is_time() {
        let p99 = Interval::of(&entered.p99_us).map_or(0.0, |p99| p99.median);
        let busy = busy.map_or_else(String::new, |busy| format!("{:.2}", busy / 1000.0));
        return format!(
            "| {label} | {:.2} | {:.2}-{:.2} | {p99:.2} | {busy} |\n",
            figure.median, figure.low, figure.high
        );
    }
    let bytes = scaled(figure.median * f64::from(u32::try_from(outcome.size).unwrap_or(u32::MAX)));
    let busy = busy.map_or_else(String::new, |busy| format!("{busy:.0}"));
    let (median, low, high) = (scaled(figure.median), scaled(figure.low), scaled(figure.high));
    format!("| {label} | {median} | {low}-{high} | {bytes}B | {busy} |\n")
}

fn storage(results: &Results) -> String {
    if results.storage.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n### storage\n\nWhat `stat` says that a queue takes: made, with {CAPACITY} messages of {}, and without them again; \
         and how long it takes to make one, to open it and to remove it.\n\n\
         | | empty | full | drained | create, us | open, us | remove, us |\n|---|---:|---:|---:|---:|---:|---:|\n",
        size_name(SIZE)
    );
    for stored in &results.storage {
        let [empty, full, drained] = [stored.empty, stored.full, stored.drained]
            .map(|bytes| size_name(usize::try_from(bytes).unwrap_or(0)));
        let _ = writeln!(
            text,
            "| {} | {empty} | {full} | {drained} | {:.0} | {:.0} | {:.0} |",
            stored.transport, stored.create_us, stored.open_us, stored.remove_us
        );
    }
    text
}
