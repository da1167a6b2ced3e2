//! Signals that ask the program to end, for commands that have something to clean up before.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a terminal, a user or the system asks a program with to end.
const ASKING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Signals that ask the program to end, which from now on are read instead of ending it.
#[derive(Debug)]
pub(crate) struct Interrupts(SignalFd);

impl Interrupts {
    /// Holds the signals back in this thread and those that it starts; so call it before there are others. Those that
    /// are ignored stay so: `nohup` means it.
    pub(crate) fn hold() -> nix::Result<Self> {
        let ignored = ignored();
        let asking: SigSet = ASKING.into_iter().filter(|&signal| !ignored.contains(signal)).collect();
        asking.thread_block()?;
        SignalFd::with_flags(&asking, SfdFlags::SFD_CLOEXEC).map(Self)
    }

    /// Waits for the next one.
    pub(crate) fn next(&self) -> Option<Signal> {
        loop {
            match self.0.read_signal() {
                Ok(Some(signal)) => return i32::try_from(signal.ssi_signo).ok()?.try_into().ok(),
                Ok(None) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Holds back what a terminal sends to all of its processes, for one that ends with another.
pub(crate) fn hold_all() -> nix::Result<()> {
    ASKING.into_iter().collect::<SigSet>().thread_block()
}

/// Ends the program by `signal`, as if nothing had held it back: so the shell that waits knows.
pub(crate) fn die_of(signal: Signal) -> ExitCode {
    let _ = raise(signal).and_then(|()| SigSet::from(signal).thread_unblock());
    ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX))
}

/// The signals that this program was started to ignore.
fn ignored() -> SigSet {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    Signal::iterator().filter(|&signal| mask >> (signal as i32 - 1) & 1 == 1).collect()
}
