use nix::sys::signal::Signal;

use crate::support::{Running, Sandbox};

on_every_transport! {
    the_sum_over_all_consumers_is_right,
    each_line_goes_to_one_consumer,
    producers_share_stdin,
    a_failing_producer_decides_the_status,
    a_failing_consumer_decides_the_status,
    the_first_failure_decides_and_all_are_said,
    a_command_ended_by_a_signal_is_reported_as_shells_do,
    the_others_go_on_when_a_consumer_ends_early,
    slow_consumers_share_the_lines,
    a_slow_consumer_does_not_hoard,
    producers_end_when_nobody_consumes,
    a_pipeline_that_is_asked_to_end_leaves_nothing_behind,
    a_killed_pipeline_leaves_nothing_behind,
    a_capacity_is_kept,
    the_guard_is_for_run_alone,
}

/// Prints a line, and then has two processes that would stay for ever.
const STAYING: &str = "echo here; sleep 1000 & sleep 1000";

fn the_sum_over_all_consumers_is_right(sandbox: &Sandbox) {
    let script = "ipcq run --producer 'seq 100000' --producer 'seq 100000' \
                  --consumer 'awk \"{s+=\\$1} END {printf \\\"%.0f\\\\n\\\", s}\"' -j 4";
    let done = sandbox.shell(script).done().succeeds();
    let sums: Vec<u64> = done.stdout().lines().map(|line| line.parse().unwrap_or(0)).collect();
    assert_eq!((sums.len(), sums.iter().sum::<u64>()), (4, 10_000_100_000), "{done}");
    assert_eq!(done.stderr(), "");
    assert_eq!(sandbox.files(), [""; 0]);
}

fn each_line_goes_to_one_consumer(sandbox: &Sandbox) {
    let script = "ipcq run --producer 'seq 1 3000' 'seq 3001 6000' --consumer cat -j 2 --consumer 'cat; true' | sort -n";
    sandbox.shell(&format!("cmp <({script}) <(seq 6000)")).done().says_nothing();
}

fn producers_share_stdin(sandbox: &Sandbox) {
    let run = ["run", "--producer", "cat", "--consumer", "cat"];
    sandbox.ipcq_with(&run).input("a\n\nb").done().prints("a\n\nb\n");
}

fn a_failing_producer_decides_the_status(sandbox: &Sandbox) {
    let run = ["run", "--producer", "seq 3", "--producer", "echo 4; exit 7", "--consumer", "sort"];
    let done = sandbox.ipcq_with(&run).done().fails(7, &["producer 'echo 4; exit 7'", "status 7"]);
    assert_eq!(done.stdout(), "1\n2\n3\n4\n");
}

fn a_failing_consumer_decides_the_status(sandbox: &Sandbox) {
    let run = ["run", "--producer", "seq 3", "--consumer", "cat; exit 9"];
    let done = sandbox.ipcq_with(&run).done().fails(9, &["consumer 'cat; exit 9'", "status 9"]);
    assert_eq!(done.stdout(), "1\n2\n3\n");
}

fn the_first_failure_decides_and_all_are_said(sandbox: &Sandbox) {
    let run = ["run", "--producer", "echo 1; exit 4", "--consumer", "cat; exit 5"];
    let done = sandbox.ipcq_with(&run).done();
    let said = done.stderr();
    assert!(said.contains("status 4") && said.contains("status 5") && said.lines().count() == 2, "{done}");
    assert_eq!(done.code(), Some(4), "{done}");
}

fn a_command_ended_by_a_signal_is_reported_as_shells_do(sandbox: &Sandbox) {
    let run = ["run", "--producer", "kill -9 $$", "--consumer", "cat"];
    sandbox.ipcq_with(&run).done().fails(137, &["producer 'kill -9 $$'", "SIGKILL"]);
}

fn the_others_go_on_when_a_consumer_ends_early(sandbox: &Sandbox) {
    let run = ["run", "--producer", "seq 20000", "--consumer", "read x; exit 3", "--consumer", "cat"];
    let done = sandbox.ipcq_with(&run).done().fails(3, &["consumer 'read x; exit 3'"]);
    let mut got: Vec<u32> = done.stdout().lines().map(|line| line.parse().expect("a number")).collect();
    // What it had been given is at most a line at first, and twice as many as before each time that it was quick.
    assert!(got.len() < 20_000 && got.len() >= 19_990, "{} lines", got.len());
    got.sort_unstable();
    let lines = got.len();
    got.dedup();
    assert_eq!(got.len(), lines, "a line went to two consumers");
}

