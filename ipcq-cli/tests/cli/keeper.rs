use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getsid};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::support::Sandbox;

on_every_transport_with_keepers! {
    a_command_substitution_returns_at_once,
    a_queue_outlives_the_session_that_made_it,
    a_keeper_holds_nothing_of_its_maker,
    a_keeper_ends_with_its_queue_and_leaves_nothing,
    a_keeper_ends_with_its_directory,
    a_keeper_stays_when_other_queues_go,
    a_keeper_sleeps_while_nothing_happens,
    the_memory_of_a_keeper_follows_content,
    a_queue_whose_keeper_was_killed_is_gone,
    rm_clears_away_what_a_killed_keeper_left,
    a_name_is_free_once_its_keeper_was_killed,
    a_queue_made_by_put_stays,
    of_racing_makers_one_wins,
    a_capacity_that_cannot_be_had_is_said_as_by_the_library,
    a_queue_without_descriptors_is_said_and_leaves_nothing,
    the_options_reach_the_queue,
}

/// The one process that keeps `name`.
fn keeper(sandbox: &Sandbox, name: &str) -> Pid {
    let keepers = sandbox.keepers(name);
    assert_eq!(keepers.len(), 1, "{keepers:?}");
    keepers[0]
}

/// A field of what the kernel says of a process, as a number.
fn status(process: Pid, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    let number = line.trim_start_matches(':').split_whitespace().next();
    number.and_then(|number| number.parse().ok()).expect("a number")
}

fn a_command_substitution_returns_at_once(sandbox: &Sandbox) {
    let script = "x=$(ipcq create jobs 2>&1); echo \"made: $x\"; ipcq put jobs a && ipcq get jobs";
    sandbox.shell(script).done().prints("made: \na\n");
    keeper(sandbox, "jobs");
}

fn a_queue_outlives_the_session_that_made_it(sandbox: &Sandbox) {
    // All processes of the inner shell are hung up and then killed, as those of a terminal that was closed.
    let inner = "ipcq create jobs && ipcq put jobs kept; kill -HUP 0; kill -KILL 0";
    let script = format!("export -f ipcq; setsid --wait bash -c '{inner}' || echo ended with $?");
    let ended = sandbox.shell(&script).done().succeeds().stdout();
    assert_eq!(ended, format!("ended with {}\n", 128 + Signal::SIGHUP as i32));
    sandbox.ipcq("get jobs --timeout 1s").done().prints("kept\n");
}

fn a_keeper_holds_nothing_of_its_maker(sandbox: &Sandbox) {
    // The test waits until nobody has descriptor 9 open any more.
    sandbox.shell("cd $IPCQ_DIR; ipcq create jobs 9>&1 >/dev/null").done().says_nothing();
    let keeper = keeper(sandbox, "jobs");
    assert_eq!(getsid(Some(keeper)), Ok(keeper), "a session of its own");
    assert_ne!(getsid(None), Ok(keeper));
    let link = |what: &str| fs::read_link(format!("/proc/{keeper}/{what}")).expect("a link");
    assert_eq!(link("cwd"), Path::new("/"));
    // It gives up its standard input when it has read there that the queue is wanted, for which nobody waits.
    let deadline = Instant::now() + Duration::from_secs(60);
    while link("fd/0") != Path::new("/dev/null") {
        assert!(Instant::now() < deadline, "{:?}", link("fd/0"));
    }
    for standard in ["fd/1", "fd/2"] {
        assert_eq!(link(standard), Path::new("/dev/null"));
    }
}

fn a_keeper_ends_with_its_queue_and_leaves_nothing(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    sandbox.ipcq("put jobs a").done().says_nothing();
    keeper(sandbox, "jobs");
    sandbox.ipcq("rm jobs").done().says_nothing();
    sandbox.await_keepers("jobs", 0);
    assert_eq!(sandbox.files(), [""; 0]);
    sandbox.ipcq("gc").done().says_nothing();
}

fn a_keeper_ends_with_its_directory(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    keeper(sandbox, "jobs");
    fs::remove_dir_all(sandbox.directory()).expect("it can be removed");
    sandbox.await_keepers("jobs", 0);
}

