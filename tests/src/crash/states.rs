//! What one operation changes in shared memory, store by store: the list of states that a death can leave.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ipcq_core::Transport;

use super::cell::Cell;
use super::scenarios;
use super::visit::{Scenario, start};
use super::watchdog::stage;
use crate::stepper::{Event, Tracee};

const PAGE: usize = 4096;
/// Where the parts of a segment begin; see the layout in `ipcq-shm`.
const PARTS: [(&str, usize); 3] = [("slot", PAGE), ("link", 64 << 10), ("record", 4160 << 10)];

/// Words of the header that operations change; see the layout in `ipcq-shm`.
const WORDS: [(&str, usize); 7] = [
    ("put.lock", 0x100),
    ("put.seen_head", 0x110),
    ("tail", 0x180),
    ("get.lock", 0x200),
    ("get.seen_tail", 0x208),
    ("head", 0x280),
    ("not_empty", 0x300),
];

/// Steps through the operation of a scenario, and names what each instruction changed: words of the header by
/// their offset, the rest by the part of the segment it is in.
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
    let file = cell.files.first().ok_or("the queue has no file")?;
    let changes = watch(&directory.join(file), &mut tracee).map_err(|error| error.to_string())?;
    tracee.kill().map_err(|error| error.to_string())?;
    cell.clear()?;
    Ok(format!("{name}: {}", changes.join(" ")))
}

fn watch(path: &PathBuf, tracee: &mut Tracee) -> io::Result<Vec<String>> {
    let mut seen = Memory::read(path)?;
    let mut changes: Vec<String> = Vec::new();
    while tracee.step(false)? != Event::Ended {
        let now = Memory::read(path)?;
        if now == seen {
            continue;
        }
        for change in now.differences(&seen) {
            // A record is written by many stores into space that is free.
            if change != "record" || changes.last().is_none_or(|last| last != "record") {
                changes.push(change);
            }
        }
        seen = now;
    }
    Ok(changes)
}

/// The pages that an operation on a small queue can touch, with the place of each.
#[derive(PartialEq, Eq)]
struct Memory(Vec<(usize, Vec<u8>)>);

impl Memory {
    fn read(path: &PathBuf) -> io::Result<Self> {
        let file = File::open(path)?;
        let places = [0, PAGE].into_iter().chain(PARTS.into_iter().map(|(_, at)| at));
        let page = |at: usize| {
            let mut bytes = vec![0; PAGE];
            let read = file.read_at(&mut bytes, at as u64)?;
            bytes.truncate(read);
            Ok((at, bytes))
        };
        places.map(page).collect::<io::Result<_>>().map(Self)
    }

    fn differences(&self, before: &Self) -> Vec<String> {
        let mut names = Vec::new();
        for ((at, new), (_, old)) in self.0.iter().zip(&before.0) {
            for (word, (new, old)) in new.chunks(8).zip(old.chunks(8)).enumerate() {
                if new != old {
                    names.push(name(at + 8 * word));
                }
            }
        }
        names.dedup();
        names
    }
}

fn name(at: usize) -> String {
    let word = WORDS.iter().find(|(_, place)| at == *place);
    let part = || PARTS.iter().rev().find(|(_, begin)| at >= *begin);
    word.or_else(part).map_or_else(|| format!("{at:#x}"), |(name, _)| (*name).to_owned())
}
