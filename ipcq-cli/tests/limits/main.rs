//! What a user runs into who makes as many queues as the system allows: by itself, because who has used up what there
//! is takes it from every other test of the same user.

#[allow(dead_code, unused_imports, unused_macros, reason = "the tests of the command line need more of it")]
#[path = "../cli/support/mod.rs"]
#[macro_use]
mod support;

use std::os::unix::fs::chown;

use nix::unistd::{Uid, geteuid};

use crate::support::Sandbox;

/// A program that runs what follows it without the privileges that make pipes unlimited, as a user that nobody else
/// is; and the directory made that user's own. Who has no privileges needs neither.
fn without_privileges(sandbox: &Sandbox) -> String {
    if geteuid() != Uid::from_raw(0) {
        return String::new();
    }
    let user = 1_500_000_000 + std::process::id();
    chown(sandbox.directory(), Some(user), Some(user)).expect("root can give its directory away");
    format!("setpriv --reuid={user} --regid={user} --clear-groups --bounding-set=-all")
}

#[test]
fn a_pipe_that_is_one_too_many_is_refused_with_what_can_be_had() {
    let sandbox = Sandbox::new("pipe");
    let user = without_privileges(&sandbox);
    let program = env!("CARGO_BIN_EXE_ipcq");
    // Each takes 1 MiB of the 64 MiB that a user's pipes may have; the pipes of the shell are the test's.
    let script = format!(
        "for n in $(seq 1 200); do {user} '{program}' create jobs$n --capacity 16000 || {{ echo $n; exit; }}; done"
    );
    let done = sandbox.shell(&script).done();
    let refused: usize = done.stdout().trim().parse().expect("a number of queues that could not be made");
    assert!((2..=65).contains(&refused), "{done}");
    let said = done.stderr();
    assert_eq!(said.lines().count(), 1, "{done}");
    for word in ["queue pipe:jobs", "capacity of 16000", "fs.pipe-user-pages-soft", "fs.pipe-max-size"] {
        assert!(said.contains(word), "{word}\n{done}");
    }
    assert_eq!(sandbox.keepers(&format!("jobs{refused}")), []);
    // As many as it says that it holds, and not one more.
    let most = said.split("its pipe holds ").nth(1).and_then(|rest| rest.split(' ').next());
    let most: u32 = most.and_then(|most| most.parse().ok()).expect("the largest capacity");
    let script = format!(
        "run() {{ {user} '{program}' \"$@\"; }}; run create last --capacity {most} && seq {most} | run put last && \
         run put last more --no-wait; echo $?; run get last --all | cmp - <(seq {most}); \
         for n in $(seq 1 {}); do run rm jobs$n; done; run rm last",
        refused - 1
    );
    let filled = sandbox.shell(&script).done().prints("1\n");
    assert!(filled.stderr().contains("queue pipe:last is full"), "{filled}");
    sandbox.await_keepers("last", 0);
    assert_eq!(sandbox.files(), [""; 0]);
}
