//! The layering rule: the command line and the tests depend on backends, backends on the core, never sideways and never
//! up. Read from what Cargo resolved, so that a dependency by way of another crate counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates that may know several backends.
const ABOVE: [&str; 2] = ["ipcq-cli", "ipcq-tests"];
const CORE: &str = "ipcq-core";

/// Each crate of the workspace, with the crates of the workspace that it reaches, by whatever way, not counting what only
/// its tests use.
fn reached() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let ids: BTreeMap<&str, &str> = list(&metadata["packages"])
        .iter()
        .filter(|package| list(&metadata["workspace_members"]).contains(&package["id"]))
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let direct: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            (
                text(&node["id"]),
                list(&node["deps"]).iter().filter(|dep| is_built_in(dep)).map(package).collect(),
            )
        })
        .collect();
    let reach = |id: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), direct[id].clone());
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&direct[next]);
            }
        }
        seen.iter().filter_map(|id| ids.get(id)).map(|&name| name.to_owned()).collect()
    };
    ids.iter().map(|(id, name)| ((*name).to_owned(), reach(id))).collect()
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]);
    let output = command.arg("--manifest-path").arg(root().join("Cargo.toml")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("what cargo prints is json")
}

/// Whether a dependency goes into the crate itself or its build, not only into its tests.
fn is_built_in(dependency: &Value) -> bool {
    list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev")
}

fn package(dependency: &Value) -> &str {
    text(&dependency["pkg"])
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace above this crate").to_owned()
}

/// The crates that are backends: all but the core and those above.
fn backends() -> Vec<String> {
    let all = reached().into_keys();
    all.filter(|name| name != CORE && !ABOVE.contains(&name.as_str())).collect()
}

#[test]
fn the_workspace_is_what_the_rule_speaks_of() {
    let reached = reached();
    assert!(reached.contains_key(CORE) && backends().contains(&"ipcq-shm".to_owned()), "{reached:?}");
    assert!(ABOVE.iter().all(|name| reached.contains_key(*name)), "{reached:?}");
    assert!(reached["ipcq-tests"].contains("ipcq-shm"), "{reached:?}");
}

#[test]
fn core_depends_on_no_other_crate_of_the_workspace() {
    let reached = reached();
    assert!(reached[CORE].is_empty(), "{:?}", reached[CORE]);
}

#[test]
fn backends_depend_on_core_and_never_on_each_other() {
    let reached = reached();
    for backend in backends() {
        assert!(reached[&backend].iter().eq([CORE]), "{backend} depends on {:?}", reached[&backend]);
    }
}

/// Every Rust file below `folder`, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

/// Those of `sources` whose code, comments aside, names a backend's crate.
fn naming_a_backend(sources: Vec<(PathBuf, String)>) -> Vec<PathBuf> {
    let crates: Vec<_> = backends().iter().map(|name| name.replace('-', "_")).collect();
    let names_one = |text: &str| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.into_iter().any(|line| crates.iter().any(|name| line.contains(name.as_str())))
    };
    sources.into_iter().filter(|(_, text)| names_one(text)).map(|(path, _)| path).collect()
}

#[test]
fn core_names_no_backend() {
    assert_eq!(naming_a_backend(sources(&root().join("ipcq-core/src"))), Vec::<PathBuf>::new());
}

#[test]
fn one_file_of_the_command_line_names_backends() {
    let expected = root().join("ipcq-cli/src/backend.rs");
    assert_eq!(naming_a_backend(sources(&root().join("ipcq-cli/src"))), [expected]);
}
