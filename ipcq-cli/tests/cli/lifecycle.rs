use std::os::unix::fs::PermissionsExt;

use crate::support::Sandbox;

on_every_transport! {
    a_queue_stays_until_it_is_removed,
    a_second_queue_of_the_same_name_is_refused,
    stat_says_everything_there_is,
    stat_counts_what_happened,
    stat_is_one_field_a_line_for_people,
    ls_shows_every_queue,
    ls_shows_the_others_beside_a_broken_file,
    a_file_that_is_no_queue_is_refused_and_can_be_removed,
    max_is_the_largest_capacity,
    closing_twice_is_no_error,
    what_is_done_is_said_of_the_same_queue,
    rm_removes_what_it_can,
    removing_wakes_who_waits,
    an_auto_close_queue_closes_with_its_last_producer,
    an_auto_close_queue_counts_a_producer_before_its_first_message,
    gc_never_removes_a_queue_that_nobody_has_open,
    the_mode_decides_who_may_open,
}

fn a_queue_stays_until_it_is_removed(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().says_nothing();
    sandbox.ipcq("put jobs one two").done().says_nothing();
    sandbox.ipcq("get jobs").done().prints("one\n");
    assert_eq!(sandbox.len("jobs"), 1);
    sandbox.ipcq("rm jobs").done().says_nothing();
    sandbox.ipcq("stat jobs").done().fails(2, &["no queue jobs", "ipcq create jobs", "ipcq ls"]);
    sandbox.ipcq("create jobs").done().says_nothing();
    assert_eq!(sandbox.len("jobs"), 0);
}

fn a_second_queue_of_the_same_name_is_refused(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    sandbox.ipcq("create jobs").done().fails(2, &[&sandbox.label("jobs"), "exists already", "ipcq rm"]);
}

fn stat_says_everything_there_is(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 7 --max-message 4KiB").done().succeeds();
    sandbox.ipcq("put jobs a b c").done().succeeds();
    sandbox.ipcq("get jobs").done().prints("a\n");
    let stat = sandbox.stat("jobs");
    assert_eq!(stat["name"], "jobs");
    assert_eq!(stat["transport"], sandbox.transport());
    assert_eq!((stat["len"].as_u64(), stat["capacity"].as_u64()), (Some(2), Some(7)), "{stat}");
    assert_eq!((stat["puts"].as_u64(), stat["gets"].as_u64()), (Some(3), Some(1)), "{stat}");
    assert_eq!((&stat["closed"], &stat["auto_close"]), (&false.into(), &false.into()), "{stat}");
    assert_eq!((&stat["codec"], stat["max_message"].as_u64()), (&"bytes".into(), Some(4096)), "{stat}");
    assert_eq!(stat["in_flight"], 0);
    assert_eq!((&stat["waiting_putters"], &stat["waiting_getters"]), (&0.into(), &0.into()), "{stat}");
    assert!(stat["bytes"].as_u64().is_some_and(|bytes| bytes < 128 << 10), "{stat}");
    assert!(stat["location"].as_str().is_some_and(|place| !place.is_empty()), "{stat}");
}

fn stat_counts_what_happened(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 2").done().succeeds();
    sandbox.ipcq("put jobs a bcd").done().succeeds();
    sandbox.ipcq("put jobs late --timeout 200ms").done().fails(1, &["full"]);
    sandbox.ipcq("get jobs -n 2").done().succeeds();
    for _ in 0..2 {
        sandbox.ipcq("get jobs --timeout 200ms").done().fails(1, &["empty"]);
    }
    sandbox.ipcq("get jobs --no-wait").done().fails(1, &["empty"]);
    let stat = sandbox.stat("jobs");
    assert_eq!(
        (&stat["puts"], &stat["gets"], &stat["bytes_put"]),
        (&2.into(), &2.into(), &4.into()),
        "{stat}"
    );
    assert_eq!((&stat["put_waits"], &stat["get_waits"]), (&1.into(), &2.into()), "{stat}");
    assert_eq!(stat["recoveries"], 0, "{stat}");
}