fn slow_consumers_share_the_lines(sandbox: &Sandbox) {
    // Each reads one line, and no more until all four have one.
    let consumer = "read x; touch $IPCQ_DIR/got.$$; \
                    while [ $(ls $IPCQ_DIR | grep -c got) -lt 4 ]; do sleep 0.01; done; cat > /dev/null";
    let run = ["run", "--producer", "seq 10", "--consumer", consumer, "-j", "4"];
    sandbox.ipcq_with(&run).done().says_nothing();
}

fn a_slow_consumer_does_not_hoard(sandbox: &Sandbox) {
    // One reads a line and no more until the other has had nearly all: 10 that are left are the slow one's.
    let slow = "read x; while [ ! -e $IPCQ_DIR/done ]; do sleep 0.01; done; cat > /dev/null";
    let fast = "cat > $IPCQ_DIR/fast";
    let producer = "for i in $(seq 20); do seq 500; sleep 0.01; done; \
                    while [ $(wc -l < $IPCQ_DIR/fast) -lt 9990 ]; do sleep 0.01; done; touch $IPCQ_DIR/done";
    let run = ["run", "--producer", producer, "--consumer", slow, "--consumer", fast];
    sandbox.ipcq_with(&run).done().says_nothing();
}

fn producers_end_when_nobody_consumes(sandbox: &Sandbox) {
    for producer in
        ["yes", "echo y; sleep 1000 & sleep 1000", "trap '' TERM; while :; do echo y; done 2> /dev/null"]
    {
        let done = sandbox.ipcq_with(&["run", "--producer", producer, "--consumer", "head -1"]).done();
        assert_eq!(done.stdout(), "y\n", "{done}");
        let done = done.succeeds();
        let left = done.stderr();
        assert!(
            left.is_empty() || left.contains("every consumer has ended") && left.lines().count() == 1,
            "{done}"
        );
        sandbox.await_no_processes();
    }
}

/// A pipeline at work, with processes that end only when they are made to.
fn staying(sandbox: &Sandbox) -> Running {
    let run = ["run", "--producer", STAYING, "--consumer", "cat; sleep 1000"];
    let mut running = sandbox.ipcq_with(&run).start();
    assert_eq!(running.line(), "here");
    running
}

fn a_pipeline_that_is_asked_to_end_leaves_nothing_behind(sandbox: &Sandbox) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let running = staying(sandbox);
        running.signal(signal);
        let done = running.end();
        assert_eq!((done.signal(), done.stderr().as_str()), (Some(signal as i32), ""), "{done}");
        sandbox.await_no_processes();
        assert_eq!(sandbox.files(), [""; 0]);
    }
    // One that does not listen is ended all the same.
    let run = ["run", "--producer", "trap '' INT; echo here; sleep 1000; sleep 1000", "--consumer", "cat"];
    let mut running = sandbox.ipcq_with(&run).start();
    assert_eq!(running.line(), "here");
    running.signal(Signal::SIGINT);
    assert_eq!(running.end().signal(), Some(Signal::SIGINT as i32));
    sandbox.await_no_processes();
}

fn a_killed_pipeline_leaves_nothing_behind(sandbox: &Sandbox) {
    staying(sandbox).kill();
    sandbox.await_no_processes();
    assert_eq!(sandbox.files(), [""; 0]);
}

fn a_capacity_is_kept(sandbox: &Sandbox) {
    let run = ["run", "--capacity", "1", "--producer", "seq 100", "--consumer", "cat"];
    let done = sandbox.ipcq_with(&run).done().succeeds();
    assert_eq!(done.stdout().lines().count(), 100, "{done}");
    sandbox.ipcq("run --capacity 0 --producer a --consumer b").done().fails(2, &["--capacity", "at least 1"]);
    sandbox.ipcq("run --producer true").done().fails(2, &["--consumer", "ipcq run --help"]);
    sandbox.ipcq("run --consumer true").done().fails(2, &["--producer", "ipcq run --help"]);
    sandbox.ipcq("run --producer a --consumer b -j 0").done().fails(2, &["-j", "from 1 to 256"]);
}

fn the_guard_is_for_run_alone(sandbox: &Sandbox) {
    // It would end the group of processes that it is in, which is this test's.
    sandbox.ipcq("guard").done().fails(2, &["run by run"]);
}
