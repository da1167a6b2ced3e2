//! What ipcq is to reach beside others, and whether it does.

use ipcq_cli::measure::spread::ratios;

use crate::interval::Interval;
use crate::results::Results;
use crate::scenario::id;

/// What a ratio is to be, of ipcq's figure to that of the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// Of times: no more than this many times as long.
    AtMost(f64),
    /// Of rates: no less than this many times as fast.
    AtLeast(f64),
}
use Bound::{AtLeast, AtMost};

impl Bound {
    /// Whether all of the interval keeps to it.
    fn is_met(self, ratio: Interval) -> bool {
        match self {
            AtMost(most) => ratio.high <= most,
            AtLeast(least) => ratio.low >= least,
        }
    }

    fn text(self) -> String {
        match self {
            AtMost(most) => format!("<= {most}x"),
            AtLeast(least) => format!(">= {least}x"),
        }
    }
}

/// One thing to reach.
#[derive(Clone, Debug)]
struct Target {
    scenario: String,
    own: &'static str,
    peer: &'static str,
    bound: Bound,
    /// What would be better still, and does not hold anything up.
    stretch: Option<Bound>,
}

/// Whether a target is reached.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    target: Target,
    ratio: Option<Interval>,
    /// What a cache line took meanwhile, in nanoseconds.
    line: Option<Interval>,
}

impl Verdict {
    pub(crate) const fn is_measured(&self) -> bool {
        self.ratio.is_some()
    }

    pub(crate) fn is_met(&self) -> bool {
        self.ratio.is_some_and(|ratio| self.target.bound.is_met(ratio))
    }

    /// Whether it was measured, and is not reached.
    pub(crate) fn is_missed(&self) -> bool {
        self.is_measured() && !self.is_met()
    }

    /// The scenario, ipcq's part in it, and whom it is beside.
    pub(crate) fn parts(&self) -> [&str; 3] {
        [&self.target.scenario, self.target.own, self.target.peer]
    }

    /// What was to be reached, and what was.
    pub(crate) fn miss(&self) -> String {
        let Target { scenario, own, peer, bound, .. } = &self.target;
        let got = self.ratio.map_or_else(String::new, |ratio| {
            format!("{:.2}x ({:.2}-{:.2})", ratio.median, ratio.low, ratio.high)
        });
        format!("**{scenario}, {own}** beside {peer}: {got}, to be {}", bound.text())
    }

    /// A line of the table.
    pub(crate) fn row(&self) -> String {
        let Target { scenario, own, peer, bound, stretch } = &self.target;
        let stretch_text = stretch.map_or_else(String::new, |stretch| format!(" ({})", stretch.text()));
        let (got, line, met) = match (self.ratio, self.line) {
            (Some(ratio), Some(line)) => {
                let stretched = stretch.is_some_and(|stretch| stretch.is_met(ratio));
                let met = match (self.is_met(), stretched) {
                    (true, true) => "yes, and the stretch",
                    (true, false) => "yes",
                    (false, _) => "**no**",
                };
                let got = format!("{:.2}x | {:.2}-{:.2}", ratio.median, ratio.low, ratio.high);
                (got, format!("{:.0}", line.median), met)
            }
            _ => ("- | -".to_owned(), "-".to_owned(), "not measured"),
        };
        format!("| {scenario} | {own} | {peer} | {}{stretch_text} | {got} | {line} | {met} |", bound.text())
    }
}

