//! Processes that wait.

use std::time::{Duration, Instant};

use ipcq_core::{Channel, Queue, Transport};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::{Played, say};
use crate::process::now;

/// Gets one message, in the first thread of the process.
pub(super) fn for_a_message(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Queue::<u64>::open(transport, queue)?;
    say("ready")?;
    queue.get()?;
    Ok(())
}

/// Is handed out up to `count` messages, and holds them until its input ends.
pub(super) fn with_deliveries(transport: &dyn Transport, queue: &str, count: usize) -> Played {
    hold(&*transport.open(&queue.parse()?)?, count)
}

/// The same with the queue that this process inherited first.
pub(super) fn with_inherited_deliveries(transport: &dyn Transport, count: usize) -> Played {
    hold(&*transport.inherited(0)?, count)
}

fn hold(queue: &dyn Channel, count: usize) -> Played {
    let held = crate::deliveries::hold(queue, count);
    say("held")?;
    std::io::stdin().read_line(&mut String::new())?;
    drop(held);
    Ok(())
}

/// Gets messages until the queue is closed, and says when each arrived.
pub(super) fn for_messages_and_tell_when(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Queue::<u64>::open(transport, queue)?;
    say("ready")?;
    for message in &queue {
        let arrived = now();
        say(&format!("{} {arrived}", message?))?;
    }
    Ok(())
}

/// Waits until the time is over, however many signals arrive, and says how long that took in microseconds.
pub(super) fn despite_signals(transport: &dyn Transport, queue: &str, time: Duration) -> Played {
    let queue = Queue::<u64>::open(transport, queue)?;
    let action = SigAction::new(SigHandler::Handler(do_nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, which is safe at any time.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    say("ready")?;
    let start = Instant::now();
    let error = queue.get_timeout(time).err().ok_or("there was a message")?;
    let took = start.elapsed();
    if !error.is_timeout() {
        return Err(error.into());
    }
    say(&took.as_micros().to_string())?;
    Ok(())
}

/// A signal handler without `SA_RESTART`, so that system calls are interrupted.
extern "C" fn do_nothing(_: i32) {}
