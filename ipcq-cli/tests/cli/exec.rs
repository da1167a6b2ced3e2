use crate::support::Sandbox;

on_every_transport! {
    a_command_reads_each_message,
    a_message_stands_in_the_arguments,
    several_commands_run_at_once,
    failures_are_counted,
    a_program_that_is_not_there_takes_nothing,
    amounts_and_ends_are_those_of_get,
    a_message_that_cannot_be_an_argument_is_counted,
}

fn a_command_reads_each_message(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a bc --create").done().succeeds();
    sandbox.ipcq_with(&["get", "jobs", "--exec", "cat"]).done().prints("a");
    sandbox.ipcq_with(&["get", "jobs", "--all", "--exec", "sh", "-c", "wc -c"]).done().prints("2\n");
    // One that does not read is judged by how it ends.
    sandbox.ipcq("put jobs --raw").input(vec![b'x'; 1 << 20]).done().succeeds();
    sandbox.ipcq_with(&["get", "jobs", "--exec", "true"]).done().says_nothing();
}

fn a_message_stands_in_the_arguments(sandbox: &Sandbox) {
    sandbox.ipcq_with(&["put", "jobs", "a b", "-n", "{}", "--create"]).done().fails(2, &["-n"]);
    sandbox.ipcq_with(&["put", "jobs", "--create", "--", "a b", "-n", "{}"]).done().succeeds();
    let get = ["get", "jobs", "--all", "--exec", "printf", "<%s>", "{}", "-{}-"];
    sandbox.ipcq_with(&get).done().prints("<a b><-a b-><-n><--n-><{}><-{}->");
}

fn several_commands_run_at_once(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs 1 2 3 4 --create").done().succeeds();
    // None ends before all four are there.
    let command = "touch $IPCQ_DIR/at.{}; while [ $(ls $IPCQ_DIR | grep -c ^at) -lt 4 ]; do sleep 0.01; done";
    let get = ["get", "jobs", "-n", "4", "-j", "4", "--exec", "sh", "-c", command];
    sandbox.ipcq_with(&get).done().says_nothing();
    assert_eq!(sandbox.len("jobs"), 0);
}

fn failures_are_counted(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs 0 1 2 0 --create").done().succeeds();
    let label = sandbox.label("jobs");
    let get = ["get", "jobs", "--all", "--exec", "sh", "-c", "exit {}"];
    sandbox.ipcq_with(&get).done().fails(2, &["2 of 4 messages", &label, "-v"]);
    assert_eq!(sandbox.len("jobs"), 0);
}

fn a_program_that_is_not_there_takes_nothing(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a --create").done().succeeds();
    for program in ["no-such-program", "./no/such/program", "/etc/passwd"] {
        let get = ["get", "jobs", "--exec", program];
        sandbox.ipcq_with(&get).done().fails(2, &[program, "nothing was taken"]);
    }
    assert_eq!(sandbox.len("jobs"), 1);
    sandbox.ipcq("get jobs --exec").done().fails(2, &["--exec", "ipcq get --help"]);
    sandbox.ipcq("get jobs -j 2").done().fails(2, &["--exec"]);
    sandbox.ipcq("get jobs --raw --exec cat").done().fails(2, &["cannot be used with"]);
}

fn amounts_and_ends_are_those_of_get(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a b c --create").done().succeeds();
    let label = sandbox.label("jobs");
    sandbox.ipcq("get jobs -n 2 --exec cat").done().prints("ab");
    sandbox.ipcq("get jobs -n 2 --no-wait --exec cat").done().fails(1, &["got 1 of 2", &label, "empty"]);
    sandbox.ipcq("get jobs --timeout 20ms --exec cat").done().fails(1, &[&label, "empty"]);
    let follower = sandbox.ipcq("get jobs --follow -j 2 --exec cat").start();
    sandbox.ipcq("put jobs d --close").done().succeeds();
    follower.end().prints("d");
    sandbox.ipcq("get jobs --exec cat").done().fails(3, &[&label, "closed"]);
    sandbox.ipcq("get jobs --all --exec cat").done().says_nothing();
}

fn a_message_that_cannot_be_an_argument_is_counted(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    sandbox.ipcq("put jobs --raw").input(b"a\0b").done().succeeds();
    let done = sandbox.ipcq("get jobs --exec echo {}").done();
    assert_eq!((done.code(), done.stdout().as_str()), (Some(2), ""), "{done}");
    assert!(done.stderr().contains("1 of 1 message"), "{done}");
}
