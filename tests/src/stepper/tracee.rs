//! A fork that this process traces.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Marks where stepping begins: the tracee stops here for its tracer.
#[unsafe(naked)]
pub extern "C" fn begin_marker() {
    core::arch::naked_asm!("int3", "ret")
}

/// Marks where stepping ends.
#[unsafe(naked)]
pub extern "C" fn end_marker() {
    core::arch::naked_asm!("int3", "nop", "ret")
}

/// Ends this process at once: no destructor, no buffer is written, as a fork must end.
pub fn leave(status: i32) -> ! {
    // SAFETY: ending a process asks for nothing.
    unsafe { libc::_exit(status) }
}

/// What a tracee did when it was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It stands before the instruction at this address.
    At(u64),
    /// It reached [`end_marker`].
    Ended,
    /// It sleeps in a system call.
    Asleep,
}

/// A fork of this process, stopped between two instructions; killed when dropped.
#[derive(Debug)]
pub struct Tracee {
    pid: Pid,
    gone: bool,
}

/// Offsets into the `user` area that `PTRACE_POKEUSER` takes.
const DEBUG_REGISTERS: usize = std::mem::offset_of!(libc::user, u_debugreg);
const INSTRUCTION_POINTER: usize =
    std::mem::offset_of!(libc::user, regs) + std::mem::offset_of!(libc::user_regs_struct, rip);
/// A call that sleeps longer than this is taken for asleep, if the kernel agrees.
const DOZE: Duration = Duration::from_micros(300);

impl Tracee {
    /// Forks; the child runs `body`, which calls [`begin_marker`] and [`end_marker`]. Returns with the child
    /// stopped in the first.
    ///
    /// # Errors
    /// When the child does not get there.
    pub fn start(body: impl FnOnce()) -> io::Result<Self> {
        // SAFETY: this program has one thread of its own; the queue, which may have another, is made for forks.
        let forked = unsafe { fork() }?;
        let ForkResult::Parent { child } = forked else { follow(body) };
        let mut tracee = Self { pid: child, gone: false };
        let first = waitpid(child, None)?;
        if first != WaitStatus::Stopped(child, Signal::SIGSTOP) {
            tracee.gone = matches!(first, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
            return Err(io::Error::other(format!("the fork did not stop to be traced: {first:?}")));
        }
        ptrace::setoptions(child, ptrace::Options::PTRACE_O_EXITKILL)?;
        let start = address(begin_marker) + 1;
        match tracee.go_on(None)? {
            Event::At(ip) if ip == start => Ok(tracee),
            other => Err(io::Error::other(format!("the fork did not reach its begin marker: {other:?}"))),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Executes one instruction. With `patience`, a system call that sleeps ends the wait as [`Event::Asleep`];
    /// the instruction is then still under way.
    ///
    /// # Errors
    /// When it exits or a signal is about to be delivered to it.
    pub fn step(&mut self, patience: bool) -> io::Result<Event> {
        ptrace::step(self.pid, None)?;
        self.wait(patience)
    }

    /// Runs on, to a breakpoint, watchpoint or marker.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn go_on(&mut self, patience: Option<()>) -> io::Result<Event> {
        ptrace::cont(self.pid, None)?;
        self.wait(patience.is_some())
    }

    /// Waits for a tracee that was [`Event::Asleep`] to stop again.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn wait(&mut self, patience: bool) -> io::Result<Event> {
        let status = if patience {
            match self.wait_unless_asleep()? {
                Some(status) => status,
                None => return Ok(Event::Asleep),
            }
        } else {
            waitpid(self.pid, None)?
        };
        match status {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let ip = self.instruction_pointer()?;
                let end = address(end_marker);
                Ok(if ip == end || ip == end + 1 { Event::Ended } else { Event::At(ip) })
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                self.gone = true;
                Err(io::Error::other(format!("the traced process ended by itself: {status:?}")))
            }
            other => {
                let at = self.instruction_pointer()?;
                Err(io::Error::other(format!("the traced process got a signal at {at:#x}: {other:?}")))
            }
        }
    }

    fn wait_unless_asleep(&self) -> io::Result<Option<WaitStatus>> {
        let mut doubt = Instant::now() + DOZE;
        loop {
            let status = waitpid(self.pid, Some(WaitPidFlag::WNOHANG))?;
            if status != WaitStatus::StillAlive {
                return Ok(Some(status));
            }
            if Instant::now() > doubt {
                if is_asleep(self.pid)? {
                    return Ok(None);
                }
                doubt = Instant::now() + DOZE;
            }
            std::thread::yield_now();
        }
    }

    /// The address of the next instruction.
    ///
    /// # Errors
    /// When the tracee is not stopped.
    pub fn instruction_pointer(&self) -> io::Result<u64> {
        let ip = ptrace::read_user(self.pid, user_offset(INSTRUCTION_POINTER))?;
        Ok(ip.cast_unsigned())
    }

