use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::support::Sandbox;

on_every_transport! {
    what_was_printed_is_acknowledged,
    a_killed_getter_loses_nothing,
    limits_need_acknowledging,
    dead_letters_have_a_queue,
    what_a_command_fails_for_comes_back,
    what_a_command_always_fails_for_becomes_a_dead_letter,
    a_number_of_commands_says_that_one_failed,
    a_hundred_commands_that_fail_twice_each_lose_nothing,
    seven_of_a_hundred_become_dead_letters,
    what_a_stopped_getter_holds_comes_back_when_its_lease_is_over,
    what_a_killed_getter_runs_a_command_for_comes_back,
    what_no_reader_is_left_for_goes_back,
}

/// Makes the queue `jobs`.
fn make(sandbox: &Sandbox, options: &str) {
    sandbox.ipcq(&format!("create jobs --acknowledged {options}")).done().succeeds();
}

fn what_was_printed_is_acknowledged(sandbox: &Sandbox) {
    make(sandbox, "--lease 1m");
    sandbox.ipcq("put jobs a b c").done().succeeds();
    sandbox.ipcq("get jobs -n 2").done().prints("a\nb\n");
    let stat = sandbox.stat("jobs");
    assert_eq!((&stat["len"], &stat["in_flight"], &stat["gets"]), (&1.into(), &0.into(), &2.into()));
    assert_eq!((&stat["acknowledged"], &stat["redelivered"]), (&true.into(), &0.into()));
    sandbox.ipcq("get jobs --all").done().prints("c\n");
    sandbox.ipcq("get jobs --no-wait").done().fails(1, &["empty"]);
    sandbox.ipcq("close jobs").done().succeeds();
    sandbox.ipcq("get jobs --follow").done().says_nothing();
}

/// A getter whose output nobody reads holds what it could not write, until it is killed.
fn a_killed_getter_loses_nothing(sandbox: &Sandbox) {
    make(sandbox, "--capacity 2000");
    let long = "x".repeat(1000);
    let lines: String = (0..1000).map(|n| format!("{n:04} {long}\n")).collect();
    sandbox.ipcq("put jobs --close").input(&lines).done().succeeds();
    let getter = sandbox.ipcq("get jobs --follow").start_unread(Stdio::null());
    while sandbox.stat("jobs")["in_flight"] == 0 {
        std::thread::yield_now();
    }
    drop(getter);
    let rest = sandbox.ipcq("get jobs --follow").done();
    let rest = rest.stdout();
    // What was written into the pipe is gone, and nothing else: the rest is the end of all, from a whole message on.
    assert!(lines.ends_with(&rest) && rest.len() > lines.len() / 2, "{} of {}", rest.len(), lines.len());
    assert!(rest.len().is_multiple_of(lines.len() / 1000));
}

fn limits_need_acknowledging(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --max-redeliveries 3").done().fails(2, &["--acknowledged"]);
    sandbox.ipcq("create jobs --lease 1s").done().fails(2, &["--acknowledged"]);
    sandbox.ipcq("create jobs --acknowledged --lease soon").done().fails(2, &["500ms, 2s or 1m"]);
}

fn dead_letters_have_a_queue(sandbox: &Sandbox) {
    make(sandbox, "--max-redeliveries 2");
    let listed = sandbox.ipcq("ls").done().succeeds().stdout();
    assert!(listed.lines().any(|line| line.starts_with("jobs.dead ")), "{listed}");
    assert_eq!(sandbox.len("jobs.dead"), 0);
    if sandbox.transport() == "shm" {
        sandbox.ipcq("rm jobs").done().succeeds();
        sandbox.ipcq("rm jobs.dead").done().succeeds();
    } else {
        // It ends with the queue that it belongs to.
        assert_eq!(sandbox.keepers("jobs.dead").len(), 0);
        sandbox.ipcq("rm jobs.dead").done().succeeds();
        sandbox.ipcq("rm jobs").done().succeeds();
        sandbox.await_keepers("jobs", 0);
    }
    sandbox.ipcq("ls").done().says_nothing();
}

/// A command that counts in a file how often it saw `{}`, and succeeds from the third time on, unless it is `never`.
const THIRD_TIME: &str =
    "echo >> $IPCQ_DIR/{}.times; [ {} != never ] && [ $(wc -l < $IPCQ_DIR/{}.times) -gt 2 ]";

fn what_a_command_fails_for_comes_back(sandbox: &Sandbox) {
    make(sandbox, "--max-redeliveries 20");
    sandbox.ipcq("put jobs a b c d e f --close").done().succeeds();
    let get = ["get", "jobs", "--follow", "-j", "3", "--exec", "sh", "-c", THIRD_TIME];
    sandbox.ipcq_with(&get).done().says_nothing();
    let stat = sandbox.stat("jobs");
    assert_eq!((&stat["len"], &stat["in_flight"]), (&0.into(), &0.into()));
    assert_eq!((&stat["gets"], &stat["redelivered"]), (&6.into(), &12.into()));
    assert_eq!(sandbox.len("jobs.dead"), 0);
}

fn what_a_command_always_fails_for_becomes_a_dead_letter(sandbox: &Sandbox) {
    make(sandbox, "--max-redeliveries 4");
    sandbox.ipcq("put jobs a never b --close").done().succeeds();
    let get = ["get", "jobs", "--follow", "--exec", "sh", "-c", THIRD_TIME];
    sandbox.ipcq_with(&get).done().says_nothing();
    sandbox.ipcq("get jobs.dead --all").done().prints("never\n");
    let stat = sandbox.stat("jobs");
    assert_eq!((&stat["len"], &stat["in_flight"]), (&0.into(), &0.into()));
}

