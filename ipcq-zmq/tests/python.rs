//! The client in Python, which is written from PROTOCOL.md and shares no code with this crate.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_zmq::{Bytes, Queue, QueueOptions, ZmqTransport};

/// Set where Python with pyzmq is promised: which one to run.
const PROMISED: &str = "IPCQ_TEST_PYTHON";

/// The Python to run the client with; `None` where none has pyzmq and none was promised, and so nothing can be tested.
fn python() -> Option<OsString> {
    let promised = std::env::var_os(PROMISED).filter(|python| !python.is_empty());
    let python = promised.clone().unwrap_or_else(|| "python3".into());
    let imported = Command::new(&python).args(["-c", "import zmq"]).output();
    if imported.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(promised.is_none(), "{PROMISED} names {python:?}, which has no pyzmq: {imported:?}");
    // Past the test's capture of its output, so that it is seen.
    let told = std::io::stderr().write_all(
        b"\nNOT TESTED: the client in Python, since python3 or pyzmq is missing; bash .ci/run installs pyzmq\n",
    );
    told.expect("standard error");
    None
}

fn client(python: &OsStr, socket: &Path, args: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/client.py");
    let output = Command::new(python).arg(program).arg(socket).args(args).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn python_and_rust_understand_each_other() {
    let _watchdog = Watchdog::start("the client in Python", Duration::from_secs(60));
    let Some(python) = python() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let socket = directory.path().join("words.zmq");
    let words: Queue<Vec<u8>, Bytes> =
        Queue::create(&zmq, "words", &QueueOptions::new()).expect("a free name");
    client(&python, &socket, &["put", "one", "two", "three"]);
    assert_eq!(
        words.get_many(9).expect("what Python put"),
        [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]
    );
    words.put_many([b"four".to_vec(), b"five".to_vec()]).expect("there is room");
    assert_eq!(client(&python, &socket, &["get", "2"]).stdout, b"four\nfive\n");
    assert!(words.is_empty().expect("a queue that works"));
    words.close().expect("an open queue closes");
    assert_eq!(client(&python, &socket, &["get", "1"]).stdout, b"(closed)\n");
}
