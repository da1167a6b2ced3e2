//! What a sandbox's queues and processes come to: looked at until it is so.

use std::path::Path;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{LIMIT, Sandbox};

impl Sandbox {
    /// The processes that keep the queue `name` of this directory alive.
    pub(crate) fn keepers(&self, name: &str) -> Vec<Pid> {
        let directory = format!("IPCQ_DIR={}", self.directory().display());
        let has = |pid: &str, file: &str, wanted: &str| {
            let fields = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            fields.split(|byte| *byte == 0).any(|field| field == wanted.as_bytes())
        };
        let keeps = |pid: &String| {
            has(pid, "cmdline", "keeper") && has(pid, "cmdline", name) && has(pid, "environ", &directory)
        };
        let processes = std::fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
        let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(keeps).filter_map(|pid| Some(Pid::from_raw(pid.parse().ok()?))).collect()
    }

    /// Looks until exactly `number` processes keep the queue `name`.
    pub(crate) fn await_keepers(&self, name: &str, number: usize) {
        let deadline = Instant::now() + LIMIT;
        while self.keepers(name).len() != number {
            assert!(Instant::now() < deadline, "{number} should keep {name}: {:?}", self.keepers(name));
        }
    }

    /// Looks until no process is left that has to do with this directory.
    pub(crate) fn await_no_processes(&self) {
        let directory = format!("IPCQ_DIR={}", self.directory().display());
        let ours = |pid: &String| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|field| field == directory.as_bytes())
        };
        let deadline = Instant::now() + LIMIT;
        loop {
            let processes = std::fs::read_dir("/proc").expect("the processes").filter_map(Result::ok);
            let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
            let left: Vec<String> = names.filter(ours).collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "processes are left behind: {left:?}");
        }
    }

    /// Kills the one process that keeps the queue `name`, and waits until the queue has ended with it.
    pub(crate) fn kill_keeper(&self, name: &str) {
        let keepers = self.keepers(name);
        assert_eq!(keepers.len(), 1, "{keepers:?}");
        kill(keepers[0], Signal::SIGKILL).expect("it can be killed");
        self.await_keepers(name, 0);
    }

    /// Looks until there is such a file.
    pub(crate) fn await_file(&self, file: &Path) {
        let deadline = Instant::now() + LIMIT;
        while !file.exists() {
            assert!(Instant::now() < deadline, "{} is never made in {:?}", file.display(), self.files());
        }
    }

    /// Looks until the child `pid` has ended, and only its status is left.
    pub(crate) fn await_end(&self, pid: Pid) {
        let deadline = Instant::now() + LIMIT;
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while !stat().contains(") Z ") {
            assert!(Instant::now() < deadline, "process {pid} never ends in {:?}", self.files());
        }
    }

    /// Asks until `queue` has as many getters waiting.
    pub(crate) fn await_getters(&self, queue: &str, number: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.stat(queue)["waiting_getters"].as_u64() != Some(number) {
            assert!(Instant::now() < deadline, "there are never {number} getters waiting on {queue}");
        }
    }

    /// Asks until `queue` has as many putters waiting.
    pub(crate) fn await_putters(&self, queue: &str, number: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.stat(queue)["waiting_putters"].as_u64() != Some(number) {
            assert!(Instant::now() < deadline, "there are never {number} putters waiting on {queue}");
        }
    }
}
