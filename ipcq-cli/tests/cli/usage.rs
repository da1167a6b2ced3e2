use crate::support::Sandbox;

on_every_transport! {
    a_wrong_name_is_refused,
    a_missing_queue_is_named_with_what_to_do,
    a_bad_size_duration_or_capacity_is_refused,
    flags_that_contradict_each_other_are_refused,
    a_queue_can_be_named_with_its_transport,
    a_directory_that_cannot_be_used_is_named,
    what_keeps_all_transports_from_a_queue_is_said,
}

fn a_wrong_name_is_refused(sandbox: &Sandbox) {
    let long = "x".repeat(201);
    for name in ["", "../jobs", "a/b", ".hidden", "a b", "jobs\n", "müll", &long] {
        for command in ["create", "put", "get", "stat", "close", "rm"] {
            sandbox.ipcq_with(&[command, name]).done().fails(2, &["queue name"]);
        }
    }
    let left: Vec<_> = std::fs::read_dir(sandbox.directory()).expect("the directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

fn a_missing_queue_is_named_with_what_to_do(sandbox: &Sandbox) {
    let label = sandbox.label("jobs");
    // It is looked for on all transports unless one is named.
    for (queue, said) in [("jobs", "jobs"), (label.as_str(), label.as_str())] {
        let said = format!("there is no queue {said}");
        for command in ["put {} a", "get {}", "get {} --all", "stat {}", "close {}"] {
            let command = command.replace("{}", queue);
            sandbox.ipcq(&command).done().fails(2, &[&format!("{said};"), "ipcq create jobs", "ipcq ls"]);
        }
        sandbox.ipcq(&format!("rm {queue}")).done().fails(2, &[&format!("{said} to remove"), "ipcq ls"]);
    }
    let chosen = format!("-t {} stat jobs", sandbox.transport());
    sandbox.ipcq(&chosen).done().fails(2, &[&label, "ipcq create jobs"]);
}

fn a_bad_size_duration_or_capacity_is_refused(sandbox: &Sandbox) {
    for size in ["4XB", "-1", "lots", "99999999999TiB"] {
        let create = sandbox.ipcq_with(&["create", "jobs", &format!("--max-message={size}")]).done();
        create.fails(2, &["--max-message", "4KiB"]);
    }
    for capacity in ["0", "-1", "many", "1.5"] {
        let create = sandbox.ipcq_with(&["create", "jobs", &format!("--capacity={capacity}")]).done();
        create.fails(2, &["--capacity", "max"]);
    }
    for timeout in ["5", "soon", "-1s"] {
        let get = sandbox.ipcq_with(&["get", "jobs", &format!("--timeout={timeout}")]).done();
        get.fails(2, &["--timeout", "500ms"]);
    }
    // Written apart from its option, a negative number is a wrong value and no option of its own.
    for (command, words) in [
        ("create jobs --capacity -1", ["--capacity", "at least 1, or max", "ipcq create --help"]),
        ("get jobs --timeout -1s", ["--timeout", "500ms", "ipcq get --help"]),
        ("get jobs -n -1", ["-n <N>", "whole number", "ipcq get --help"]),
        ("demo -n 1.5", ["--messages", "whole number", "ipcq demo --help"]),
        ("bench --messages 0", ["--messages", "at least 1", "ipcq bench --help"]),
        ("bench --size 2GiB --messages 1", ["--size", "at most 256MiB", "ipcq bench --help"]),
    ] {
        sandbox.ipcq(command).done().fails(2, &words);
    }
    sandbox.ipcq("create jobs --max-message 1000000TiB").done().fails(2, &[sandbox.transport()]);
    sandbox.ipcq("ls").done().says_nothing();
}

fn flags_that_contradict_each_other_are_refused(sandbox: &Sandbox) {
    for command in [
        "get jobs --all --follow",
        "get jobs -n 1 --all",
        "get jobs -0 --raw",
        "get jobs --timeout 1s --no-wait",
        "put jobs --raw --length-prefixed",
        "put jobs message --raw",
        "put jobs --timeout 1s --no-wait",
        "ls -q -v",
    ] {
        sandbox.ipcq(command).done().fails(2, &["cannot be used with", "--help"]);
    }
}

fn a_queue_can_be_named_with_its_transport(sandbox: &Sandbox) {
    let label = sandbox.label("jobs");
    sandbox.ipcq(&format!("create {label}")).done().says_nothing();
    sandbox.ipcq(&format!("put {label} a b c")).done().says_nothing();
    sandbox.ipcq(&format!("get {label}")).done().prints("a\n");
    sandbox.ipcq("get jobs").env("IPCQ_TRANSPORT", "").done().prints("b\n");
    let chosen = format!("-t {} get {label}", sandbox.transport());
    sandbox.ipcq(&chosen).done().prints("c\n");
    sandbox.ipcq(&format!("rm {label}")).done().says_nothing();
}

fn a_directory_that_cannot_be_used_is_named(sandbox: &Sandbox) {
    let file = sandbox.directory().join("file");
    std::fs::write(&file, "").expect("the file can be written");
    let path = file.to_str().expect("a plain path");
    sandbox.ipcq("create jobs").env("IPCQ_DIR", path).done().fails(2, &[path]);
    let transport = format!("transport {}: ", sandbox.transport());
    for command in ["ls", "gc"] {
        let chosen = format!("-t {} {command}", sandbox.transport());
        let done = sandbox.ipcq(&chosen).env("IPCQ_DIR", path).done();
        done.fails(2, &[&transport, path, "set IPCQ_DIR to another one"]);
    }
}

#[test]
fn an_unknown_transport_is_refused_with_those_there_are() {
    let sandbox = Sandbox::new("shm");
    for command in ["-t tcp create jobs", "-t tcp get jobs", "create tcp:jobs", "-t tcp ls", "-t tcp demo"] {
        sandbox.ipcq(command).done().fails(2, &["tcp", "available: shm, pipe, zmq"]);
    }
    let create = sandbox.ipcq("create jobs").env("IPCQ_TRANSPORT", "tcp").done();
    create.fails(2, &["tcp", "available: shm, pipe, zmq"]);
    sandbox.ipcq("-t shm get pipe:jobs").done().fails(2, &["on transport pipe", "-t says shm"]);
}

#[test]
fn an_unknown_command_or_a_missing_argument_is_one_line() {
    let sandbox = Sandbox::new("shm");
    sandbox.ipcq("creat jobs").done().fails(2, &["creat", "'create'", "--help"]);
    sandbox.ipcq("get").done().fails(2, &["<QUEUE>", "ipcq get --help"]);
    sandbox.ipcq("rm").done().fails(2, &["<QUEUE>", "ipcq rm --help"]);
    sandbox.ipcq("ls --no-such-flag").done().fails(2, &["--no-such-flag"]);
    sandbox.ipcq("ls --format xml").done().fails(2, &["xml", "json"]);
}

#[test]
fn help_and_version_go_to_stdout() {
    let sandbox = Sandbox::new("shm");
    let version = sandbox.ipcq("--version").done().succeeds();
    assert_eq!(version.stdout(), format!("ipcq {}\n", env!("CARGO_PKG_VERSION")));
    let help = sandbox.ipcq("--help").done().succeeds().stdout();
    for command in
        ["demo", "create", "put", "get", "stat", "ls", "close", "rm", "gc", "doctor", "bench", "IPCQ_DIR"]
    {
        assert!(help.contains(command), "{command}\n{help}");
    }
    assert!(!help.contains("worker") && !help.contains("keeper"), "{help}");
    assert!(help.contains("shm, pipe, zmq"), "the transports that are built in\n{help}");
    for flag in ["--help", "--version"] {
        sandbox.shell(&format!("ipcq {flag} > /dev/full")).done().fails(2, &["stdout could not be written"]);
    }
    let nothing = sandbox.ipcq("").done();
    assert!(nothing.stderr().contains("Usage: ipcq"), "{nothing}");
}

/// That no transport can look is no word of a queue on each of them.
fn what_keeps_all_transports_from_a_queue_is_said(sandbox: &Sandbox) {
    for command in ["put a x", "put a x --create", "get a", "stat a", "close a", "rm a"] {
        let script = format!("touch $IPCQ_DIR/f; unset IPCQ_TRANSPORT; IPCQ_DIR=$IPCQ_DIR/f ipcq {command}");
        let said = sandbox.shell(&script).done();
        assert!(!said.stderr().contains("on each of"), "{command}: {}", said.stderr());
        said.fails(2, &["/f", "directory"]);
    }
}
