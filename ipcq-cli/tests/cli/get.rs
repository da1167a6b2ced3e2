use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Sandbox;

on_every_transport! {
    one_message_is_the_default,
    the_number_asked_for_is_taken_and_no_more,
    all_ends_with_an_empty_queue,
    all_waits_for_more_as_long_as_asked,
    follow_ends_with_a_closed_and_drained_queue,
    an_empty_queue_is_status_1,
    a_closed_queue_is_status_3,
    what_was_printed_stays_taken_when_time_cuts_it_short,
    a_getter_waits_for_a_message,
    each_message_goes_to_one_getter,
    a_closed_stdout_takes_nothing,
    a_discarded_message_is_taken,
    a_reader_that_left_is_no_failure,
    a_reader_that_leaves_while_nothing_comes_ends_the_wait,
    at_most_64_kib_are_taken_ahead_of_the_reader,
    a_full_disk_is_a_failure,
    messages_longer_than_a_length_can_say_are_refused,
    a_killed_getter_leaves_the_rest,
}

fn one_message_is_the_default(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b --create").done().succeeds();
    let got = sandbox.ipcq("get jobs").done().prints("a\n");
    assert_eq!(got.stderr(), "");
    sandbox.ipcq("get jobs --raw").done().prints("b");
}

fn the_number_asked_for_is_taken_and_no_more(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b c d --create").done().succeeds();
    sandbox.ipcq("get jobs -n 0").done().prints("");
    sandbox.ipcq("get jobs -n 3").done().prints("a\nb\nc\n");
    assert_eq!(sandbox.len("jobs"), 1);
}

fn all_ends_with_an_empty_queue(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b c --create").done().succeeds();
    sandbox.ipcq("get jobs --all").done().prints("a\nb\nc\n");
    sandbox.ipcq("get jobs --all").done().says_nothing();
    sandbox.ipcq("close jobs").done().succeeds();
    sandbox.ipcq("get jobs --all").done().says_nothing();
}

fn all_waits_for_more_as_long_as_asked(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a --create").done().succeeds();
    let start = Instant::now();
    sandbox.ipcq("get jobs --all --timeout 100ms").done().prints("a\n");
    assert!(start.elapsed() >= Duration::from_millis(100));
}

fn follow_ends_with_a_closed_and_drained_queue(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let mut getter = sandbox.ipcq("get jobs --follow").start();
    sandbox.ipcq("put jobs a b").done().succeeds();
    assert_eq!((getter.line().as_str(), getter.line().as_str()), ("a", "b"));
    sandbox.ipcq("put jobs c --close").done().succeeds();
    assert_eq!(getter.line(), "c");
    getter.end().says_nothing();
    sandbox.ipcq("get jobs --follow").done().says_nothing();
}

fn an_empty_queue_is_status_1(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let label = sandbox.label("jobs");
    sandbox.ipcq("get jobs --no-wait").done().fails(1, &[&label, "empty"]);
    let start = Instant::now();
    sandbox.ipcq("get jobs --timeout 300ms").done().fails(1, &[&label, "empty"]);
    assert!(start.elapsed() >= Duration::from_millis(300));
    sandbox.ipcq("get jobs --follow --timeout 10ms").done().fails(1, &[&label, "empty"]);
    let quiet = sandbox.ipcq("-q get jobs --no-wait").done();
    assert_eq!(quiet.stderr(), "");
}

fn a_closed_queue_is_status_3(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a --create --close").done().succeeds();
    let label = sandbox.label("jobs");
    let short = sandbox.ipcq("get jobs -n 2").done().fails(3, &["got 1 of 2", &label, "closed"]);
    assert_eq!(short.stdout(), "a\n");
    for wait in ["", "--no-wait", "--timeout 10ms"] {
        sandbox.ipcq(&format!("get jobs {wait}")).done().fails(3, &[&label, "closed"]);
    }
}

fn what_was_printed_stays_taken_when_time_cuts_it_short(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b --create").done().succeeds();
    let short = sandbox.ipcq("get jobs -n 3 --timeout 50ms").done();
    let short = short.fails(1, &["got 2 of 3", &sandbox.label("jobs"), "empty"]);
    assert_eq!(short.stdout(), "a\nb\n");
    assert_eq!(sandbox.len("jobs"), 0);
}

fn a_getter_waits_for_a_message(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let getter = sandbox.ipcq("get jobs").start();
    sandbox.await_getters("jobs", 1);
    sandbox.ipcq("put jobs late").done().succeeds();
    getter.end().prints("late\n");
}

