//! What is no queue at all, in the place of one; and queues of other times and places.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use ipcq_core::{
    Channel, CreateError, GetFault, OpenError, PutFault, QueueName, QueueOptions, RemoveError, Transport,
    Wait,
};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::sys::wait::WaitStatus;
use nix::unistd::{mkfifo, pause};

use super::{in_time, make, queue_name};
use crate::crash::helper::Helper;
use crate::crash::layout::Layout;
use crate::crash::ledger::{Message, drain, message};
use crate::crash::namespaces::{cover, enter};
use crate::crash::watchdog::stage;

/// Puts files of every kind in the place of a queue: all are refused at once, and no link is followed.
///
/// # Errors
/// What is wrong.
pub fn odd_files(transport: &dyn Transport, directory: &Path) -> Result<String, String> {
    let image = make(transport, directory)?;
    let path = image.path();
    let mut tried = 0;
    // A length that holds all that an empty queue needs is no shorter queue.
    let last = Layout::of(transport.name()).least.unwrap_or(image.len()) - 1;
    let lengths = [0, 1, 7, 8, 64, 255, 256, 2048, 4095, 4096, 4097, 65_536, 1 << 20, last];
    for length in lengths {
        clear(path)?;
        let whole = image.restore().map_err(|error| error.to_string())?;
        whole.set_len(length as u64).map_err(|error| error.to_string())?;
        refused(transport, &format!("a queue cut to {length} bytes"))?;
        tried += 1;
    }
    for (what, make) in kinds() {
        clear(path)?;
        let outside = directory.with_extension("outside");
        fs::write(&outside, b"not a queue").map_err(|error| error.to_string())?;
        make(path, &outside).map_err(|error| format!("{what}: {error}"))?;
        refused(transport, what)?;
        let still = fs::read(&outside).map_err(|error| error.to_string())?;
        if still != b"not a queue" {
            return Err(format!("{what}: the file outside was changed"));
        }
        fs::remove_file(&outside).map_err(|error| error.to_string())?;
        tried += 1;
    }
    Ok(format!("odd_files: tried={tried}"))
}

type Maker = fn(&Path, &Path) -> std::io::Result<()>;

fn kinds() -> [(&'static str, Maker); 8] {
    [
        ("a file of zeros", |path, _| {
            OpenOptions::new().write(true).create(true).truncate(true).open(path)?.set_len(8 << 20)
        }),
        ("a file of text", |path, _| fs::write(path, "text ".repeat(1_000_000))),
        ("a directory", |path, _| fs::create_dir(path)),
        ("a FIFO", |path, _| Ok(mkfifo(path, Mode::S_IRWXU)?)),
        ("a socket", |path, _| UnixListener::bind(path).map(drop)),
        ("a link to a file", |path, outside| symlink(outside, path)),
        ("a link to nothing", |path, _| symlink("/nonexistent/file", path)),
        ("a link to itself", |path, _| symlink(path, path)),
    ]
}

fn clear(path: &PathBuf) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path).map_err(|error| error.to_string()),
        Ok(_) => fs::remove_file(path).map_err(|error| error.to_string()),
    }
}

/// Every way to meet it ends at once and well.
fn refused(transport: &dyn Transport, what: &str) -> Result<(), String> {
    stage(0, 20);
    if let Ok(queue) = in_time("open", || transport.open(&queue_name()))? {
        return Err(format!("{what} opens as {:?}", queue.identity()));
    }
    let made = in_time("create", || transport.create(&queue_name(), &QueueOptions::new()))?;
    if !matches!(made, Err(CreateError::Exists { .. } | CreateError::Backend(_))) {
        return Err(format!("over {what} a queue is made: {made:?}"));
    }
    in_time("list", || transport.list())?.map_err(|error| format!("list beside {what}: {error}"))?;
    in_time("collect_garbage", || transport.collect_garbage())?
        .map_err(|error| format!("{what}: {error}"))?;
    // It can be removed, or says why not.
    in_time("remove", || drop(transport.remove(&queue_name())))
}

/// What is in the queue all the time.
const HELD: Message = message(1, 16);