    /// Where it will go on when its sleep in a system call ends.
    ///
    /// # Errors
    /// When it is not asleep.
    pub fn sleeps_at(&self) -> io::Result<u64> {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid))?;
        let address = call.split_whitespace().last().and_then(|word| word.strip_prefix("0x"));
        let address = address.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        address.ok_or_else(|| io::Error::other(format!("the process is not in a system call: {call}")))
    }

    /// Stops it, even in a sleep, which goes on when it does. It may come to a breakpoint first, and then it stands there
    /// and is still to be stopped: it can be killed, but not let go.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn interrupt(&mut self) -> io::Result<()> {
        signal::kill(self.pid, Signal::SIGSTOP)?;
        match waitpid(self.pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGSTOP | Signal::SIGTRAP) => Ok(()),
            other => Err(io::Error::other(format!("the process did not stop: {other:?}"))),
        }
    }

    /// Its registers.
    ///
    /// # Errors
    /// When the tracee is not stopped.
    pub fn registers(&self) -> io::Result<libc::user_regs_struct> {
        Ok(ptrace::getregs(self.pid)?)
    }

    /// The eight bytes of its memory at `at`.
    ///
    /// # Errors
    /// When there is no such memory.
    pub fn word(&self, at: u64) -> io::Result<u64> {
        let word = ptrace::read(self.pid, std::ptr::with_exposed_provenance_mut(to_usize(at)))?;
        Ok(word.cast_unsigned())
    }

    /// What the kernel will read of its robust list when it dies: first entry, offset, and pending operation.
    ///
    /// # Errors
    /// When the tracee is not stopped.
    pub fn robust_list(&self) -> io::Result<[u64; 3]> {
        let (mut head, mut len) = (0_u64, 0_usize);
        let (pid, head_at, len_at) = (self.pid.as_raw(), &raw mut head, &raw mut len);
        // SAFETY: the kernel writes one word to each of the two places, which live beyond the call.
        let outcome = unsafe { libc::syscall(libc::SYS_get_robust_list, pid, head_at, len_at) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        if head == 0 {
            return Ok([0; 3]);
        }
        Ok([self.word(head)?, self.word(head + 8)?, self.word(head + 16)?])
    }

    /// Whether it stands before an instruction that moves or stores bytes one by one, upwards.
    ///
    /// # Errors
    /// When the tracee is not stopped.
    pub fn writes_bytes(&self) -> io::Result<bool> {
        const REP_MOVSB: u64 = 0xA4F3;
        const REP_STOSB: u64 = 0xAAF3;
        const DOWNWARDS: u64 = 1 << 10;
        let registers = self.registers()?;
        let code = self.word(registers.rip)? & 0xFFFF;
        Ok(matches!(code, REP_MOVSB | REP_STOSB) && registers.eflags & DOWNWARDS == 0)
    }

    /// Makes it stop before the instruction at `at` is executed.
    ///
    /// # Errors
    /// When the processor offers no breakpoints.
    pub fn set_breakpoint(&mut self, at: u64) -> io::Result<()> {
        self.set_debug_register(0, at)?;
        self.set_debug_register(7, 0b1)
    }

    /// Makes it stop after an instruction that touches the eight bytes at `at`, which must be a multiple of 8.
    ///
    /// # Errors
    /// When the processor offers no watchpoints.
    pub fn set_watchpoint(&mut self, at: u64) -> io::Result<()> {
        const READ_OR_WRITE_OF_EIGHT: u64 = 0b1011 << 16;
        self.set_debug_register(0, at)?;
        self.set_debug_register(7, READ_OR_WRITE_OF_EIGHT | 0b1)
    }

    /// Takes back what the two above set.
    ///
    /// # Errors
    /// When the tracee is not stopped.
    pub fn clear_points(&mut self) -> io::Result<()> {
        self.set_debug_register(7, 0)
    }

    fn set_debug_register(&mut self, number: usize, value: u64) -> io::Result<()> {
        let offset = user_offset(DEBUG_REGISTERS + 8 * number);
        Ok(ptrace::write_user(self.pid, offset, value.cast_signed())?)
    }

    /// Lets it finish its operation, then kills it.
    ///
    /// # Errors
    /// When it does not come to its end marker.
    pub fn finish(mut self) -> io::Result<()> {
        match self.go_on(None)? {
            Event::Ended => self.bury(),
            other => Err(io::Error::other(format!("the operation did not end: {other:?}"))),
        }
    }

    /// Kills it with SIGKILL where it stands, and waits until the kernel has buried it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> io::Result<()> {
        self.bury()
    }

    fn bury(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.gone, true) {
            return Ok(());
        }
        signal::kill(self.pid, Signal::SIGKILL)?;
        loop {
            match waitpid(self.pid, None)? {
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(()),
                _ => {}
            }
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // A process that cannot be buried has been waited for already.
        self.bury().ok();
    }
}

/// Whether the kernel says that `pid` sleeps.
///
/// # Errors
/// When there is no such process.
pub(crate) fn is_asleep(pid: Pid) -> io::Result<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    Ok(state == Some('S'))
}

fn follow(body: impl FnOnce()) -> ! {
    if ptrace::traceme().is_err() || signal::raise(Signal::SIGSTOP).is_err() {
        leave(102);
    }
    let done = catch_unwind(AssertUnwindSafe(body));
    leave(if done.is_ok() { 0 } else { 101 })
}

fn address(marker: extern "C" fn()) -> u64 {
    (marker as *const ()).addr() as u64
}

fn user_offset(offset: usize) -> ptrace::AddressType {
    std::ptr::without_provenance_mut(offset)
}

fn to_usize(address: u64) -> usize {
    usize::try_from(address).unwrap_or(usize::MAX)
}
