//! The client in Python, which is written from PROTOCOL.md and shares no code with this crate.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ipcq_core::conformance::Watchdog;
use ipcq_zmq::{Bytes, Queue, QueueOptions, ZmqTransport};

/// Whether there is a Python with pyzmq. Where there is none, there is nothing to test.
fn has_pyzmq() -> bool {
    Command::new("python3").args(["-c", "import zmq"]).output().is_ok_and(|output| output.status.success())
}

fn client(socket: &Path, args: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/client.py");
    let output = Command::new("python3").arg(program).arg(socket).args(args).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn python_and_rust_understand_each_other() {
    let _watchdog = Watchdog::start("the client in Python", Duration::from_secs(60));
    if !has_pyzmq() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let zmq = ZmqTransport::in_directory(directory.path());
    let socket = directory.path().join("words.zmq");
    let words: Queue<Vec<u8>, Bytes> =
        Queue::create(&zmq, "words", &QueueOptions::new()).expect("a free name");
    client(&socket, &["put", "one", "two", "three"]);
    assert_eq!(
        words.get_many(9).expect("what Python put"),
        [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]
    );
    words.put_many([b"four".to_vec(), b"five".to_vec()]).expect("there is room");
    assert_eq!(client(&socket, &["get", "2"]).stdout, b"four\nfive\n");
    assert!(words.is_empty().expect("a queue that works"));
    words.close().expect("an open queue closes");
    assert_eq!(client(&socket, &["get", "1"]).stdout, b"(closed)\n");
}
