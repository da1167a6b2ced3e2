use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use crate::support::Sandbox;

on_every_transport! {
    sizes_are_read_as_people_write_them,
    durations_are_read_as_people_write_them,
    nul_has_a_long_name_in_both_directions,
    each_message_that_is_awaited_has_all_of_its_time,
    what_is_said_goes_to_stderr_alone,
    quiet_is_silent_on_what_the_status_says,
    everything_of_a_queue_is_under_the_directory,
    a_queue_stays_when_its_maker_is_hung_up,
    several_queues_are_removed_at_once,
    a_queue_is_drained_by_all_after_closing,
}

fn sizes_are_read_as_people_write_them(sandbox: &Sandbox) {
    for (size, bytes) in [("64", 64), ("4KiB", 4096), ("1MiB", 1 << 20)] {
        sandbox.ipcq(&format!("create jobs --max-message {size}")).done().says_nothing();
        assert_eq!(sandbox.stat("jobs")["max_message"], bytes, "{size}");
        // The limit is exact.
        let longest = "x".repeat(bytes);
        sandbox.ipcq("put jobs --raw").input(&longest).done().says_nothing();
        sandbox.ipcq("put jobs --raw").input(longest + "x").done().fails(2, &[&bytes.to_string()]);
        sandbox.ipcq("rm jobs").done().says_nothing();
    }
}

fn durations_are_read_as_people_write_them(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 1").done().says_nothing();
    for duration in ["500ms", "2s", "1m"] {
        sandbox.ipcq(&format!("put jobs {duration} --timeout {duration}")).done().says_nothing();
        let got = sandbox.ipcq(&format!("get jobs --timeout {duration}")).done();
        got.prints(format!("{duration}\n"));
    }
}

fn nul_has_a_long_name_in_both_directions(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    sandbox.ipcq("put jobs --null").input("a\nb\0\0c").done().says_nothing();
    sandbox.ipcq("get jobs --all --null").done().prints("a\nb\0\0c\0");
}

/// All of the waits together are longer than the time that each has.
fn each_message_that_is_awaited_has_all_of_its_time(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    sandbox.ipcq("create never").done().says_nothing();
    let getter = sandbox.ipcq("get jobs -n 3 --timeout 5s").start();
    sandbox.await_getters("jobs", 1);
    for message in ["a", "b", "c"] {
        sandbox.ipcq("get never --timeout 2s").done().fails(1, &["empty"]);
        sandbox.ipcq(&format!("put jobs {message}")).done().says_nothing();
    }
    getter.end().prints("a\nb\nc\n");
}

fn what_is_said_goes_to_stderr_alone(sandbox: &Sandbox) {
    let label = sandbox.label("jobs");
    let said = |command: &str, stdout: &str, words: &[&str]| {
        let done = sandbox.ipcq(command).done().prints(stdout);
        assert_eq!(done.stderr().lines().count(), 1, "{done}");
        for word in words.iter().chain(&[label.as_str()]) {
            assert!(done.stderr().contains(word), "{word}\n{done}");
        }
    };
    said("-v create jobs", "", &["made"]);
    said("-v put jobs a b", "", &["put 2 messages"]);
    said("-v get jobs --all", "a\nb\n", &["got 2 messages"]);
    said("-v close jobs", "", &["closed"]);
    said("-v rm jobs", "", &["removed"]);
}

fn quiet_is_silent_on_what_the_status_says(sandbox: &Sandbox) {
    let silent = |command: &str, status: i32| {
        let script = format!("ipcq -q {command}; echo $?");
        sandbox.shell(&script).done().prints(format!("{status}\n"))
    };
    sandbox.ipcq("create jobs --capacity 1").done().says_nothing();
    for (command, status) in
        [("get jobs --no-wait", 1), ("put jobs a", 0), ("put jobs b --no-wait", 1), ("close jobs", 0)]
    {
        assert_eq!(silent(command, status).stderr(), "", "{command}");
    }
    assert_eq!(silent("put jobs c", 3).stderr(), "");
    assert_eq!(silent("get jobs -n 2 >/dev/null", 3).stderr(), "");
    // What failed is said all the same.
    sandbox.ipcq("-q get missing").done().fails(2, &["no queue missing"]);
    sandbox.ipcq("-q get jobs --no-such-flag").done().fails(2, &["--no-such-flag"]);
}