/// Opens a queue in another boot and in another process namespace, where its lock words mean other threads.
///
/// # Errors
/// What is wrong, also when the system has no namespaces for this process.
pub fn elsewhere(transport: &dyn Transport, directory: &Path) -> Result<String, String> {
    let queue = transport.create(&queue_name(), &QueueOptions::new()).map_err(|error| error.to_string())?;
    queue.put(&[&HELD.bytes()], Wait::No).map_err(|fault| fault.to_string())?;
    let _keeper = leave_to_keeper(queue)?;
    let other_boot = directory.with_extension("boot");
    fs::write(&other_boot, "11111111-2222-4333-8444-555555555555\n").map_err(|error| error.to_string())?;
    in_namespace("boot", || {
        enter(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        cover(Path::new("/proc/sys/kernel/random/boot_id"), &other_boot).expect("another boot id");
        // A program of its own: the number of a boot may be remembered.
        let program = std::env::current_exe().expect("this program");
        let arguments = ["mismatch", "boot", transport.name()];
        let status = Command::new(program).args(arguments).arg(directory).stdout(Stdio::null()).status();
        assert!(status.expect("this program starts").success(), "it was to be refused by name");
    })?;
    fs::remove_file(&other_boot).map_err(|error| error.to_string())?;
    in_namespace("process namespace", || {
        enter(CloneFlags::CLONE_NEWPID).expect("a process namespace");
        let open = || mismatch(transport, "process namespace").map(|_| ()).expect("a refusal");
        let inside = Helper::start(open).expect("a fork");
        assert!(matches!(inside.join(), Ok(WaitStatus::Exited(_, 0))), "it was to be refused by name");
    })?;
    let queue = transport.open(&queue_name()).map_err(|error| format!("here: {error}"))?;
    let (content, _) = drain(&*queue)?;
    if content != [HELD] {
        return Err(format!("it held {content:?}"));
    }
    drop(queue);
    removed_from_elsewhere(transport)?;
    Ok("elsewhere: refused=2 woken=2".to_owned())
}

/// Gives up the handle `queue`, which another process keeps: forks of this one then open the queue anew, and it lives
/// on where queues end with their last process.
fn leave_to_keeper(queue: Arc<dyn Channel>) -> Result<Helper, String> {
    let keeper = Helper::start(|| {
        loop {
            pause();
        }
    });
    drop(queue);
    keeper.map_err(|error| error.to_string())
}

/// Removes the queue from another process namespace: those who wait here wake, and the name is free.
fn removed_from_elsewhere(transport: &dyn Transport) -> Result<(), String> {
    let other = QueueName::new("other").map_err(|error| error.to_string())?;
    let one = QueueOptions::new().capacity(1);
    let full = transport.create(&other, &one).map_err(|error| error.to_string())?;
    full.put(&[b"the only one"], Wait::No).map_err(|fault| fault.to_string())?;
    let _keeper = leave_to_keeper(full)?;
    let get = || {
        let queue = transport.open(&queue_name()).expect("the queue");
        assert!(matches!(queue.get(&mut Vec::new(), Wait::Forever), Err(GetFault::Closed)));
    };
    let put = || {
        let queue = transport.open(&other).expect("the other queue");
        assert!(matches!(queue.put(&[b"one more"], Wait::Forever), Err(PutFault::Closed)));
    };
    let waiters = [Helper::start(get), Helper::start(put)];
    let waiters = waiters.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    for waiter in &waiters {
        waiter.wait_asleep().map_err(|error| error.to_string())?;
    }
    in_namespace("process namespace", || {
        enter(CloneFlags::CLONE_NEWPID).expect("a process namespace");
        let remove = || {
            for name in [&queue_name(), &other] {
                transport.remove(name).expect("it can be removed from anywhere");
                assert!(matches!(transport.remove(name), Err(RemoveError::Missing { .. })));
            }
        };
        let inside = Helper::start(remove).expect("a fork");
        assert!(matches!(inside.join(), Ok(WaitStatus::Exited(_, 0))), "it was to be removed");
    })?;
    for waiter in waiters {
        match waiter.join().map_err(|error| error.to_string())? {
            WaitStatus::Exited(_, 0) => {}
            status => return Err(format!("a waiter ended with {status:?}")),
        }
    }
    Ok(())
}

fn in_namespace(what: &str, body: impl FnOnce()) -> Result<(), String> {
    let child = Helper::start(body).map_err(|error| error.to_string())?;
    match child.join().map_err(|error| error.to_string())? {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => Err(format!("in another {what} a process ended with {other:?}")),
    }
}

/// Opens a queue that must be refused, because `expected` does not match.
///
/// # Errors
/// What happened instead.
pub fn mismatch(transport: &dyn Transport, expected: &str) -> Result<String, String> {
    match transport.open(&queue_name()) {
        Err(OpenError::Mismatch { what, .. }) if what == expected => Ok(what.to_owned()),
        other => Err(format!("in another {expected} open says {other:?}")),
    }
}
