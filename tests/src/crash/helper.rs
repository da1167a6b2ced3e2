//! Forks that take part in a test without being traced.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::stepper::leave;

/// A fork of this process; killed when dropped, and when this process dies.
#[derive(Debug)]
pub struct Helper {
    pid: Pid,
    gone: bool,
}

impl Helper {
    /// Forks; the child runs `body` and exits with 0, or with 101 when it panics.
    ///
    /// # Errors
    /// When there is no room for one more process.
    pub fn start(body: impl FnOnce()) -> io::Result<Self> {
        // SAFETY: this program has one thread of its own; the queue, which may have another, is made for forks.
        let forked = unsafe { fork() }?;
        if let ForkResult::Parent { child } = forked {
            return Ok(Self { pid: child, gone: false });
        }
        let run = || {
            prctl::set_pdeathsig(Signal::SIGKILL).expect("a signal for the death of the parent");
            body();
        };
        leave(if catch_unwind(AssertUnwindSafe(run)).is_ok() { 0 } else { 101 })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it sleeps in a system call, 5 s at most.
    ///
    /// # Errors
    /// When it does not, or has ended.
    pub fn wait_asleep(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if crate::stepper::is_asleep(self.pid)? {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err(io::Error::other("a helper did not fall asleep within 5 s"))
    }

    /// Whether it sleeps in a system call.
    ///
    /// # Errors
    /// When it has ended.
    pub fn is_asleep(&self) -> io::Result<bool> {
        crate::stepper::is_asleep(self.pid)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has been waited for.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(signal::kill(self.pid, signal)?)
    }

    /// Waits for its end and returns what became of it.
    ///
    /// # Errors
    /// When it has been waited for.
    pub fn join(mut self) -> io::Result<nix::sys::wait::WaitStatus> {
        self.gone = true;
        Ok(waitpid(self.pid, None)?)
    }

    /// Takes note that it has been waited for elsewhere.
    ///
    /// # Errors
    /// None; for use at the end of a function that has some.
    pub(crate) fn forget(mut self) -> Result<(), String> {
        self.gone = true;
        Ok(())
    }

    /// Kills it with SIGKILL and waits until the kernel has buried it.
    ///
    /// # Errors
    /// When it has been waited for.
    pub fn kill(self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.join().map(|_| ())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if !self.gone && signal::kill(self.pid, Signal::SIGKILL).is_ok() {
            // Nothing is left to do when it has been waited for already.
            waitpid(self.pid, None).ok();
        }
    }
}

/// Waits until `word` is not `old`, `limit` at most; returns how long that took, or `None`.
pub(crate) fn wait_for_change(word: &AtomicU64, old: u64, limit: Duration) -> Option<Duration> {
    let begin = Instant::now();
    while word.load(Ordering::Acquire) == old {
        if begin.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Some(begin.elapsed())
}