fn everything_of_a_queue_is_under_the_directory(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    assert_ne!(sandbox.files(), [""; 0]);
    let stat = sandbox.stat("jobs");
    let location = stat["location"].as_str().expect("a path");
    assert!(Path::new(location).starts_with(sandbox.directory()), "{stat}");
    // Elsewhere there is no such queue, and another of that name is another queue.
    let elsewhere = sandbox.directory().join("else/where");
    let elsewhere = elsewhere.to_str().expect("a plain path");
    let there = |command: &str| sandbox.ipcq(command).env("IPCQ_DIR", elsewhere).done();
    there("put jobs a").fails(2, &["no queue jobs"]);
    there("put jobs there --create").says_nothing();
    assert_eq!(sandbox.len("jobs"), 0);
    there("get jobs").prints("there\n");
    there("rm jobs").says_nothing();
    sandbox.ipcq("put jobs here").done().says_nothing();
    sandbox.ipcq("get jobs").done().prints("here\n");
}

fn a_queue_stays_when_its_maker_is_hung_up(sandbox: &Sandbox) {
    // All processes of the inner shell are hung up and killed, as those of a terminal that was closed.
    let inner = "ipcq create jobs && ipcq put jobs kept; kill -HUP 0; kill -KILL 0";
    sandbox.shell(&format!("export -f ipcq; setsid --wait bash -c '{inner}' || true")).done().prints("");
    sandbox.ipcq("get jobs --timeout 5s").done().prints("kept\n");
}

fn several_queues_are_removed_at_once(sandbox: &Sandbox) {
    for name in ["a", "b", "c"] {
        sandbox.ipcq(&format!("create {name}")).done().says_nothing();
    }
    sandbox.ipcq("rm a c").done().says_nothing();
    let left = sandbox.ipcq("ls --format json").done().succeeds().stdout();
    let left: Value = serde_json::from_str(&left).expect("one object");
    assert_eq!(left["name"], "b");
    sandbox.ipcq("rm b").done().says_nothing();
    assert_eq!(sandbox.files(), [""; 0]);
}

fn a_queue_is_drained_by_all_after_closing(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b c --create --close").done().says_nothing();
    sandbox.ipcq("get jobs --all").done().prints("a\nb\nc\n");
    // Closed and empty is no failure of --all and --follow, and is one of all others.
    sandbox.ipcq("get jobs --all").done().says_nothing();
    sandbox.ipcq("get jobs --follow").done().says_nothing();
    sandbox.ipcq("get jobs").done().fails(3, &[&sandbox.label("jobs"), "closed"]);
}

#[test]
fn without_a_word_on_it_a_queue_is_in_shared_memory() {
    let sandbox = Sandbox::new("");
    sandbox.ipcq("create jobs").done().says_nothing();
    assert_eq!(sandbox.stat("jobs")["transport"], "shm");
    // A transport that is named on the command line counts more than the one in the environment.
    let created = sandbox.ipcq("-t pipe create other").env("IPCQ_TRANSPORT", "zmq").done();
    created.says_nothing();
    assert_eq!(sandbox.stat("other")["transport"], "pipe");
    sandbox.ipcq("rm jobs other").done().says_nothing();
}

/// An empty `IPCQ_DIR` counts as none.
#[test]
fn the_default_directory_is_private_and_in_memory() {
    let sandbox = Sandbox::new("shm");
    let name = format!("ipcq-cli-test-{}", std::process::id());
    let with_default = |command: &str| sandbox.ipcq(command).env("IPCQ_DIR", "").done();
    with_default(&format!("create {name}")).says_nothing();
    let report = with_default("-t shm doctor --format json").succeeds().stdout();
    let report: Value = serde_json::from_str(&report).expect("one object");
    with_default(&format!("rm {name}")).says_nothing();
    assert_eq!(report["directory_is_private"], true, "{report}");
    let directory = report["directory"].as_str().expect("a path");
    let metadata = std::fs::symlink_metadata(directory).expect("it is there");
    assert!(metadata.is_dir() && metadata.mode() & 0o777 == 0o700, "{metadata:?}");
    assert_eq!(metadata.uid(), nix::unistd::geteuid().as_raw());
    let memory = std::fs::metadata("/dev/shm").expect("it is there");
    assert_eq!(metadata.dev(), memory.dev(), "{directory} is in memory");
    assert_eq!(sandbox.files(), [""; 0]);
}

/// The table of what is promised names tests; each of them is there.
#[test]
fn every_test_that_the_table_of_promises_names_exists() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = std::fs::read_to_string(tests.join("README.md")).expect("the table");
    let files = std::fs::read_dir(tests.join("cli")).expect("the tests").filter_map(Result::ok);
    let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let texts: String = texts.collect();
    let shown = table.lines().filter_map(|line| line.strip_prefix('|')?.rsplit('|').nth(1));
    let named = shown.flat_map(|cell| cell.split('`').filter(|name| name.contains('_')));
    let named: Vec<&str> = named.collect();
    assert!(named.len() > 80, "{named:?}");
    for name in named {
        assert!(texts.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
