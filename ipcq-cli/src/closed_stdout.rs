//! Whether stdout was closed when the program was started.
//!
//! Before `main`, Rust's runtime opens the null device in the place of each standard stream that is closed. What is
//! written there vanishes as it does where a user discards it on purpose, which opens the same device, by some
//! programs (Python's `DEVNULL`) in the same way. So the look is taken before that, by a function that the C library
//! calls before it calls the runtime.

#![allow(unsafe_code, reason = "a place in the list of functions that are called before the runtime")]

use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;

static CLOSED: AtomicBool = AtomicBool::new(false);

// Sound, because the section is a list of functions of this signature, and this one uses nothing that the runtime sets
// up.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: asking for the flags of a descriptor changes nothing, and it need not be open.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags == -1, Ordering::Relaxed);
}

/// Whether there was no stdout to write to.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}
