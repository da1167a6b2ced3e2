//! The contract's promises, on queues that are reached over TCP. What needs the machine that a queue is on, to make it, to
//! remove it and to pass it to a child, goes by its socket's file.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use ipcq_core::Channel;
use ipcq_core::conformance::Harness;
use ipcq_zmq::ZmqTransport;
use tempfile::TempDir;

/// Queues in a directory of their own, each at a port of its own.
#[derive(Debug)]
struct Tcp {
    directory: TempDir,
    transport: ZmqTransport,
}

impl Harness for Tcp {
    type Transport = ZmqTransport;

    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("ipcq-test-").tempdir().expect("a directory");
        let transport = ZmqTransport::in_directory(directory.path()).over_tcp();
        Self { directory, transport }
    }

    fn deep() -> Option<Self> {
        let Self { directory, .. } = Self::new();
        let path = directory.path().join(["d".repeat(200).as_str(); 6].join("/"));
        fs::create_dir_all(path.parent()?).expect("a deep directory");
        Some(Self { transport: ZmqTransport::in_directory(path).over_tcp(), directory })
    }

    fn transport(&self) -> &ZmqTransport {
        &self.transport
    }

    fn place(&self) -> Option<OsString> {
        Some(self.directory.path().into())
    }

    fn reach(place: &OsStr) -> Option<ZmqTransport> {
        Some(ZmqTransport::in_directory(place).over_tcp())
    }

    fn traces(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("the directory of the queues");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("a readable directory"))).collect();
        names.sort();
        names
    }

    fn mode(&self, queue: &dyn Channel) -> Option<u32> {
        let name = queue.identity().name.as_ref()?;
        let file = self.directory.path().join(format!("{name}.zmq"));
        let permissions = fs::metadata(file).expect("the socket of the queue").permissions();
        Some(permissions.mode() & 0o7777)
    }
}

ipcq_core::conformance_suite!(Tcp);
