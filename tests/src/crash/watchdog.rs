//! Ends a program that hangs, and says where it was.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::alarm;

use crate::stepper::leave;

/// What the program is at: the number of the boundary, for instance.
static STAGE: AtomicU64 = AtomicU64::new(0);

/// Arms the watchdog: from now on, more than `seconds` without [`stage`] end this process with status 3 and a
/// line on standard error.
///
/// # Panics
/// When signals cannot be handled.
pub fn watch(seconds: u32) {
    let action = SigAction::new(SigHandler::Handler(bark), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler uses only an atomic and calls that are safe in handlers.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("a handler for SIGALRM");
    alarm::set(seconds);
}

/// Feeds the watchdog for another `seconds`, and tells it what comes next.
pub fn stage(number: usize, seconds: u32) {
    STAGE.store(number as u64, Ordering::Relaxed);
    alarm::set(seconds);
}

extern "C" fn bark(_: libc::c_int) {
    let mut line = *b"watchdog: stuck at stage ..........\n";
    let mut number = STAGE.load(Ordering::Relaxed);
    for place in line.iter_mut().rev().skip(1).take(10) {
        *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
    // SAFETY: `line` is that long, and lives beyond the call.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    leave(3)
}
