use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use nix::pty::openpty;

use crate::support::{Run, Sandbox};

on_every_transport! {
    a_long_stream_shows_how_far_it_has_come,
    a_benchmark_shows_how_far_it_has_come,
}

/// What `run` says on a terminal until it ends, which it does with success.
fn said_on_a_terminal(run: Run) -> String {
    let terminal = openpty(None, None).expect("a terminal");
    let program = run.start_on([Stdio::null(), Stdio::null(), terminal.slave.into()]);
    let mut said = Vec::new();
    // That nobody has the other end any more is an error here.
    let _ = File::from(terminal.master).read_to_end(&mut said);
    let status = program.end();
    assert!(status.success(), "{status}");
    String::from_utf8_lossy(&said).into_owned()
}

/// The last that is done to a line of progress is that it is removed.
fn is_removed(said: &str) -> bool {
    said.ends_with("\x1b[2K")
}

fn a_long_stream_shows_how_far_it_has_come(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let said = said_on_a_terminal(sandbox.shell("(seq 30; sleep 1.1; seq 12) | ipcq put jobs"));
    assert!(said.contains("42 messages,") && is_removed(&said), "{}", said.escape_debug());
    for quiet in ["seq 30 | ipcq put jobs", "(seq 30; sleep 1.1; seq 12) | ipcq -q put jobs"] {
        let said = said_on_a_terminal(sandbox.shell(quiet));
        assert_eq!(said, "", "{quiet}");
    }
    let unwatched = sandbox.shell("(seq 30; sleep 1.1; seq 12) | ipcq put jobs").done();
    unwatched.says_nothing();
}

fn a_benchmark_shows_how_far_it_has_come(sandbox: &Sandbox) {
    let bench = "bench --messages 200 --size 8 --producers 1 --repetitions 2 --no-reference -t";
    let bench = format!("{bench} {}", sandbox.transport());
    let said = said_on_a_terminal(sandbox.ipcq(&bench));
    assert!(said.contains("/6 ") && said.contains("8 bytes") && is_removed(&said), "{}", said.escape_debug());
    assert_eq!(said_on_a_terminal(sandbox.ipcq(&format!("-q {bench}"))), "");
}
