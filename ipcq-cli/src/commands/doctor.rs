//! `doctor`: what this system allows each transport, and what to change for more.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use ipcq_core::{SystemLimit, Transport};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access, geteuid};
use serde::{Serialize, Serializer};

use crate::args::Format;
use crate::backend::Backends;
use crate::failure::Failure;
use crate::output::print;

/// The oldest kernel that has all that queues need.
const NEEDED_KERNEL: (u32, u32) = (5, 16);
/// Less room than this is worth a word.
const LITTLE_ROOM: u64 = 64 << 20;
/// The number of the process namespace that a machine starts with.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// What this system allows a transport.
#[derive(Debug, Serialize)]
struct Report {
    transport: &'static str,
    /// Names of directories need not be text, and json must be.
    #[serde(serialize_with = "lossy")]
    directory: PathBuf,
    directory_exists: bool,
    directory_is_writable: bool,
    /// Nobody else can reach what is in it; `null` while it does not exist.
    directory_is_private: Option<bool>,
    in_memory: bool,
    /// Of the file system, in bytes.
    size: u64,
    free: u64,
    max_capacity: usize,
    max_message: usize,
    kernel: String,
    kernel_needed: String,
    kernel_is_new_enough: bool,
    /// `null` is no limit.
    open_files: Option<u64>,
    open_files_allowed: Option<u64>,
    address_space: Option<u64>,
    pid_namespace: Option<u64>,
    /// What the system allows this transport alone.
    limits: Vec<Limit>,
    advice: Vec<String>,
}

/// Something that is limited.
#[derive(Debug, Serialize)]
struct Limit {
    name: &'static str,
    /// `null` is no limit.
    value: Option<u64>,
    unit: &'static str,
    meaning: Option<String>,
    #[serde(skip)]
    advice: Option<String>,
}

impl From<SystemLimit> for Limit {
    fn from(limit: SystemLimit) -> Self {
        let SystemLimit { name, value, unit, meaning, advice, .. } = limit;
        Self { name, value, unit, meaning, advice }
    }
}

impl Limit {
    /// What people read of it.
    fn text(&self) -> String {
        let value =
            self.value.map_or_else(|| "unlimited".to_owned(), |value| format!("{value} {}", self.unit));
        self.meaning.as_ref().map_or_else(|| value.clone(), |meaning| format!("{value} {meaning}"))
    }
}

pub(super) fn run(backends: &Backends, format: Format) -> Result<(), Failure> {
    let directory = crate::backend::directory();
    let mut text = String::new();
    for (number, transport) in backends.all()?.into_iter().enumerate() {
        if number > 0 && format == Format::Text {
            text.push('\n');
        }
        let report = Report::of(&*transport, directory.clone())
            .map_err(|error| Failure::system("this system could not be examined", &error))?;
        text.push_str(&match format {
            Format::Text | Format::Prometheus => report.text(),
            Format::Json => {
                serde_json::to_string(&report).map_err(|error| Failure::failed(error.to_string()))? + "\n"
            }
        });
    }
    print(&text)
}

impl Report {
    fn of(transport: &dyn Transport, directory: PathBuf) -> io::Result<Self> {
        let can = transport.capabilities();
        let existing = nearest_existing(&directory);
        let space = statvfs(existing)?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
        let (open_files, open_files_allowed) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let (address_space, _) = getrlimit(Resource::RLIMIT_AS)?;
        let mut report = Self {
            transport: transport.name(),
            directory_exists: existing == directory,
            directory_is_writable: access(existing, AccessFlags::W_OK | AccessFlags::X_OK).is_ok(),
            directory_is_private: is_private(&directory)?,
            in_memory: statfs(existing)?.filesystem_type() == TMPFS_MAGIC,
            size: space.blocks().saturating_mul(space.fragment_size()),
            free: space.blocks_available().saturating_mul(space.fragment_size()),
            max_capacity: can.max_capacity,
            max_message: can.max_message,
            kernel_needed: format!("{}.{}", NEEDED_KERNEL.0, NEEDED_KERNEL.1),
            kernel_is_new_enough: version(&kernel) >= NEEDED_KERNEL,
            kernel,
            open_files: limit(open_files),
            open_files_allowed: limit(open_files_allowed),
            address_space: limit(address_space),
            pid_namespace: pid_namespace(),
            directory,
            limits: transport.limits().into_iter().map(Limit::from).collect(),
            advice: Vec::new(),
        };
        report.advice = report.advise();
        Ok(report)
    }

