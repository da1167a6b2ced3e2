use crate::support::Sandbox;

on_every_transport! {
    a_queue_is_filled_and_emptied_by_processes_that_never_meet,
    a_stream_passes_while_it_is_made,
    several_streams_meet_in_one_queue,
    a_long_message_arrives_whole,
    long_and_short_messages_keep_their_order,
}

/// What `seq` prints.
fn numbers(to: u32) -> String {
    (1..=to).map(|number| format!("{number}\n")).collect()
}

fn a_queue_is_filled_and_emptied_by_processes_that_never_meet(sandbox: &Sandbox) {
    let all = sandbox.at_most(100_000);
    sandbox.ipcq(&format!("create jobs --capacity {all}")).done().succeeds();
    sandbox.shell(&format!("seq {all} | ipcq put jobs")).done().says_nothing();
    assert_eq!(sandbox.len("jobs"), u64::from(all));
    sandbox.shell(&format!("ipcq get jobs --all | cmp - <(seq {all})")).done().says_nothing();
    assert_eq!(sandbox.len("jobs"), 0);
}

fn a_stream_passes_while_it_is_made(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let getter = sandbox.ipcq("get jobs --follow").start();
    sandbox.shell("seq 200000 | ipcq put jobs --close").done().says_nothing();
    getter.end().prints(numbers(200_000));
}

fn several_streams_meet_in_one_queue(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let getter = sandbox.ipcq("get jobs --follow").start();
    sandbox.shell("for i in 1 2 3; do seq 5000 | ipcq put jobs & done; wait").done().says_nothing();
    sandbox.ipcq("close jobs").done().succeeds();
    let mut got: Vec<u32> =
        getter.end().succeeds().stdout().lines().map(|line| line.parse().expect("a number")).collect();
    got.sort_unstable();
    assert_eq!(got, (1..=5000).flat_map(|number| [number; 3]).collect::<Vec<_>>());
}

/// Bytes without a pattern that a shift or a repeat would keep.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[7]
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn a_long_message_arrives_whole(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let empty = sandbox.stat("jobs")["bytes"].as_u64().expect("a number of bytes");
    let message = noise(20 << 20);
    sandbox.ipcq("put jobs --raw").input(&message).done().says_nothing();
    let got = sandbox.ipcq("get jobs --raw").done().succeeds();
    assert!(got.bytes() == message, "the message has changed");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while sandbox.stat("jobs")["bytes"].as_u64().is_none_or(|bytes| bytes > empty + (1 << 20)) {
        assert!(std::time::Instant::now() < deadline, "the memory of a long message is never given back");
    }
}

fn long_and_short_messages_keep_their_order(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let long = "x".repeat(3 << 20);
    let lines = format!("a\n{long}\nb\n\n{long}\nc\n");
    sandbox.ipcq("put jobs --close").input(&lines).done().says_nothing();
    sandbox.ipcq("get jobs --follow").done().prints(lines);
}
