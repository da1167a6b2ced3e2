//! Every example runs, and prints what it says.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ipcq_core::conformance::Watchdog;

/// Building the examples takes a while where nothing has been built yet.
const LONG: Duration = Duration::from_secs(900);

/// A crate, an example of it, its argument, and what it prints.
type Example = (&'static str, &'static str, &'static str, &'static str);

const TEXTBOOK: &str = "Consumed: Message 0\nConsumed: Message 1\nConsumed: Message 2\nConsumed: Message 3\nConsumed: Message 4\n";

const EXAMPLES: [Example; 11] = [
    ("ipcq-shm", "producer_consumer", "", TEXTBOOK),
    ("ipcq-pipe", "pipe_producer_consumer", "", TEXTBOOK),
    ("ipcq-zmq", "zmq_producer_consumer", "", TEXTBOOK),
    (
        "ipcq-shm",
        "work_queue",
        "",
        "job 0 is done, redelivered 0 times\njob 1 is done, redelivered 0 times\njob 2 is done, redelivered 0 times\n\
         a worker ended well: false\njob 3 is done, redelivered 1 times\njob 4 is done, redelivered 0 times\n\
         job 5 is done, redelivered 0 times\na worker ended well: true\nall 6 jobs are done\n",
    ),
    ("ipcq-shm", "in_place", "", "100 frames, 4950 bright together\n"),
    ("ipcq-shm", "request_reply", "", "2 squared is 4\n12 squared is 144\n144 squared is 20736\n"),
    ("ipcq-shm", "fan_out", "", "10000 results, which sum to 99990000\n"),
    (
        "ipcq-cli",
        "choose_transport",
        "shm",
        "queue shm:(anonymous) is full; get messages from it, or wait for room\nsweep over shm\nmop over shm\n",
    ),
    (
        "ipcq-cli",
        "choose_transport",
        "pipe",
        "queue pipe:(anonymous) is full; get messages from it, or wait for room\nsweep over pipe\nmop over pipe\n",
    ),
    (
        "ipcq-cli",
        "choose_transport",
        "zmq",
        "queue zmq:(anonymous) is full; get messages from it, or wait for room\nsweep over zmq\nmop over zmq\n",
    ),
    ("ipcq-core", "toy_backend", "", ""),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace above this crate").to_owned()
}

/// Builds the examples as this program was built, which is done already when all tests are run; returns where they are.
fn build() -> PathBuf {
    let own = env::current_exe().expect("this program");
    let output = own.ancestors().nth(2).expect("a folder of programs");
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--workspace", "--examples", "--profile"]);
    command.arg(if cfg!(debug_assertions) { "test" } else { "release" });
    command.arg("--manifest-path").arg(root().join("Cargo.toml"));
    command.arg("--target-dir").arg(output.parent().expect("a target folder"));
    let built = command.output().expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    output.join("examples")
}

#[test]
fn every_example_prints_what_it_says() {
    let _watchdog = Watchdog::start("the examples", LONG);
    let examples = build();
    for (package, example, argument, expected) in EXAMPLES {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(examples.join(example));
        command
            .env("IPCQ_DIR", directory.path())
            .args(Some(argument).filter(|argument| !argument.is_empty()));
        let run = command.output().unwrap_or_else(|error| panic!("{package} {example}: {error}"));
        let printed = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{package} {example}: {}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(printed, expected, "{package} {example} {argument}");
    }
}

#[test]
fn no_example_is_forgotten() {
    let listed: BTreeSet<(&str, String)> =
        EXAMPLES.iter().map(|(package, example, ..)| (*package, format!("{example}.rs"))).collect();
    for package in ["ipcq-core", "ipcq-shm", "ipcq-pipe", "ipcq-zmq", "ipcq-cli"] {
        let folder = fs::read_dir(root().join(package).join("examples"));
        for entry in folder.expect("each crate has examples") {
            let name = entry.expect("a readable folder").file_name().into_string().expect("a name in ASCII");
            assert!(!name.ends_with(".rs") || listed.contains(&(package, name.clone())), "{package}: {name}");
        }
    }
}