fn a_keeper_stays_when_other_queues_go(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    sandbox.ipcq("put jobs kept").done().says_nothing();
    for _ in 0..20 {
        sandbox.ipcq("create other").done().says_nothing();
        sandbox.ipcq("rm other").done().says_nothing();
    }
    sandbox.await_keepers("other", 0);
    keeper(sandbox, "jobs");
    sandbox.ipcq("get jobs --timeout 1s").done().prints("kept\n");
}

fn a_keeper_sleeps_while_nothing_happens(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    let keeper = keeper(sandbox, "jobs");
    let switches =
        || status(keeper, "voluntary_ctxt_switches") + status(keeper, "nonvoluntary_ctxt_switches");
    sandbox.ipcq("get jobs --timeout 300ms").done().fails(1, &["empty"]);
    let before = switches();
    sandbox.ipcq("get jobs --timeout 2s").done().fails(1, &["empty"]);
    assert!(switches() - before <= 50, "at most 25 wake-ups a second: {}", switches() - before);
}

/// Also where the allocator cannot give back on its own what lies between others.
fn the_memory_of_a_keeper_follows_content(sandbox: &Sandbox) {
    const LONG: usize = 100_000_000;
    let kib = |keeper| status(keeper, "RssAnon");
    let returns_to = |keeper, most: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while kib(keeper) > most {
            assert!(Instant::now() < deadline, "{} KiB where {most} were to be", kib(keeper));
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    sandbox.ipcq(&format!("create jobs --capacity {}", sandbox.at_most(50_000))).done().says_nothing();
    let keeper = keeper(sandbox, "jobs");
    let empty = kib(keeper);
    sandbox.ipcq("put jobs --raw").input(vec![6; LONG]).done().says_nothing();
    assert_eq!(sandbox.ipcq("get jobs --raw").done().bytes().len(), LONG);
    returns_to(keeper, empty + 512);
    for _ in 0..2 {
        let script =
            "yes $(printf %01000d 1) | head -n 50000 | ipcq put jobs & ipcq get jobs -n 50000 | wc -l";
        sandbox.shell(script).done().prints("50000\n");
        returns_to(keeper, empty + 512);
    }
}

fn a_queue_whose_keeper_was_killed_is_gone(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    sandbox.ipcq("put jobs lost").done().says_nothing();
    sandbox.kill_keeper("jobs");
    let label = sandbox.label("jobs");
    for command in ["get jobs", "put jobs a", "stat jobs", "close jobs", &format!("get {label} --all")] {
        sandbox.ipcq(command).done().fails(2, &[&label, "is gone", "ipcq create jobs", "ipcq gc"]);
    }
    sandbox.ipcq("ls").done().says_nothing();
    let removed = sandbox.ipcq("gc").done().succeeds().stdout();
    assert!(removed.contains(&label) && removed.lines().count() == 1, "{removed}");
    assert_eq!(sandbox.files(), [""; 0]);
    sandbox.ipcq("gc").done().says_nothing();
    sandbox.ipcq("get jobs").done().fails(2, &["there is no queue jobs", "ipcq create jobs"]);
}

fn rm_clears_away_what_a_killed_keeper_left(sandbox: &Sandbox) {
    for queue in ["jobs", &sandbox.label("jobs")] {
        sandbox.ipcq("create jobs").done().says_nothing();
        sandbox.kill_keeper("jobs");
        let label = sandbox.label("jobs");
        sandbox.ipcq(&format!("rm {queue}")).done().fails(2, &[&label, "gone already", "is removed now"]);
        assert_eq!(sandbox.files(), [""; 0]);
    }
}

fn a_name_is_free_once_its_keeper_was_killed(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs lost --create").done().says_nothing();
    for round in ["create jobs", "put jobs --create", "create jobs"] {
        sandbox.kill_keeper("jobs");
        sandbox.ipcq(round).done().says_nothing();
        assert_eq!(sandbox.len("jobs"), 0);
        keeper(sandbox, "jobs");
    }
    sandbox.ipcq("rm jobs").done().says_nothing();
    sandbox.await_keepers("jobs", 0);
    assert_eq!(sandbox.files(), [""; 0]);
}

fn a_queue_made_by_put_stays(sandbox: &Sandbox) {
    sandbox.shell("(echo a; echo b) | ipcq put jobs --create").done().says_nothing();
    keeper(sandbox, "jobs");
    sandbox.ipcq("put jobs c --create").done().says_nothing();
    keeper(sandbox, "jobs");
    sandbox.ipcq("get jobs --all").done().prints("a\nb\nc\n");
    assert_eq!(sandbox.stat("jobs")["codec"], "bytes");
}

fn of_racing_makers_one_wins(sandbox: &Sandbox) {
    for _ in 0..10 {
        let makers: Vec<_> = (0..4).map(|_| sandbox.ipcq("create jobs").start()).collect();
        let (won, lost): (Vec<_>, Vec<_>) =
            makers.into_iter().map(|maker| maker.end()).partition(|done| done.stderr().is_empty());
        assert_eq!((won.len(), lost.len()), (1, 3));
        won.into_iter().for_each(|done| drop(done.says_nothing()));
        for done in lost {
            done.fails(2, &[&sandbox.label("jobs"), "exists already", "ipcq rm"]);
        }
        // The keepers of the others have ended, or are about to.
        sandbox.await_keepers("jobs", 1);
        sandbox.ipcq("put jobs a").done().says_nothing();
        sandbox.ipcq("rm jobs").done().says_nothing();
        sandbox.await_keepers("jobs", 0);
        assert_eq!(sandbox.files(), [""; 0]);
    }
}

fn a_capacity_that_cannot_be_had_is_said_as_by_the_library(sandbox: &Sandbox) {
    let more = (sandbox.max_capacity() + 1).to_string();
    let done = sandbox.ipcq(&format!("create jobs --capacity {more}")).done();
    done.fails(2, &[sandbox.transport(), &more, "capacity"]);
    let done = sandbox.ipcq("create jobs --max-message 1000000TiB").done();
    done.fails(2, &[sandbox.transport()]);
    assert_eq!(sandbox.keepers("jobs"), []);
    assert_eq!(sandbox.files(), [""; 0]);
}

/// Whatever fails for want of descriptors, the maker or its keeper.
fn a_queue_without_descriptors_is_said_and_leaves_nothing(sandbox: &Sandbox) {
    // With 3 not even the program's libraries can be opened.
    for most in 3..24 {
        let done = sandbox.shell(&format!("ulimit -n {most}; ipcq create jobs")).done();
        if done.stderr().is_empty() {
            sandbox.ipcq("rm jobs").done().says_nothing();
        } else if most > 3 {
            done.fails(2, &["oo many open files"]);
        }
        sandbox.await_keepers("jobs", 0);
        assert_eq!(sandbox.files(), [""; 0]);
    }
}

/// It has one left, which does not do to look for the queue by its name. (Over ZeroMQ it is the host, and nobody could
/// reach it to remove the queue.)
#[test]
fn a_keeper_that_ran_out_of_descriptors_ends_with_its_queue() {
    let sandbox = Sandbox::new("pipe");
    sandbox.ipcq("create jobs").done().says_nothing();
    let keeper = keeper(&sandbox, "jobs");
    let is_open = |number: &u64| fs::symlink_metadata(format!("/proc/{keeper}/fd/{number}")).is_ok();
    let left = (0..).find(|number| !is_open(number)).expect("a number");
    let limit = Rlimit { current: Some(left + 1), ..getrlimit(Resource::Nofile) };
    let process = rustix::process::Pid::from_raw(keeper.as_raw());
    prlimit(process, Resource::Nofile, limit).expect("it may have a limit");
    sandbox.ipcq("rm jobs").done().says_nothing();
    sandbox.await_keepers("jobs", 0);
    assert_eq!(sandbox.files(), [""; 0]);
}

fn the_options_reach_the_queue(sandbox: &Sandbox) {
    let options = "--capacity 7 --max-message 4KiB --mode 660 --auto-close";
    sandbox.ipcq(&format!("create jobs {options}")).done().says_nothing();
    let stat = sandbox.stat("jobs");
    assert_eq!((&stat["capacity"], &stat["max_message"]), (&7.into(), &4096.into()), "{stat}");
    assert_eq!(stat["auto_close"], true, "{stat}");
}
