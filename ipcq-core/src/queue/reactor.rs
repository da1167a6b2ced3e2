//! The threads by which futures wait: one for all queues that can wake it, and one that looks at those that cannot.
//!
//! A future that finds nothing to do leaves its waker here. The thread sleeps on the words of all queues that somebody
//! waits for, and wakes the one that has waited longest for a queue that is ready. Until that one has had its turn, or a
//! slice later, no other is woken for the same queue. Both threads start when they are needed, end ten seconds after, and
//! are not there after a fork: a child that waits starts its own.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::deadline::Wait;
use crate::os::event::Event;
use crate::os::fork_lock::{ForkGuard, ForkLock};
use crate::os::lock::SLICE;
use crate::os::process;
use crate::os::sleep_on_many::Sleeper;
use crate::readiness::Side;
use crate::select::is_ready;
use crate::transport::Channel;

/// How long a thread without anything to wait for stays.
const IDLE: Duration = Duration::from_secs(10);

/// For queues that can wake it, and for others.
static REACTORS: [Reactor; 2] = [Reactor::new(), Reactor::new()];

#[derive(Debug)]
struct Reactor {
    state: ForkLock<State>,
    /// What its thread sleeps on beside the words of queues.
    bell: Event,
}

#[derive(Debug, Default)]
struct State {
    /// Of the process whose futures these are.
    epoch: u64,
    is_running: bool,
    next: u64,
    /// In the order of coming.
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    key: u64,
    queue: Watched,
    /// Who was refused because of another that is inside an operation tries again then, whatever the queue says.
    at_latest: Option<Instant>,
    woken: Option<Instant>,
    waker: Waker,
}

/// One side of a queue.
#[derive(Clone, Debug)]
struct Watched {
    channel: Arc<dyn Channel>,
    side: Side,
}

impl Watched {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel) && self.side == other.side
    }

    /// Tells it from others while both are there.
    fn key(&self) -> (usize, bool) {
        (Arc::as_ptr(&self.channel).addr(), self.side == Side::Get)
    }

    fn is_ready(&self) -> bool {
        is_ready(&*self.channel, self.side)
    }

    /// Lets another sleeper have what this process was woken for.
    fn pass_on(&self) {
        if let Some(queue) = self.channel.readiness() {
            // Who woke this process cleared what says that others sleep.
            queue.announce(self.side);
            queue.pass_on(self.side);
        }
    }
}

impl Reactor {
    const fn new() -> Self {
        let state = State { epoch: 0, is_running: false, next: 0, waiters: VecDeque::new() };
        Self { state: ForkLock::new(state), bell: Event::new() }
    }

    fn of(channel: &dyn Channel) -> &'static Self {
        let [wakeable, deaf] = &REACTORS;
        if channel.readiness().is_some() { wakeable } else { deaf }
    }

    fn state(&self) -> ForkGuard<'_, State> {
        let mut state = self.state.lock();
        let epoch = process::epoch();
        if state.epoch != epoch {
            // Those of the parent are none of this process's; dropping them would run code of a runtime that is not here.
            mem::forget(mem::take(&mut *state));
            state.epoch = epoch;
        }
        state
    }

    fn ring(&self) {
        if self.bell.has_sleepers() {
            self.bell.wake_all();
        }
    }

    /// Enters a future into the list, and sees to it that there is a thread.
    fn enter(&'static self, waiter: Waiter) -> io::Result<u64> {
        let mut state = self.state();
        if !state.is_running {
            let epoch = state.epoch;
            thread::Builder::new().name("ipcq-async".to_owned()).spawn(move || self.run(epoch))?;
            state.is_running = true;
        }
        let key = state.next;
        state.next += 1;
        state.waiters.push_back(Waiter { key, ..waiter });
        drop(state);
        self.ring();
        Ok(key)
    }

    /// What the thread does.
    fn run(&self, epoch: u64) {
        let mut sleeper = Sleeper::new();
        loop {
            let line = self.bell.announce();
            let queues = self.queues();
            if queues.is_empty() {
                sleeper = Sleeper::new();
                let time = if self.state().has_sleepers() { SLICE } else { IDLE };
                if !self.bell.sleep(line, time) && self.end(epoch) {
                    return;
                }
                continue;
            }
            let words =
                queues.iter().filter_map(|queue| Some(queue.channel.readiness()?.announce(queue.side)));
            let words: Vec<&AtomicU32> = [self.bell.as_word()].into_iter().chain(words).collect();
            if self.serve(&queues) {
                sleeper = Sleeper::new();
                continue;
            }
            let deaf = 1 + queues.len() - words.len();
            if !sleeper.sleep(&words, deaf, Wait::Forever) {
                let wakeable = queues.iter().filter_map(|queue| queue.channel.readiness());
                wakeable.for_each(crate::Readiness::look_around);
            }
            self.serve(&queues);
            if !self.bell.has_sleepers() {
                sleeper = Sleeper::new();
            }
        }
    }

    /// Ends the thread if there is nothing to do for it; returns whether it did.
    fn end(&self, epoch: u64) -> bool {
        let mut state = self.state();
        let over = state.epoch != epoch || state.waiters.is_empty();
        if over && state.epoch == epoch {
            state.is_running = false;
        }
        over
    }

    /// The queues for which somebody waits, but for those whose next one has not had its turn yet.
    fn queues(&self) -> Vec<Watched> {
        let state = self.state();
        let is_recent = |woken: Instant| woken.elapsed() < SLICE;
        let in_hand = state.waiters.iter().filter(|waiter| waiter.woken.is_some_and(is_recent));
        let mut known: BTreeSet<_> = in_hand.map(|waiter| waiter.queue.key()).collect();
        let sleepers = state.waiters.iter().filter(|waiter| waiter.woken.is_none());
        sleepers.map(|waiter| &waiter.queue).filter(|queue| known.insert(queue.key())).cloned().collect()
    }

    /// Wakes who waits longest for each of `queues` that is ready, and who was to try again by now; returns whether there
    /// was somebody. Where there is nobody any more, another process may have what this one was woken for.
    fn serve(&self, queues: &[Watched]) -> bool {
        let ready: Vec<&Watched> = queues.iter().filter(|queue| queue.is_ready()).collect();
        let now = Instant::now();
        let (mut wakers, mut unwanted) = (Vec::new(), Vec::new());
        let mut state = self.state();
        for waiter in state.waiters.iter_mut().filter(|waiter| waiter.is_due(now)) {
            wakers.push(waiter.wake_at(now));
        }
        for queue in ready {
            let waits = |waiter: &Waiter| waiter.woken.is_none() && waiter.queue.is(queue);
            let is_wanted = state.waiters.iter().any(waits);
            match state.waiters.iter_mut().find(|waiter| waits(waiter) && waiter.at_latest.is_none()) {
                Some(waiter) => wakers.push(waiter.wake_at(now)),
                None if is_wanted => {}
                None => unwanted.push(queue),
            }
        }
        drop(state);
        unwanted.into_iter().for_each(Watched::pass_on);
        let any = !wakers.is_empty();
        wakers.into_iter().for_each(Waker::wake);
        any
    }
}

