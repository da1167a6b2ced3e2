//! How many messages went in, for people who end a command before it is done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::diagnostics::Diagnostics;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::signals::{Interrupts, die_of};

/// How long a call that does not wait may take to end by itself, once somebody asked for an end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Messages that went in so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    done: AtomicU64,
    /// Held by a call that puts, until what it put is counted.
    call: Mutex<()>,
}

impl Tally {
    /// A call begins; it and its counting end with what this returns.
    pub(crate) fn begin(&self) -> MutexGuard<'_, ()> {
        self.0.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, messages: usize) {
        self.0.done.fetch_add(u64::try_from(messages).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub(crate) fn done(&self) -> u64 {
        self.0.done.load(Ordering::SeqCst)
    }

    /// From now on, a signal that asks for an end says how many went into `queue` before it ends the program.
    pub(crate) fn tell_when_interrupted(
        &self,
        interrupts: Interrupts,
        queue: String,
        diagnostics: Diagnostics,
        progress: &Progress,
    ) {
        let (tally, line) = (self.clone(), progress.clone());
        thread::spawn(move || {
            let Some(signal) = interrupts.next() else { return };
            // Kept until the end: nothing goes in any more.
            let settled = tally.settled();
            let messages = messages(tally.done());
            let more = if settled.is_some() { "" } else { " and was putting the next" };
            let text = format!("put {messages} into queue {queue}{more} when {signal} ended it");
            line.with_line(|| diagnostics.note(&text));
            die_of(signal);
        });
    }

    /// The right to put, if no call keeps it.
    fn settled(&self) -> Option<MutexGuard<'_, ()>> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.0.call.try_lock() {
                Ok(call) => return Some(call),
                Err(TryLockError::Poisoned(call)) => return Some(call.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= end => return None,
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

/// The signals that ask for an end, held back.
pub(crate) fn hold_interrupts() -> Result<Interrupts, Failure> {
    Interrupts::hold().map_err(|errno| Failure::system("signals cannot be held back", &errno.into()))
}

/// `1 message`, `2 messages`.
pub(crate) fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
