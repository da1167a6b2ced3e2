//! The benchmark as a test: everything runs once, for milliseconds, so that it cannot rot, and results say what they should.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_tests::process;
use tempfile::TempDir;

use crate::options::Options;
use crate::results::Results;
use crate::{bounds, interval, machine, measured, picture, report, targets};

type Check = fn() -> Result<(), String>;

const CHECKS: [(&str, Check); 5] = [
    ("every_scenario_runs_with_all_contenders", every_scenario),
    ("kept_results_come_to_the_kept_report", kept_results),
    ("medians_are_those_of_the_books", interval::check),
    ("reasons_are_for_targets_that_exist", bounds::check),
    ("changes_are_told_from_a_commit", machine::check),
];
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Does the checks that `arguments`, which are those of a test, ask for.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let matches = |check: &str, name: &str| if has("--exact") { check == name } else { check.contains(name) };
    let wanted = |check: &str| names.is_empty() || names.iter().any(|name| matches(check, name));
    // None is ignored, which is what that flag asks for alone.
    for (name, check) in CHECKS.iter().filter(|(name, _)| wanted(name) && !has("--ignored")) {
        if has("--list") {
            println!("{name}: test");
            continue;
        }
        let _watchdog = Watchdog::start(name, PATIENCE);
        let began = process::now();
        check().map_err(|fault| format!("{name}: {fault}"))?;
        println!("test {name} ... ok ({} ms)", (process::now() - began) / 1_000_000);
    }
    Ok(())
}

fn every_scenario() -> Result<(), String> {
    let results = measured(&Options::quick())?;
    results.check()?;
    let text = report::markdown(&results);
    for verdict in targets::verdicts(&results) {
        if !text.contains(&verdict.row()) {
            return Err(format!("the report lacks the target {verdict:?}"));
        }
        if text.contains(&verdict.miss()) != verdict.is_missed() {
            return Err(format!("the report is wrong about whether it is missed: {verdict:?}"));
        }
    }
    let read = Results::parse(&results.json()?)?;
    if let Some((line, _)) =
        report::markdown(&read).lines().zip(text.lines()).find(|(read, made)| read != made)
    {
        return Err(format!("results that were written and read again come to another report: {line}"));
    }
    if !picture::svg(&read).contains("<circle") {
        return Err("there is nothing in the picture".to_owned());
    }
    Ok(())
}

/// That the results which are kept come to the report and the picture beside them, to the byte.
fn kept_results() -> Result<(), String> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let made = TempDir::new().map_err(|error| error.to_string())?;
    Results::read(&kept.join("results.json"))?.write(made.path())?;
    for name in ["results.json", "RESULTS.md", "results.svg"] {
        let read = |directory: &Path| {
            let file = directory.join(name);
            fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
        };
        if read(&kept)? != read(made.path())? {
            return Err(format!(
                "{name} is not what the results come to; make it anew: \
                 cargo bench -p ipcq-tests -- --from benches/results.json --write benches"
            ));
        }
    }
    Ok(())
}
