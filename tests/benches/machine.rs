//! Where it was measured, and what.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Where it was measured, and what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) compiler: String,
    pub(crate) python: String,
    /// Of this repository.
    pub(crate) commit: String,
    /// Those of the crates that take part.
    pub(crate) versions: Vec<String>,
    /// How many processes wanted to run when it began, as the kernel counts over a minute.
    pub(crate) load: String,
}

/// The crates that take part.
const PEERS: [&str; 8] = [
    "crossbeam-channel",
    "iceoryx2",
    "ipc-channel",
    "rtrb",
    "rusteron-media-driver",
    "zeromq",
    "zeromq-src",
    "zmq",
];

/// This machine, and this program.
pub(crate) fn here() -> Machine {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: Option<u64> = after(&memory, "MemTotal").and_then(|kib| kib.split(' ').next()?.parse().ok());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Machine {
        processor: after(&cpus, "model name").unwrap_or("unknown").to_owned(),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        memory_gib: kib.unwrap_or(0) >> 20,
        kernel: said("uname", &["-sr"]),
        compiler: said("rustc", &["--version"]),
        python: said("python3", &["--version"]),
        commit: commit(),
        versions: versions(),
        load: load.split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// What follows `name` and a colon in one of the lines of `text`.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// What a program says; nothing where there is none.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The commit of this repository, and whether anything but results was changed since.
fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"]);
    state(&commit, &said("git", &["status", "--porcelain", "--untracked-files=no"]))
}

/// The commit, and that something else was measured if `changed` has more than results.
fn state(commit: &str, changed: &str) -> String {
    let results = ["RESULTS.md", "results.json", "results.svg"];
    let code = changed.lines().any(|line| !results.iter().any(|name| line.ends_with(name)));
    if code { format!("{commit}, with changes that are not in it") } else { commit.to_owned() }
}

/// Fails unless a commit is told from one with changes.
pub(crate) fn check() -> Result<(), String> {
    let results = " M tests/benches/RESULTS.md\n M tests/benches/results.json";
    for (changed, clean) in
        [("", true), (results, true), (" M Cargo.toml", false), ("M  a.rs\n M results.svg", false)]
    {
        if (state("1234", changed) == "1234") != clean {
            return Err(format!("with {changed:?} the commit is {}", state("1234", changed)));
        }
    }
    Ok(())
}

/// The versions of the crates that take part, from the lock file.
fn versions() -> Vec<String> {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap_or_default();
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_matches([' ', '=', '"']).to_owned())
    };
    let found = lock.split("[[package]]").filter_map(|block| {
        let name = value(block, "name ")?;
        PEERS
            .contains(&name.as_str())
            .then(|| value(block, "version ").map(|version| format!("{name} {version}")))?
    });
    found.collect()
}