/// What ipcq is to reach.
fn targets() -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |scenario: String, own, peer, bound, stretch: Option<Bound>| {
        targets.push(Target { scenario, own, peer, bound, stretch });
    };
    let trip = |kind: &str| id(&format!("roundtrip-{kind}"), 1, 64);
    add(trip("busy"), "shm", "rtrb, threads", AtMost(2.0), Some(AtMost(1.3)));
    add(trip("busy"), "pipe", "raw pipe", AtMost(1.7), None);
    add(trip("busy"), "zmq", "relayed Unix socket", AtMost(1.4), None);
    add(trip("asleep"), "shm", "raw futex", AtMost(1.1), None);
    add(trip("asleep"), "pipe", "raw pipe", AtMost(1.15), None);
    add(trip("asleep"), "zmq", "relayed Unix socket", AtMost(1.4), None);

    let stream = |processes, size| id("stream", processes, size);
    const CROSSBEAM: &str = "crossbeam-channel, threads";
    const ZEROMQ: &str = "zeromq PUSH/PULL";
    add(stream(1, 64), "shm", CROSSBEAM, AtLeast(1.0), Some(AtLeast(2.0)));
    add(stream(1, 64), "pipe", "raw pipe", AtLeast(0.8), None);
    add(stream(1, 64), "zmq, 16 callers", ZEROMQ, AtLeast(1.0), None);
    add(stream(4, 64), "shm", CROSSBEAM, AtLeast(0.7), Some(AtLeast(1.0)));
    add(stream(4, 64), "shm", "boost message_queue", AtLeast(1.3), Some(AtLeast(2.0)));
    add(stream(4, 64), "pipe", "raw pipe", AtLeast(0.6), Some(AtLeast(0.8)));
    add(stream(4, 64), "zmq", ZEROMQ, AtLeast(0.5), None);

    let batch = |processes| id("batch", processes, 64);
    add(batch(1), "shm", "Aeron IPC", AtLeast(2.0), Some(AtLeast(3.0)));
    add(batch(4), "shm", CROSSBEAM, AtLeast(8.0), None);
    add(batch(1), "pipe", "raw pipe", AtLeast(1.0), None);
    add(batch(1), "zmq", "libzmq PUSH/PULL", AtLeast(1.0), Some(AtLeast(1.5)));

    for (size, of_relay) in [(64 << 10, 0.7), (1 << 20, 0.8)] {
        add(stream(1, size), "shm", "copying relay", AtLeast(of_relay), None);
        add(stream(1, size), "pipe", "raw pipe", AtLeast(1.0), None);
        add(stream(1, size), "zmq", ZEROMQ, AtLeast(1.0), None);
    }
    add(id("in-place", 1, 1 << 20), "shm, in place", "iceoryx2, in place", AtLeast(1.0), None);
    let typed = id("typed", 1, crate::scenario::TYPED_SIZE);
    add(typed.clone(), "shm, typed", "shm", AtLeast(0.8), None);
    add(typed.clone(), "pipe, typed", "pipe", AtLeast(0.9), None);
    add(typed, "zmq, typed", "zmq", AtLeast(0.9), None);

    const PYTHON: &str = "Python mp.Queue";
    for size in [8, 64, 1 << 10] {
        add(stream(1, size), "shm", PYTHON, AtLeast(40.0), None);
        add(stream(1, size), "pipe", PYTHON, AtLeast(6.0), None);
        add(stream(1, size), "zmq, 16 callers", PYTHON, AtLeast(3.0), None);
    }
    for size in [64 << 10, 1 << 20] {
        add(stream(1, size), "shm", PYTHON, AtLeast(15.0), None);
        add(stream(1, size), "pipe", PYTHON, AtLeast(1.5), None);
        add(stream(1, size), "zmq", PYTHON, AtLeast(2.0), None);
    }
    targets
}

/// Whether each target is reached: of the rounds' ratios the median, which both measured one after the other.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    let verdict = |target: Target| {
        let outcome = results.find(&target.scenario);
        let figures = |label: &str| Some(&outcome?.find(label)?.values);
        let ratio = figures(target.own)
            .zip(figures(target.peer))
            .and_then(|(own, peer)| Interval::of(&ratios(own, peer)));
        Verdict { line: outcome.and_then(|outcome| outcome.line()), ratio, target }
    };
    targets().into_iter().map(verdict).collect()
}

/// The table of all targets.
pub(crate) fn table(results: &Results) -> String {
    let verdicts = verdicts(results);
    let met = verdicts.iter().filter(|verdict| verdict.is_met()).count();
    let measured = verdicts.iter().filter(|verdict| verdict.is_measured()).count();
    let mut text = format!(
        "{met} of {} targets are met; {measured} could be measured.\n\n\
         | scenario | ipcq | beside | target (stretch) | ratio | 95 % interval | cache line, ns | met |\n\
         |---|---|---|---|---:|---:|---:|---|\n",
        verdicts.len()
    );
    for verdict in verdicts {
        text += &(verdict.row() + "\n");
    }
    text
}
