//! Many deaths at the same instruction, in the same queue: nothing may pile up (Q15).

use std::path::Path;

use ipcq_core::{Transport, Wait};

use super::cell::Cell;
use super::ledger::{drain, message};
use super::scenarios;
use super::survey::survey;
use super::visit::{Scenario, record, start};
use super::watchdog::stage;
use crate::stepper::{Event, Target, Trace, reach};

/// How often a process dies at each place.
const DEATHS: usize = 24;
const SECONDS: u32 = 30;

/// Kills many processes at each place of the scenario `name` where what they leave behind changes; after all of
/// them the queue keeps no more storage than an empty one.
///
/// # Errors
/// What is wrong.
pub fn leaks(transport: &dyn Transport, directory: &Path, name: &str) -> Result<String, String> {
    let scenarios = scenarios::all();
    let scenario = scenarios.iter().find(|scenario| scenario.name() == name);
    let scenario: &dyn Scenario = &**scenario.ok_or_else(|| format!("there is no scenario {name}"))?;
    let trace = trace(scenario, transport, directory)?;
    let targets = trace.edges();
    let mut deaths = 0;
    for target in &targets {
        stage(target.index, SECONDS);
        let mut cell = Cell::new(transport, directory, &scenario.options())?;
        for number in 0..DEATHS {
            let died = die(scenario, &mut cell, &trace, target, number as u64);
            deaths += usize::from(died.map_err(|fault| format!("boundary {}: {fault}", target.index))?);
        }
        let left = survey(&mut cell, &[Vec::new()]);
        left.map_err(|fault| format!("after {DEATHS} deaths at boundary {}: {fault}", target.index))?;
        cell.clear()?;
    }
    Ok(format!("leaks_{name}: places={} deaths={deaths}", targets.len()))
}

fn trace(scenario: &dyn Scenario, transport: &dyn Transport, directory: &Path) -> Result<Trace, String> {
    let mut cell = Cell::new(transport, directory, &scenario.options())?;
    let mut tracee = start(scenario, &cell, |cell| scenario.act(cell))?;
    scenario.prepare(&mut cell)?;
    let trace = record(&mut cell, &mut tracee, None)?;
    tracee.kill().map_err(|error| error.to_string())?;
    cell.clear()?;
    Ok(trace)
}

/// One death, and one message of a survivor; the queue is empty again then. Whether the process died where it
/// should: the first of them may find the queue as the recording did, later ones may not.
fn die(
    scenario: &dyn Scenario,
    cell: &mut Cell<'_>,
    trace: &Trace,
    target: &Target,
    number: u64,
) -> Result<bool, String> {
    let mut tracee = start(scenario, cell, |cell| scenario.act(cell))?;
    scenario.prepare(cell)?;
    let event = reach(&mut tracee, trace, target, None).map_err(|error| error.to_string())?;
    tracee.kill().map_err(|error| error.to_string())?;
    let next = message(1 << 20 | number, 64);
    let put = cell.queue.put(&[&next.bytes()], Wait::No);
    put.map_err(|fault| format!("death {number}: a survivor's put says: {fault}"))?;
    let (content, _) = drain(&*cell.queue)?;
    if content.last() != Some(&next) || content.len() > 2 {
        return Err(format!("death {number}: {content:?} came out"));
    }
    Ok(event != Event::Ended)
}