    /// What to change, the worst first.
    fn advise(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let directory = self.directory.display();
        if !self.kernel_is_new_enough {
            advice
                .push(format!("the kernel {} is too old: use {} or newer", self.kernel, self.kernel_needed));
        }
        if !self.directory_is_writable {
            advice.push(format!(
                "no queues can be made in {directory}: make it writable, or set IPCQ_DIR to a directory of your own"
            ));
        } else if self.directory_is_private == Some(false) {
            advice.push(format!("other users can reach {directory}: chmod 700 {directory}"));
        }
        if !self.in_memory {
            advice.push(format!(
                "{directory} is not in memory, which makes queues slow: unset IPCQ_DIR, or set it to a directory \
                 in /dev/shm"
            ));
        }
        if self.free < LITTLE_ROOM {
            advice.push(format!(
                "there is little room for messages: remove queues (ipcq ls, ipcq rm), or make {directory} larger"
            ));
        }
        if self.in_memory {
            let mounted = mount_point(nearest_existing(&self.directory)).display();
            advice.push(format!("for more room: mount -o remount,size=SIZE {mounted} (as root)"));
        }
        if self.open_files != self.open_files_allowed {
            let most = self.open_files_allowed.map_or("unlimited".to_owned(), |limit| limit.to_string());
            advice.push(format!("for more open queues in one process: ulimit -n {most}"));
        }
        if self.address_space.is_some() {
            advice.push("for larger messages and queues: ulimit -v unlimited".to_owned());
        }
        if self.pid_namespace.is_some_and(|namespace| namespace != FIRST_PID_NAMESPACE) {
            advice.push(
                "this is a container with process numbers of its own: only processes inside it can share queues; \
                 to share them with others, run it in the host's process namespace"
                    .to_owned(),
            );
        }
        advice.extend(self.limits.iter().filter_map(|limit| limit.advice.clone()));
        advice
    }

    fn text(&self) -> String {
        let yes_or_no = |yes| if yes { "yes" } else { "no" }.to_owned();
        let kernel = if self.kernel_is_new_enough { "is new enough" } else { "is too old" };
        let lines = [
            ("transport", self.transport.to_owned()),
            ("directory", self.directory.display().to_string()),
            ("exists", yes_or_no(self.directory_exists)),
            ("writable", yes_or_no(self.directory_is_writable)),
            (
                "private",
                self.directory_is_private
                    .map_or_else(|| "made so with the first queue".to_owned(), yes_or_no),
            ),
            ("in memory", yes_or_no(self.in_memory)),
            ("size", ByteSize(self.size).to_string()),
            ("free", ByteSize(self.free).to_string()),
            ("largest capacity", format!("{} messages", self.max_capacity)),
            ("longest message", format!("{} bytes", self.max_message)),
            ("kernel", format!("{}, {kernel} ({} is needed)", self.kernel, self.kernel_needed)),
            ("open files", format!("{} (up to {})", shown(self.open_files), shown(self.open_files_allowed))),
            ("address space", shown(self.address_space)),
            ("pid namespace", shown(self.pid_namespace).replace("unlimited", "unknown")),
        ];
        let width = self.limits.iter().map(|limit| limit.name.len()).chain([16]).max().unwrap_or(16);
        let mut text = String::new();
        for (name, value) in lines {
            let _ = writeln!(text, "{name:<width$} {value}");
        }
        for limit in &self.limits {
            let _ = writeln!(text, "{:<width$} {}", limit.name, limit.text());
        }
        for advice in &self.advice {
            let _ = writeln!(text, "{:<width$} {advice}", "to change");
        }
        text
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

fn limit(limit: u64) -> Option<u64> {
    (limit != RLIM_INFINITY).then_some(limit)
}

/// The directory itself, or the one it will be made in.
fn nearest_existing(directory: &Path) -> &Path {
    directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

/// The highest directory above `path` in the same file system.
fn mount_point(path: &Path) -> &Path {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let own = device(path);
    path.ancestors().take_while(|above| device(above) == own).last().unwrap_or(path)
}

fn is_private(directory: &Path) -> io::Result<Option<bool>> {
    match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => {
            let metadata = metadata?;
            let own = metadata.is_dir() && metadata.uid() == geteuid().as_raw();
            Ok(Some(own && metadata.permissions().mode().trailing_zeros() >= 6))
        }
    }
}

/// The first two numbers of a kernel's version; zeros where there are none.
fn version(kernel: &str) -> (u32, u32) {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Queues are shared within one process namespace: the number of this one.
fn pid_namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_compare_by_number() {
        assert_eq!(version("6.18.44-generic"), (6, 18));
        assert_eq!(version("5.9"), (5, 9));
        assert_eq!(version("5"), (5, 0));
        assert_eq!(version("odd"), (0, 0));
        assert!(version("5.9.1") < NEEDED_KERNEL);
        assert!(version("5.16.0-rc1") >= NEEDED_KERNEL);
    }

    #[test]
    fn a_mount_point_is_the_top_of_its_file_system() {
        assert_eq!(mount_point(Path::new("/proc/self")), Path::new("/proc"));
        assert_eq!(mount_point(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn room_is_looked_up_where_the_directory_will_be_made() {
        assert_eq!(nearest_existing(Path::new("/no/such/directory")), Path::new("/"));
        assert_eq!(nearest_existing(Path::new("/proc/self")), Path::new("/proc/self"));
    }
}
