//! Processes that fork and use on both sides what was opened before.

use std::future::Future;
use std::task::{Context, Waker};

use ipcq_core::conformance::Watchdog;
use ipcq_core::{DeliveryFault, PutFault, Queue, Transport, Wait};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use tokio::runtime::Builder;

use super::{Played, say};

/// Messages of each side.
const EACH: u32 = 500;

/// Puts before the fork, and then in parent and child at once.
pub(super) fn put_on_both_sides(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Queue::<(u8, u32)>::open(transport, queue)?;
    put_all(&queue, 0)?;
    let child = in_child(|| put_all(&queue, 1))?;
    put_all(&queue, 2)?;
    ended_well(child)
}

/// Gets in parent and child at once, one message each, and says which.
pub(super) fn wait_on_both_sides(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Queue::<(u8, u32)>::open(transport, queue)?;
    let child = in_child(|| tell(&queue))?;
    tell(&queue)?;
    ended_well(child)
}

/// Holds the first message, and a child the second, which it does not settle before it ends. Neither can settle what the
/// other has.
pub(super) fn hold_on_both_sides(transport: &dyn Transport, queue: &str) -> Played {
    let queue = transport.open(&queue.parse()?)?;
    let own = queue.get_delivery(&mut Vec::new(), Wait::No)?;
    let child = in_child(|| {
        for settled in [queue.acknowledge(&own), queue.give_back(&own)] {
            if !matches!(settled, Err(DeliveryFault::NotHeld)) {
                return Err(format!("a child settles what its parent has: {settled:?}").into());
            }
        }
        let second = queue.get_delivery(&mut Vec::new(), Wait::No)?;
        if second.redeliveries == 0 && queue.in_flight()? == 2 {
            Ok(())
        } else {
            Err(format!("the child has {second:?}").into())
        }
    })?;
    ended_well(child)?;
    let second = queue.get_delivery(&mut Vec::new(), Wait::No)?;
    if second.redeliveries != 1 {
        return Err(format!("after the child's end there is {second:?}").into());
    }
    queue.acknowledge(&own)?;
    queue.acknowledge(&second)?;
    Ok(())
}

/// Builds a message in place and has got another one, and a child does what it can with its copies of them, which changes
/// nothing.
pub(super) fn lend_on_both_sides(transport: &dyn Transport, queue: &str) -> Played {
    const LEN: usize = 100_000;
    let queue = transport.open(&queue.parse()?)?;
    let built = |fill: u8| {
        let mut loan = queue.loan(LEN)?;
        loan.fill(fill);
        Ok::<_, PutFault>(loan)
    };
    queue.put_loan(&mut built(1)?, Wait::No)?;
    let (mut building, got) = (built(2)?, queue.get_loan(Wait::No)?);
    let is_in_place = got.is_in_place();
    let mut copies = Some((built(3)?, queue.loan(LEN)?));
    let child = in_child(|| {
        if let Some((mut first, second)) = copies.take() {
            let put = queue.put_loan(&mut first, Wait::No);
            if put.is_ok() == is_in_place {
                return Err(format!("a child puts what its parent builds: {put:?}").into());
            }
            drop((first, second));
        }
        // What it asks for itself is its own.
        let mut own = built(4)?;
        queue.put_loan(&mut own, Wait::No)?;
        Ok(())
    })?;
    ended_well(child)?;
    // Nobody was given the memory of what is still here.
    let more = (5..10).map(built).collect::<Result<Vec<_>, _>>()?;
    queue.put_loan(&mut building, Wait::No)?;
    if let Some((mut first, _)) = copies.take() {
        queue.put_loan(&mut first, Wait::No)?;
    }
    drop(more);
    let mut fills = vec![got[0]];
    while let Ok(loan) = queue.get_loan(Wait::No) {
        if loan.len() != LEN || loan.iter().any(|byte| *byte != loan[0]) {
            return Err("a message was written to by two".into());
        }
        fills.push(loan[0]);
    }
    let expected: &[u8] = if is_in_place { &[1, 4, 2, 3] } else { &[1, 3, 4, 2, 3] };
    if fills == expected { Ok(()) } else { Err(format!("the messages are {fills:?}").into()) }
}

/// Forks while a future waits, and then waits in futures in parent and child at once, one message each, and says which.
pub(super) fn wait_in_futures_on_both_sides(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Queue::<(u8, u32)>::open(transport, queue)?;
    let mut first = Box::pin(queue.get_async());
    let is_pending = first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    if !is_pending {
        return Err("there was a message too early".into());
    }
    let tell_one = || -> Played {
        let (side, number) = Builder::new_current_thread().build()?.block_on(queue.get_async())?;
        say(&format!("{side} {number}"))?;
        Ok(())
    };
    let child = in_child(tell_one)?;
    drop(first);
    say("ready")?;
    tell_one()?;
    ended_well(child)
}

fn put_all(queue: &Queue<(u8, u32)>, side: u8) -> Played {
    for n in 0..EACH {
        queue.put((side, n))?;
    }
    Ok(())
}

fn tell(queue: &Queue<(u8, u32)>) -> Played {
    let (side, number) = queue.get()?;
    say(&format!("{side} {number}"))?;
    Ok(())
}

/// Runs `action` in a child process.
fn in_child(action: impl FnOnce() -> Played) -> nix::Result<Pid> {
    // SAFETY: the other thread of this process is the watchdog, which sleeps and holds no lock that the child uses.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let _watchdog = Watchdog::start("the child of a fork", super::LIMIT);
            let code = match action() {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("the child of a fork: {error}");
                    1
                }
            };
            std::process::exit(code);
        }
    }
}

fn ended_well(child: Pid) -> Played {
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => Err(format!("the child of a fork ended badly: {status:?}").into()),
    }
}
