//! What one operation changes in shared memory, store by store: the list of states that a death can leave.

use std::io;
use std::path::Path;

use ipcq_core::Transport;

use super::cell::Cell;
use super::layout::{Layout, PAGE, Place};
use super::scenarios;
use super::visit::{Scenario, start};
use super::watchdog::stage;
use crate::stepper::{Event, Tracee};

/// Steps through the operation of a scenario, and names what each instruction changed: words of the header, the part
/// of the file that something is in, or the pipe.
///
/// # Errors
/// When the operation cannot be stepped through, or one instruction changes two words.
pub fn states(transport: &dyn Transport, directory: &Path, name: &str) -> Result<String, String> {
    stage(0, 60);
    let scenarios = scenarios::all();
    let scenario = scenarios.iter().find(|scenario| scenario.name() == name);
    let scenario: &dyn Scenario = &**scenario.ok_or_else(|| format!("there is no scenario {name}"))?;
    let mut cell = Cell::new(transport, directory, &scenario.options())?;
    let mut tracee = start(scenario, &cell, |cell| scenario.act(cell))?;
    scenario.prepare(&mut cell)?;
    let memory = Memory { cell: &cell, layout: Layout::of(transport.name()) };
    let changes = memory.watch(&mut tracee).map_err(|error| error.to_string())?;
    tracee.kill().map_err(|error| error.to_string())?;
    cell.clear()?;
    Ok(format!("{name}: {}", changes.join(" ")))
}

/// The pages that an operation on a small queue can touch, and what is in its pipe.
struct Memory<'a> {
    cell: &'a Cell<'a>,
    layout: &'static Layout,
}

/// What was found: each page with its place, and all pipes together.
#[derive(PartialEq, Eq)]
struct Found {
    pages: Vec<(usize, Vec<u8>)>,
    pipe: Vec<u8>,
}

impl Memory<'_> {
    fn watch(&self, tracee: &mut Tracee) -> io::Result<Vec<String>> {
        let mut seen = self.read()?;
        let mut changes: Vec<String> = Vec::new();
        while tracee.step(false)? != Event::Ended {
            let now = self.read()?;
            if now == seen {
                continue;
            }
            for change in self.differences(&now, &seen) {
                let is_bulk = self.layout.bulk.contains(&change.as_str());
                if !is_bulk || changes.last().is_none_or(|last| *last != change) {
                    changes.push(change);
                }
            }
            seen = now;
        }
        Ok(changes)
    }

    fn read(&self) -> io::Result<Found> {
        let mut found = Found { pages: Vec::new(), pipe: Vec::new() };
        for path in self.cell.paths()? {
            match Place::at(path)? {
                Place::Pipe(content) => found.pipe.extend(content),
                Place::File(file) => {
                    let parts = self.layout.parts.iter().map(|(_, at)| (*at, 2 * PAGE));
                    for look in [(0, PAGE)].into_iter().chain(parts) {
                        let mut bytes = Vec::with_capacity(2 * PAGE);
                        file.look(look, &mut bytes)?;
                        found.pages.push((look.0, bytes));
                    }
                }
            }
        }
        Ok(found)
    }

    fn differences(&self, now: &Found, before: &Found) -> Vec<String> {
        let mut names = Vec::new();
        for ((at, new), (_, old)) in now.pages.iter().zip(&before.pages) {
            for (word, (new, old)) in new.chunks(4).zip(old.chunks(4)).enumerate() {
                if new != old {
                    names.push(self.layout.name(at + 4 * word));
                }
            }
        }
        names.extend((now.pipe != before.pipe).then(|| "pipe".to_owned()));
        names.dedup();
        names
    }
}