impl Waiter {
    fn is_due(&self, now: Instant) -> bool {
        self.woken.is_none() && self.at_latest.is_some_and(|at| at <= now)
    }

    fn wake_at(&mut self, now: Instant) -> Waker {
        self.woken = Some(now);
        self.waker.clone()
    }
}

impl State {
    /// Whether some wait who have not been woken.
    fn has_sleepers(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.woken.is_none())
    }
}

/// A future's place among those that wait for a queue. It is over with the place, also when the future is dropped.
#[derive(Debug)]
pub(super) struct Place {
    reactor: &'static Reactor,
    epoch: u64,
    key: u64,
    queue: Watched,
    /// Whether what it was woken for was of use.
    was_useful: bool,
}

impl Place {
    /// What it waited for was there.
    pub(super) fn was_useful(mut self) {
        self.was_useful = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.epoch != process::epoch() {
            return;
        }
        let mut state = self.reactor.state();
        let at = state.waiters.iter().position(|waiter| waiter.key == self.key);
        let own = at.and_then(|at| state.waiters.remove(at));
        let others = state.waiters.iter().any(|waiter| waiter.queue.is(&self.queue));
        drop(state);
        if own.as_ref().is_some_and(|own| own.woken.is_some()) && !self.was_useful {
            self.queue.pass_on();
        }
        // The thread may have a handle of the queue, which shall not outlive the program's by long.
        if others || own.is_some_and(|own| own.woken.is_none()) {
            self.reactor.ring();
        }
    }
}

/// Waits until a call on `side` of `channel` may go on.
#[derive(Debug)]
pub(super) struct Ready {
    queue: Watched,
    at_latest: Option<Instant>,
    place: Option<Place>,
}

impl Ready {
    pub(super) fn new(channel: &Arc<dyn Channel>, side: Side, is_busy: bool) -> Self {
        let queue = Watched { channel: Arc::clone(channel), side };
        Self { queue, at_latest: is_busy.then(|| Instant::now() + SLICE), place: None }
    }
}

impl Future for Ready {
    type Output = io::Result<Place>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Place>> {
        let this = self.get_mut();
        let reactor = Reactor::of(&*this.queue.channel);
        let Some(place) = &this.place else {
            let (waker, queue) = (context.waker().clone(), this.queue.clone());
            let waiter =
                Waiter { key: 0, queue: queue.clone(), at_latest: this.at_latest, woken: None, waker };
            let epoch = process::epoch();
            let key = reactor.enter(waiter)?;
            this.place = Some(Place { reactor, epoch, key, queue, was_useful: false });
            return Poll::Pending;
        };
        let mut state = reactor.state();
        // One that is not in the list was entered before a fork.
        let waits = state.waiters.iter_mut().find(|waiter| waiter.key == place.key && waiter.woken.is_none());
        if let Some(waiter) = waits.filter(|_| place.epoch == process::epoch()) {
            let before = mem::replace(&mut waiter.waker, context.waker().clone());
            drop(state);
            // May end a task, and so drop other places.
            drop(before);
            return Poll::Pending;
        }
        drop(state);
        this.place.take().map_or(Poll::Pending, |place| Poll::Ready(Ok(place)))
    }
}