fn each_message_goes_to_one_getter(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let getters: Vec<_> = (0..4).map(|_| sandbox.ipcq("get jobs --follow").start()).collect();
    let input: String = (0..10_000).map(|number| format!("{number}\n")).collect();
    sandbox.ipcq("put jobs --close").input(input).done().succeeds();
    let mut all = Vec::new();
    for getter in getters {
        let stdout = getter.end().succeeds().stdout();
        let got: Vec<u32> = stdout.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(got.is_sorted(), "a getter sees the order of the queue");
        all.extend(got);
    }
    all.sort_unstable();
    assert_eq!(all, (0..10_000).collect::<Vec<_>>());
}

fn a_closed_stdout_takes_nothing(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b c --create").done().succeeds();
    for get in ["get jobs", "get jobs -n 2", "get jobs --all", "get jobs --follow"] {
        let done = sandbox.shell(&format!("ipcq {get} >&-")).done().prints("");
        let label = sandbox.label("jobs");
        assert_eq!(done.stderr(), format!("ipcq: stdout is closed; nothing was taken from queue {label}\n"));
    }
    assert_eq!(sandbox.len("jobs"), 3);
}

/// Python and others open the null device for reading and writing, as Rust's runtime does for what is closed.
fn a_discarded_message_is_taken(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b --create").done().succeeds();
    for discard in ["> /dev/null", "1<> /dev/null"] {
        sandbox.shell(&format!("ipcq get jobs {discard}")).done().says_nothing();
    }
    assert_eq!(sandbox.len("jobs"), 0);
}

fn a_reader_that_left_is_no_failure(sandbox: &Sandbox) {
    let all = sandbox.at_most(100_000);
    sandbox.ipcq(&format!("create jobs --capacity {all}")).done().succeeds();
    let input: String = (0..all).map(|number| format!("message number {number}\n")).collect();
    sandbox.ipcq("put jobs").input(input).done().succeeds();
    let read = sandbox.shell("ipcq get jobs --follow | head -1").done().prints("message number 0\n");
    let said = read.stderr();
    // Nothing is said when nothing was lost; what was lost is counted.
    let lost: u64 = said.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(0);
    assert_eq!(said.is_empty(), lost == 0, "{read}");
    assert!(said.lines().count() <= 1, "{read}");
    assert!(sandbox.len("jobs") + lost < u64::from(all), "{read}");
}

fn a_reader_that_leaves_while_nothing_comes_ends_the_wait(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a --create").done().succeeds();
    let done = sandbox.shell("ipcq get jobs --follow | head -1").done().prints("a\n");
    assert_eq!(done.stderr(), "");
}

fn at_most_64_kib_are_taken_ahead_of_the_reader(sandbox: &Sandbox) {
    let all = sandbox.at_most(50_000);
    sandbox.ipcq(&format!("create jobs --capacity {all}")).done().succeeds();
    let input: String = (0..all).map(|number| format!("{number:099}\n")).collect();
    sandbox.ipcq("put jobs").input(input).done().succeeds();
    // The pipe holds 64 KiB, and as much again is in the hands of a getter that cannot write.
    let _getter = sandbox.ipcq("get jobs --follow").start_unread(Stdio::null());
    let all = u64::from(all);
    let (mut before, mut left) = (all, sandbox.len("jobs"));
    let deadline = Instant::now() + Duration::from_secs(50);
    while left == all || left != before {
        assert!(Instant::now() < deadline, "the getter takes nothing, or everything: {left} are left");
        (before, left) = (left, sandbox.len("jobs"));
    }
    let taken = all - left;
    assert!(taken * 99 < 192 * 1024, "{taken} messages were taken for a reader that wants none");
}

fn a_full_disk_is_a_failure(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b --create").done().succeeds();
    let full = sandbox.shell("ipcq get jobs -n 2 > /dev/full").done();
    full.fails(2, &["No space left", "2 messages", &sandbox.label("jobs")]);
}

fn messages_longer_than_a_length_can_say_are_refused(sandbox: &Sandbox) {
    let made = sandbox.ipcq("create jobs --max-message 5GiB").done();
    if made.stderr().is_empty() {
        made.says_nothing();
        let refused = sandbox.ipcq("get jobs --length-prefixed --no-wait").done();
        refused.fails(2, &[&sandbox.label("jobs"), "--raw"]);
    } else {
        made.fails(2, &["5368709120"]);
    }
}

fn a_killed_getter_leaves_the_rest(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let getter = sandbox.ipcq("get jobs").start();
    sandbox.await_getters("jobs", 1);
    getter.kill();
    sandbox.await_getters("jobs", 0);
    sandbox.ipcq("put jobs a").done().succeeds();
    sandbox.ipcq("get jobs --timeout 1s").done().prints("a\n");
}
