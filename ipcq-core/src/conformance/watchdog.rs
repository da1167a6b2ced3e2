//! Ends a test that hangs.

use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Ends the whole process, with a message, unless it is dropped in time.
///
/// A thread that hangs cannot be stopped, so the process must end for the failure to be seen.
#[derive(Debug)]
pub struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Watches `what` for `limit` from now.
    ///
    /// # Panics
    /// When no thread can be started.
    #[must_use]
    pub fn start(what: &str, limit: Duration) -> Self {
        let (alive, watched) = channel::<()>();
        let what = what.to_owned();
        let watch = move || {
            if watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // Not `eprintln`, which the test harness captures and would lose.
                let message = format!("\n{what} hangs: it has not ended within {limit:?}\n");
                std::io::stderr().write_all(message.as_bytes()).ok();
                std::process::abort();
            }
        };
        thread::Builder::new().name("watchdog".to_owned()).spawn(watch).expect("a thread for the watchdog");
        Self { _alive: alive }
    }
}