fn stat_is_one_field_a_line_for_people(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let stdout = sandbox.ipcq("stat jobs").done().succeeds().stdout();
    let fields: Vec<_> = stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let stat = sandbox.stat("jobs");
    let mut expected: Vec<_> = stat.as_object().expect("an object").keys().map(String::as_str).collect();
    expected.sort_by_key(|field| fields.iter().position(|shown| shown == field));
    assert_eq!(fields, expected);
}

fn ls_shows_every_queue(sandbox: &Sandbox) {
    sandbox.ipcq("ls").done().says_nothing();
    for name in ["b", "a", "c"] {
        sandbox.ipcq(&format!("create {name}")).done().succeeds();
    }
    let json = sandbox.ipcq("ls --format json").done().succeeds().stdout();
    let names: Vec<_> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object a line"))
        .map(|queue| queue["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    let text = sandbox.ipcq("ls").done().succeeds().stdout();
    let firsts: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(firsts, ["name", "a", "b", "c"], "{text}");
    // What is promised, and no more, so that a line stays a line.
    assert_eq!(
        text.lines().next().expect("a head").split_whitespace().collect::<Vec<_>>().join(" "),
        "name transport len capacity bytes closed puts gets in_flight waiting_putters waiting_getters codec location"
    );
    assert!(text.lines().skip(1).all(|line| line.split_whitespace().count() == 13), "{text}");
}

/// Puts bytes that are no queue where a queue is kept.
fn break_queue(sandbox: &Sandbox, name: &str, bytes: &[u8]) {
    sandbox.ipcq(&format!("create {name}")).done().succeeds();
    let location = sandbox.stat(name)["location"].as_str().expect("a path").to_owned();
    let is_file = std::fs::metadata(&location).expect("the queue's file").is_file();
    if !is_file {
        // A socket cannot be written into.
        std::fs::remove_file(&location).expect("the socket can be removed");
    }
    std::fs::write(location, bytes).expect("the file can be written");
}

fn ls_shows_the_others_beside_a_broken_file(sandbox: &Sandbox) {
    sandbox.ipcq("create a").done().succeeds();
    sandbox.ipcq("create c").done().succeeds();
    break_queue(sandbox, "b", b"this is no queue");
    let done = sandbox.ipcq("ls").done().fails(2, &[&sandbox.label("b")]);
    let firsts: Vec<_> =
        done.stdout().lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect();
    assert_eq!(firsts, ["name", "a", "c"]);
    assert_eq!(done.stderr().lines().count(), 1, "{done}");
    assert!(done.stderr().contains(&sandbox.label("b")), "{done}");
    let done = sandbox.ipcq("top --once").done().fails(2, &[&sandbox.label("b")]);
    let stdout = done.stdout();
    let firsts: Vec<_> = stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(firsts, ["name", "a", "c"]);
    sandbox.ipcq("rm a c").done().says_nothing();
    sandbox.ipcq("ls").done().fails(2, &[&sandbox.label("b")]).prints_nothing();
}

fn a_file_that_is_no_queue_is_refused_and_can_be_removed(sandbox: &Sandbox) {
    let label = sandbox.label("jobs");
    for bytes in [&b""[..], b"this is no queue", &[0; 1 << 16], &[0xff; 1 << 16]] {
        break_queue(sandbox, "jobs", bytes);
        for command in ["put jobs a", "get jobs --no-wait", "stat jobs", "close jobs"] {
            sandbox.ipcq(command).done().fails(2, &[&label, "remove it", "use another name"]);
        }
        sandbox.ipcq("rm jobs").done().says_nothing();
    }
}

fn max_is_the_largest_capacity(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity max").done().succeeds();
    let capacity = sandbox.stat("jobs")["capacity"].as_u64().expect("a number");
    assert!(capacity >= 1000, "{capacity}");
    assert_eq!(sandbox.max_capacity(), capacity);
    let more = capacity + 1;
    let refused = sandbox.ipcq(&format!("create more --capacity {more}")).done();
    refused.fails(2, &[&more.to_string(), &capacity.to_string()]);
}

fn closing_twice_is_no_error(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    sandbox.ipcq("put jobs last").done().succeeds();
    sandbox.ipcq("close jobs").done().says_nothing();
    sandbox.ipcq("close jobs").done().says_nothing();
    assert_eq!(sandbox.stat("jobs")["closed"], true);
    sandbox.ipcq("put jobs more").done().fails(3, &[&sandbox.label("jobs"), "closed"]);
    sandbox.ipcq("get jobs").done().prints("last\n");
    sandbox.ipcq("get jobs").done().fails(3, &[&sandbox.label("jobs"), "closed"]);
}

fn what_is_done_is_said_of_the_same_queue(sandbox: &Sandbox) {
    let queue = format!("queue {}", sandbox.label("jobs"));
    for (command, did) in [("create", "made"), ("close", "closed"), ("rm", "removed")] {
        let done = sandbox.ipcq(&format!("-v {command} jobs")).done().succeeds();
        assert!(done.stderr().starts_with(&format!("ipcq: {did} {queue}")), "{}", done.stderr());
    }
}

fn rm_removes_what_it_can(sandbox: &Sandbox) {
    sandbox.ipcq("create a").done().succeeds();
    sandbox.ipcq("create b").done().succeeds();
    sandbox.ipcq("rm a missing b").done().fails(2, &["no queue missing"]);
    sandbox.ipcq("ls").done().says_nothing();
}

fn removing_wakes_who_waits(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 1").done().succeeds();
    let getter = sandbox.ipcq("get jobs").start();
    sandbox.await_getters("jobs", 1);
    sandbox.ipcq("rm jobs").done().says_nothing();
    getter.end().fails(3, &[&sandbox.label("jobs"), "closed"]);
}

fn an_auto_close_queue_closes_with_its_last_producer(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --auto-close").done().succeeds();
    assert_eq!(sandbox.stat("jobs")["auto_close"], true);
    sandbox.ipcq("put jobs a b").done().succeeds();
    sandbox.ipcq("get jobs --follow").done().prints("a\nb\n");
}

fn an_auto_close_queue_counts_a_producer_before_its_first_message(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --auto-close").done().succeeds();
    let mut slow = sandbox.ipcq("put jobs").start();
    slow.feed(b"early\n");
    sandbox.ipcq("get jobs").done().prints("early\n");
    sandbox.ipcq("put jobs other").done().succeeds();
    slow.feed(b"late\n");
    slow.end().says_nothing();
    sandbox.ipcq("get jobs --follow").done().prints("other\nlate\n");
}

fn gc_never_removes_a_queue_that_nobody_has_open(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    sandbox.ipcq("put jobs kept").done().succeeds();
    sandbox.ipcq("gc").done().says_nothing();
    sandbox.ipcq("gc --format json").done().says_nothing();
    sandbox.ipcq("get jobs --timeout 1s").done().prints("kept\n");
}

fn the_mode_decides_who_may_open(sandbox: &Sandbox) {
    for mode in [0o600, 0o660, 0o666] {
        sandbox.ipcq(&format!("create jobs --mode {mode:o}")).done().succeeds();
        let location = sandbox.stat("jobs")["location"].as_str().expect("a path").to_owned();
        let bits = std::fs::metadata(location).expect("the queue's file").permissions().mode();
        assert_eq!(bits & 0o777, mode);
        sandbox.ipcq("rm jobs").done().succeeds();
    }
    sandbox.ipcq("create jobs --mode 777").done().fails(2, &["777", "600"]);
}
