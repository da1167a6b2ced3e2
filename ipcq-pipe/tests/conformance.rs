//! The contract's promises, on queues over kernel pipes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ipcq_core::Channel;
use ipcq_core::conformance::Harness;
use ipcq_pipe::PipeTransport;
use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

/// Queues in a directory of their own.
#[derive(Debug)]
struct Pipes {
    directory: TempDir,
    transport: PipeTransport,
}

impl Harness for Pipes {
    type Transport = PipeTransport;

    fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("ipcq-test-").tempdir_in(memory()).expect("a directory");
        let transport = PipeTransport::in_directory(directory.path());
        Self { directory, transport }
    }

    fn deep() -> Option<Self> {
        let Self { directory, .. } = Self::new();
        let path = directory.path().join(["d".repeat(200).as_str(); 6].join("/"));
        fs::create_dir_all(path.parent()?).expect("a deep directory");
        Some(Self { transport: PipeTransport::in_directory(path), directory })
    }

    fn transport(&self) -> &PipeTransport {
        &self.transport
    }

    fn place(&self) -> Option<OsString> {
        Some(self.directory.path().into())
    }

    fn reach(place: &OsStr) -> Option<PipeTransport> {
        Some(PipeTransport::in_directory(place))
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

/// Where queues live by default, unless it is so small that the long messages of the suite do not fit.
fn memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    let free = statvfs(shared).map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    if free >= 512 << 20 { shared.to_owned() } else { std::env::temp_dir() }
}

ipcq_core::conformance_suite!(Pipes);
