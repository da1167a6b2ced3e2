//! The contract's promises, on queues over ZeroMQ.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use ipcq_core::Channel;
use ipcq_core::conformance::Harness;
use ipcq_zmq::ZmqTransport;
use tempfile::TempDir;

/// Queues in a directory of their own.
#[derive(Debug)]
struct Zmq {
    directory: TempDir,
    transport: ZmqTransport,
}

impl Harness for Zmq {
    type Transport = ZmqTransport;

    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("ipcq-test-").tempdir().expect("a directory");
        let transport = ZmqTransport::in_directory(directory.path());
        Self { directory, transport }
    }

    fn deep() -> Option<Self> {
        let Self { directory, .. } = Self::new();
        let path = directory.path().join(["d".repeat(200).as_str(); 6].join("/"));
        fs::create_dir_all(path.parent()?).expect("a deep directory");
        Some(Self { transport: ZmqTransport::in_directory(path), directory })
    }

    fn transport(&self) -> &ZmqTransport {
        &self.transport
    }

    fn place(&self) -> Option<OsString> {
        Some(self.directory.path().into())
    }

    fn reach(place: &OsStr) -> Option<ZmqTransport> {
        Some(ZmqTransport::in_directory(place))
    }

    fn traces(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("the directory of the queues");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("a readable directory"))).collect();
        names.sort();
        names
    }

    fn mode(&self, queue: &dyn Channel) -> Option<u32> {
        let file = queue.stat().expect("a queue that works").location;
        let permissions = fs::metadata(&file).expect("where the queue says that it lives").permissions();
        Some(permissions.mode() & 0o7777)
    }
}

ipcq_core::conformance_suite!(Zmq);
