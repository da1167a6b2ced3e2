use crate::support::Sandbox;

on_every_transport! {
    the_defaults_print_exactly_five_lines,
    every_producer_puts_and_every_message_is_consumed_once,
    no_messages_are_no_lines,
    nothing_is_left_behind,
    a_killed_demo_leaves_nothing_behind,
    a_reader_that_leaves_early_is_no_failure,
    a_full_disk_is_said_in_one_line,
}

fn the_defaults_print_exactly_five_lines(sandbox: &Sandbox) {
    let expected = "Consumed: Message 0\nConsumed: Message 1\nConsumed: Message 2\n\
                    Consumed: Message 3\nConsumed: Message 4\n";
    let done = sandbox.ipcq("demo").done().prints(expected);
    assert_eq!(done.stderr(), "");
}

fn every_producer_puts_and_every_message_is_consumed_once(sandbox: &Sandbox) {
    let done = sandbox.ipcq("demo -n 700 --producers 3 --consumers 4").done().succeeds();
    let mut lines: Vec<String> = done.stdout().lines().map(str::to_owned).collect();
    let mut expected: Vec<String> =
        (0..700).flat_map(|number| vec![format!("Consumed: Message {number}"); 3]).collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

fn no_messages_are_no_lines(sandbox: &Sandbox) {
    sandbox.ipcq("demo -n 0").done().says_nothing();
}

fn nothing_is_left_behind(sandbox: &Sandbox) {
    sandbox.ipcq("demo").done().succeeds();
    let left: Vec<_> = std::fs::read_dir(sandbox.directory()).expect("the directory").collect();
    assert!(left.is_empty(), "{left:?}");
    sandbox.ipcq("ls").done().says_nothing();
}

fn a_killed_demo_leaves_nothing_behind(sandbox: &Sandbox) {
    let mut demo = sandbox.ipcq(&format!("demo -n {}", sandbox.at_most(100_000))).start();
    assert_eq!(demo.line(), "Consumed: Message 0");
    demo.kill();
    let left: Vec<_> = std::fs::read_dir(sandbox.directory()).expect("the directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

fn a_reader_that_leaves_early_is_no_failure(sandbox: &Sandbox) {
    let demo = format!("ipcq demo -n {} | head -1", sandbox.at_most(20_000));
    sandbox.shell(&demo).done().prints("Consumed: Message 0\n");
}

fn a_full_disk_is_said_in_one_line(sandbox: &Sandbox) {
    for command in ["demo", "demo --consumers 3"] {
        let done = sandbox.shell(&format!("ipcq {command} > /dev/full")).done();
        done.fails(2, &["stdout could not be written", "No space left", "make room"]);
    }
}
