//! Real processes for the tests of `os`: forked off, with a watchdog, and with memory that all of them share.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ipcq_core::os::inherit::Inheritable;
use ipcq_core::os::participants::{Participants, Slot, Table};

/// How long a test, or a process of it, may take; two slow cores take a hundredth of it.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends the whole test program when the test that made it hangs.
#[derive(Debug)]
pub(crate) struct Watchdog(
    #[expect(dead_code, reason = "dropping it is what tells the watchdog")] Sender<()>,
);

impl Watchdog {
    pub(crate) fn start(test: &'static str) -> Self {
        let (alive, watched) = channel::<()>();
        std::thread::spawn(move || {
            if watched.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs");
                std::process::abort();
            }
        });
        Self(alive)
    }
}

/// A child of this process, killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Forked {
    pid: libc::pid_t,
    reaped: bool,
}

impl Forked {
    /// Runs `body` in a child, whose exit status is what `body` returns; 101 if it panics.
    pub(crate) fn run(body: impl FnOnce() -> u8) -> Self {
        // SAFETY: the child runs `body` on a copy of this thread alone; it touches no lock that another thread may
        // have held (the C library makes its allocator usable after a fork) and never returns from here.
        match unsafe { libc::fork() } {
            -1 => panic!("no fork: {}", io::Error::last_os_error()),
            0 => run_and_exit(body),
            pid => Self { pid, reaped: false },
        }
    }

    pub(crate) fn kill(mut self) {
        self.kill_and_reap();
    }

    /// Waits for its exit status.
    pub(crate) fn wait(mut self) -> Option<u8> {
        let status = self.reap();
        libc::WIFEXITED(status).then(|| u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    }

    fn kill_and_reap(&mut self) {
        // SAFETY: the process is a child of this one that was not reaped, so the number is still its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        self.reap();
    }

    fn reap(&mut self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: `status` is writable for the kernel.
        let reaped = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(reaped, self.pid, "{}", io::Error::last_os_error());
        self.reaped = true;
        status
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill_and_reap();
        }
    }
}

fn run_and_exit(body: impl FnOnce() -> u8) -> ! {
    // SAFETY: an alarm, which is not inherited, ends a child that hangs; no handler is installed.
    unsafe { libc::alarm(60) };
    let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
    // SAFETY: ends the child without running what the parent registered for its own exit.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Waits until `done`, which other processes bring about; the watchdog bounds it.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "waited too long until {what}");
        std::thread::yield_now();
    }
}

/// Never returns: what a process does until it is killed.
pub(crate) fn idle() -> ! {
    loop {
        // SAFETY: waits for a signal and touches nothing.
        unsafe { libc::pause() };
    }
}

/// A queue as far as these tests need one: the file, its slots, some flags, and what this process is in it.
#[derive(Debug)]
pub(crate) struct Board {
    file: OwnedFd,
    memory: NonNull<libc::c_void>,
    slots: usize,
    pub(crate) participants: Participants,
}

// SAFETY: the mapping holds atomics only, and lives as long as the board.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    const BYTES: usize = 64 * 1024;
    const FLAGS_AT: usize = 32 * 1024;

    /// A new one, in memory, with no name.
    pub(crate) fn new(slots: usize) -> io::Result<Self> {
        // SAFETY: the name is a C string.
        let number = unsafe { libc::memfd_create(c"participants".as_ptr(), libc::MFD_CLOEXEC) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let file = unsafe { OwnedFd::from_raw_fd(number) };
        // SAFETY: the descriptor is open.
        let resized = unsafe { libc::ftruncate(number, Self::BYTES.try_into().map_err(io::Error::other)?) };
        if resized != 0 {
            return Err(io::Error::last_os_error());
        }
        Self::map(file, slots)
    }

    /// The one in `file`.
    pub(crate) fn map(file: OwnedFd, slots: usize) -> io::Result<Self> {
        assert!(slots * size_of::<Slot>() <= Self::FLAGS_AT);
        let length = Self::BYTES.try_into().map_err(io::Error::other)?;
        let access = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
        let shared = nix::sys::mman::MapFlags::MAP_SHARED;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let memory = unsafe { nix::sys::mman::mmap(None, length, access, shared, &file, 0) }?;
        Ok(Self { file, memory, slots, participants: Participants::new() })
    }

    pub(crate) fn table(&self) -> Table<'_> {
        Table::new(self.file.as_fd(), self.slots())
    }

    /// A word that all processes share.
    pub(crate) fn flag(&self, number: usize) -> &AtomicU32 {
        assert!(number < 16);
        let flags = self.memory.cast::<AtomicU32>();
        // SAFETY: the word lies in the mapping, aligned, behind the slots.
        let flag = unsafe { flags.add(Self::FLAGS_AT / size_of::<AtomicU32>() + number) };
        // SAFETY: it is used as an atomic only, and the mapping lives as long as the board.
        unsafe { flag.as_ref() }
    }

    pub(crate) fn raise(&self, number: usize) {
        self.flag(number).store(1, Ordering::SeqCst);
    }

    pub(crate) fn wait_for(&self, number: usize) {
        wait_until(&format!("flag {number} is raised"), || self.flag(number).load(Ordering::SeqCst) != 0);
    }

    /// All words of the slots, as a hostile peer sees them.
    pub(crate) fn words(&self) -> &[AtomicU32] {
        let words = self.slots * size_of::<Slot>() / size_of::<AtomicU32>();
        // SAFETY: the words lie in the mapping, aligned, and are used as atomics only.
        unsafe { std::slice::from_raw_parts(self.memory.cast().as_ptr(), words) }
    }
}

// SAFETY: both methods return what the board holds.
unsafe impl Inheritable for Board {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn slots(&self) -> &[Slot] {
        // SAFETY: the slots lie in the mapping, aligned, consist of atomics, and are valid whatever they hold.
        unsafe { std::slice::from_raw_parts(self.memory.cast().as_ptr(), self.slots) }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: nothing borrowed from the board outlives it.
        let unmapped = unsafe { nix::sys::mman::munmap(self.memory, Self::BYTES) };
        assert_eq!(unmapped, Ok(()));
    }
}
