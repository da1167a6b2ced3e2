//! What was measured, as it is kept.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::machine::Machine;
use crate::storage::Stored;
use crate::{picture, report};

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// How often all were measured in turn.
    pub(crate) rounds: usize,
    pub(crate) scenarios: Vec<Outcome>,
    pub(crate) storage: Vec<Stored>,
    /// Who could not take part, and why.
    pub(crate) absent: Vec<(String, String)>,
}

/// What was measured in one scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    /// The length of a message, in bytes.
    pub(crate) size: usize,
    pub(crate) rounds: Vec<Round>,
    pub(crate) entered: Vec<Entered>,
    /// What went wrong.
    pub(crate) broken: Vec<String>,
}

/// Where a round ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    /// The processors of both sides; none where there are many on each side, which run where the system puts them.
    pub(crate) put: Option<usize>,
    pub(crate) get: Option<usize>,
    /// What a cache line took from one processor to another and back, in nanoseconds.
    pub(crate) line_ns: f64,
}

/// What one that took part did in each round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entered {
    pub(crate) label: String,
    /// How many messages each measurement moved.
    pub(crate) messages: usize,
    /// Messages a second, or the median of the round trips in microseconds.
    pub(crate) values: Vec<f64>,
    /// The 99th percentile of the round trips in microseconds.
    pub(crate) p99_us: Vec<f64>,
    /// What processors were busy with for a message, of all processes together, in nanoseconds.
    pub(crate) processor_ns: Vec<f64>,
}

impl Outcome {
    pub(crate) fn new(id: String, size: usize) -> Self {
        Self { id, size, rounds: Vec::new(), entered: Vec::new(), broken: Vec::new() }
    }

    /// Whether its values are times, of which less is better.
    pub(crate) fn is_time(&self) -> bool {
        self.id.starts_with("roundtrip")
    }

    pub(crate) fn find(&self, label: &str) -> Option<&Entered> {
        self.entered.iter().find(|entered| entered.label == label)
    }

    /// What a cache line took, over the rounds.
    pub(crate) fn line(&self) -> Option<Interval> {
        Interval::of(&self.rounds.iter().map(|round| round.line_ns).collect::<Vec<_>>())
    }
}

impl Results {
    pub(crate) fn find(&self, id: &str) -> Option<&Outcome> {
        self.scenarios.iter().find(|outcome| outcome.id == id)
    }

    /// What went wrong.
    pub(crate) fn broken(&self) -> Vec<String> {
        let of = |outcome: &Outcome| {
            outcome.broken.iter().map(|what| format!("{}: {what}", outcome.id)).collect::<Vec<_>>()
        };
        self.scenarios.iter().flat_map(of).collect()
    }

    pub(crate) fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }

    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let failed = |error: String| format!("{} cannot be read: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    /// Writes results, report and picture into `directory`.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), String> {
        let write = |name: &str, text: String| {
            let file = directory.join(name);
            fs::write(&file, text).map_err(|error| format!("{} cannot be written: {error}", file.display()))
        };
        // Rows of numbers in one line each: whoever wants to read them does so by a program.
        let json = serde_json::to_string(self).map_err(|error| error.to_string())?;
        write("results.json", json.replace("{\"id\"", "\n{\"id\"") + "\n")?;
        write("results.svg", picture::svg(self))?;
        write("RESULTS.md", report::markdown(self))
    }

    /// That everything was measured that should be, and nothing went wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(broken) = self.broken().first() {
            return Err(broken.clone());
        }
        if self.scenarios.len() < 40 || self.storage.len() < 3 {
            return Err(format!("only {} scenarios were measured", self.scenarios.len()));
        }
        for outcome in &self.scenarios {
            for entered in &outcome.entered {
                let sound = |value: &f64| value.is_finite() && *value > 0.0;
                if entered.values.len() != self.rounds || !entered.values.iter().all(sound) {
                    return Err(format!("{}, {}: {:?}", outcome.id, entered.label, entered.values));
                }
            }
        }
        Ok(())
    }
}