fn a_number_of_commands_says_that_one_failed(sandbox: &Sandbox) {
    make(sandbox, "");
    sandbox.ipcq("put jobs a b").done().succeeds();
    let label = sandbox.label("jobs");
    let get = ["get", "jobs", "--exec", "false"];
    sandbox.ipcq_with(&get).done().fails(2, &["1 of 1", &label, "went back"]);
    assert_eq!(sandbox.len("jobs"), 2);
    sandbox.ipcq_with(&["get", "jobs", "-n", "2", "--exec", "cat"]).done().prints("ab");
}

/// Has a hundred lines handled by a command that fails twice for each, and always for the first `doomed`; returns what
/// `stat` says then.
fn hundred(sandbox: &Sandbox, doomed: usize) -> serde_json::Value {
    make(sandbox, "--max-redeliveries 20");
    let lines: String = (0..100).map(|line| format!("{line}\n")).collect();
    sandbox.ipcq("put jobs --close").input(&lines).done().succeeds();
    let handler = format!(
        "echo >> $IPCQ_DIR/{{}}.times; [ {{}} -ge {doomed} ] && [ $(wc -l < $IPCQ_DIR/{{}}.times) -gt 2 ]"
    );
    let get = ["get", "jobs", "--follow", "-j", "4", "--exec", "sh", "-c", &handler];
    sandbox.ipcq_with(&get).done().says_nothing();
    sandbox.stat("jobs")
}

fn a_hundred_commands_that_fail_twice_each_lose_nothing(sandbox: &Sandbox) {
    let stat = hundred(sandbox, 0);
    assert_eq!((&stat["len"], &stat["in_flight"]), (&0.into(), &0.into()));
    assert_eq!((&stat["gets"], &stat["redelivered"]), (&100.into(), &200.into()));
    assert_eq!(sandbox.len("jobs.dead"), 0);
}

fn seven_of_a_hundred_become_dead_letters(sandbox: &Sandbox) {
    let stat = hundred(sandbox, 7);
    assert_eq!((&stat["len"], &stat["in_flight"], &stat["gets"]), (&0.into(), &0.into(), &100.into()));
    // Each of 93 came back twice, and each of 7 as often as it may.
    assert_eq!(stat["redelivered"], 93 * 2 + 7 * 20);
    let dead = sandbox.ipcq("get jobs.dead --all").done().succeeds().stdout();
    let mut dead: Vec<&str> = dead.lines().collect();
    dead.sort_unstable();
    assert_eq!(dead, ["0", "1", "2", "3", "4", "5", "6"]);
}

/// A command that makes `file` and ends once it is gone, at the latest with its directory; it holds nothing of whoever
/// runs it.
fn busy_while_there_is(file: &Path) -> String {
    let file = file.display();
    format!("exec >&- 2>&-; touch {file}; while [ -e {file} ]; do sleep 0.02; done")
}

/// A getter that is stopped holds a message, and is neither done nor dead.
fn what_a_stopped_getter_holds_comes_back_when_its_lease_is_over(sandbox: &Sandbox) {
    make(sandbox, "--lease 500ms");
    sandbox.ipcq("put jobs a").done().says_nothing();
    let started = sandbox.directory().join("started");
    let command = busy_while_there_is(&started);
    let getter = sandbox.ipcq_with(&["get", "jobs", "--exec", "sh", "-c", &command]).start();
    sandbox.await_file(&started);
    getter.signal(Signal::SIGSTOP);
    sandbox.ipcq("get jobs").done().prints("a\n");
    let stat = sandbox.stat("jobs");
    assert_eq!((&stat["gets"], &stat["redelivered"]), (&1.into(), &1.into()), "{stat}");
}

fn what_a_killed_getter_runs_a_command_for_comes_back(sandbox: &Sandbox) {
    make(sandbox, "");
    sandbox.ipcq("put jobs a b").done().says_nothing();
    let started = sandbox.directory().join("started");
    let command = busy_while_there_is(&started);
    let getter = sandbox.ipcq_with(&["get", "jobs", "--all", "--exec", "sh", "-c", &command]).start();
    sandbox.await_file(&started);
    assert_eq!(sandbox.stat("jobs")["in_flight"], 1);
    getter.kill();
    // In its old place.
    sandbox.ipcq("get jobs -n 2").done().prints("a\nb\n");
    assert_eq!(sandbox.stat("jobs")["in_flight"], 0);
}

fn what_no_reader_is_left_for_goes_back(sandbox: &Sandbox) {
    let all = u64::from(sandbox.at_most(50_000));
    make(sandbox, &format!("--capacity {all}"));
    let input: String = (0..all).map(|number| format!("message number {number}\n")).collect();
    sandbox.ipcq("put jobs").input(input).done().says_nothing();
    let read = sandbox.shell("ipcq get jobs --follow | head -1").done().prints("message number 0\n");
    assert!(read.stderr().lines().count() <= 1, "{read}");
    // Those are done for good that were written to the reader, as much as a pipe and a buffer hold at most.
    let stat = sandbox.stat("jobs");
    let (ready, gets) = (stat["len"].as_u64(), stat["gets"].as_u64());
    assert_eq!(
        (stat["in_flight"].as_u64(), ready.zip(gets).map(|(ready, gets)| ready + gets)),
        (Some(0), Some(all))
    );
    assert!(gets > Some(0) && gets < Some(all), "{stat}");
    let last = sandbox.ipcq("get jobs --all").done().succeeds().stdout();
    assert!(last.ends_with(&format!("message number {}\n", all - 1)), "the rest is the end of all");
}
