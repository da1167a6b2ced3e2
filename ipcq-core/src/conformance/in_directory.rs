//! The harness of backends whose queues are files in a directory.

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

use super::Harness;
use crate::{Channel, Transport};

/// Where queues live by default.
const MEMORY: &str = "/dev/shm";
/// The room that the long messages of the suite need.
const ENOUGH: u64 = 512 << 20;

/// A backend that keeps the files of its queues in a directory of one's choice.
pub trait DirectoryBackend: Debug + Send + Sync + 'static {
    /// The backend.
    type Transport: Transport + 'static;

    /// The backend in the directory `path`.
    fn in_directory(path: &Path) -> Self::Transport;
}

/// Queues in a directory of their own, which is removed with all that is in it: to be given to the suite, as in
/// `ipcq_core::conformance_suite!(InDirectory<MyBackend>);`.
#[derive(Debug)]
pub struct InDirectory<B: DirectoryBackend> {
    directory: TempDir,
    transport: B::Transport,
}

impl<B: DirectoryBackend> Harness for InDirectory<B> {
    type Transport = B::Transport;

    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("ipcq-test-").tempdir_in(memory());
        let directory = directory.expect("a directory");
        let transport = B::in_directory(directory.path());
        Self { directory, transport }
    }

    fn deep() -> Option<Self> {
        let Self { directory, .. } = Self::new();
        let path = directory.path().join(["d".repeat(200).as_str(); 6].join("/"));
        fs::create_dir_all(path.parent()?).expect("a deep directory");
        Some(Self { transport: B::in_directory(&path), directory })
    }

    fn transport(&self) -> &B::Transport {
        &self.transport
    }

    fn place(&self) -> Option<OsString> {
        Some(self.directory.path().into())
    }

    fn reach(place: &OsStr) -> Option<B::Transport> {
        Some(B::in_directory(Path::new(place)))
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
    let free = statvfs(MEMORY).map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    if free >= ENOUGH { MEMORY.into() } else { std::env::temp_dir() }
}
