//! Calls that several threads make at a time, done together: one thread sends what all of them ask for as one request,
//! and hands out what comes back. The idea is that of flat combining (Hendler, Incze, Shavit, Tzafrir, 2010).
//!
//! A call that comes alone is done by its own thread at once. Where several come again and again, they go in rounds: the
//! last of those who are expected ([`Company`]) leads, and asks for all; the others let it run (`sched_yield`), which
//! takes a tenth of the time of waking a thread that sleeps on another processor. What a call asks for is asked for after it
//! came, so it takes effect within the call. When a round takes long, because it waits for the queue, a call that came
//! meanwhile is done by its own thread, so that the broker knows of all who wait.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ipcq_core::os::fork_lock::{ForkGuard, ForkLock};
use ipcq_core::os::process;

use crate::company::Company;
use crate::spin::Spin;

/// How many calls are done together at most.
const TOGETHER: usize = 64;
/// How long a call waits for others to be done; longer than any takes that does not wait itself.
const PATIENCE: Duration = Duration::from_millis(1);
/// How seldom it looks again while it is being done along with another one.
const LONG_PATIENCE: Duration = Duration::from_secs(1);
/// How often those who lead may come out of turn.
const PASSED_MAX: u32 = 16;

/// What a call asks for, and later what became of it.
pub(crate) trait Job: Send {
    /// Whether it has been done; if not, it is to be done again.
    fn is_done(&self) -> bool;

    /// How many bytes it adds to a request.
    fn size(&self) -> usize;
}

/// Calls of one kind on one queue.
pub(crate) struct Combiner<J> {
    state: ForkLock<State<J>>,
    /// Whether a thread does calls now; changed by those who have the lock of `state`.
    led: AtomicBool,
    /// How many bytes one request has at most, beyond its first job.
    budget: usize,
}

impl<J> std::fmt::Debug for Combiner<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Combiner").finish_non_exhaustive()
    }
}

struct State<J> {
    /// The process of which a thread leads.
    epoch: u64,
    company: Company,
    /// How often a thread that sleeps was passed over.
    passed: u32,
    /// Those who wait to be done, or to lead. While nobody leads, one of them at least does not sleep.
    waiting: VecDeque<Arc<Place<J>>>,
}

impl<J> Default for State<J> {
    fn default() -> Self {
        Self { epoch: 0, company: Company::default(), passed: 0, waiting: VecDeque::new() }
    }
}

impl<J> State<J> {
    /// Takes `place` out of the line, if it is in it.
    fn leave(&mut self, place: &Arc<Place<J>>) -> bool {
        let at = self.waiting.iter().position(|other| Arc::ptr_eq(other, place));
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }
}

const WAITS: u8 = 0;
const LEADS: u8 = 1;
const DONE: u8 = 2;

/// A call that waits.
struct Place<J> {
    state: AtomicU8,
    asleep: AtomicU8,
    job: Mutex<Option<J>>,
    thread: Thread,
}

impl<J> Place<J> {
    fn put(&self, job: J) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
    }

    fn take(&self) -> Option<J> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lets the thread go on, and wakes it if it sleeps.
    fn tell(&self, state: u8) {
        // The exchange is one side of a handshake with `sleep`: either this sees that the thread sleeps, or the thread
        // sees the new state before it does.
        self.state.swap(state, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) != 0 {
            self.thread.unpark();
        }
    }

    fn told(&self) -> Option<u8> {
        Some(self.state.load(Ordering::SeqCst)).filter(|told| *told != WAITS)
    }

    /// Sleeps until it is told something, but no longer than that.
    fn sleep(&self, patience: Duration) -> Option<u8> {
        let end = Instant::now() + patience;
        loop {
            match (self.told(), end.saturating_duration_since(Instant::now())) {
                (None, left) if left > Duration::ZERO => thread::park_timeout(left),
                (told, _) => return told,
            }
        }
    }
}

impl<J: Job> Combiner<J> {
    pub(crate) fn new(budget: usize) -> Self {
        Self { state: ForkLock::default(), led: AtomicBool::new(false), budget }
    }

    /// Does `job`, and returns it done; `None` if the thread that should have done it panicked. `lead` does the jobs
    /// that it is given, the first one at least; it is called unless another thread does this job.
    pub(crate) fn run(&self, job: J, lead: impl FnOnce(&mut [J])) -> Option<J> {
        let mut state = self.state();
        let present = state.waiting.len() + 1;
        let (mut jobs, places) = if !self.is_led() && state.company.is_complete(present) {
            self.led.store(true, Ordering::SeqCst);
            state.company.has_come(present);
            self.gather(&mut state, job)
        } else {
            let (waits, none) = (AtomicU8::new(WAITS), AtomicU8::new(0));
            let place =
                Place { state: waits, asleep: none, job: Mutex::new(Some(job)), thread: thread::current() };
            let place = Arc::new(place);
            state.waiting.push_back(Arc::clone(&place));
            let bound = state.company.bound();
            drop(state);
            match self.wait_at(&place, bound) {
                DONE => return place.take(),
                LEADS => {
                    state = self.state();
                    self.gather(&mut state, place.take()?)
                }
                _ => {
                    let mut jobs = [place.take()?];
                    lead(&mut jobs);
                    return jobs.into_iter().next();
                }
            }
        };
        drop(state);
        let mut turn = Turn { combiner: self, start: Instant::now(), places };
        lead(&mut jobs);
        turn.hand_out(jobs)
    }

    fn is_led(&self) -> bool {
        self.led.load(Ordering::SeqCst)
    }

    /// Waits at `place` until it is told something, or, when what is being done takes long, until it has left the line.
    /// While nobody leads, it waits for those who are expected no longer than `bound`.
    fn wait_at(&self, place: &Arc<Place<J>>, bound: Duration) -> u8 {
        if let Some(told) = self.look(place, bound) {
            return told;
        }
        let mut patience = PATIENCE;
        loop {
            if let Some(told) = place.sleep(patience) {
                return told;
            }
            let mut state = self.state();
            if state.leave(place) {
                return WAITS;
            }
            // It is being done along with another one, and may come back into the line.
            patience = (2 * patience).min(LONG_PATIENCE);
        }
    }

    /// Looks for a while whether it is told something at `place`, or is to lead, since those who are expected do not
    /// come. If neither, it is to sleep.
    fn look(&self, place: &Arc<Place<J>>, bound: Duration) -> Option<u8> {
        let mut spin = Spin::of_thread();
        let mut unled = None;
        loop {
            if let Some(told) = place.told() {
                return Some(told);
            }
            let goes_on = spin.turn();
            unled = if self.is_led() { None } else { unled.or_else(|| Some(Instant::now())) };
            if goes_on && unled.is_none_or(|since| since.elapsed() < bound) {
                continue;
            }
            let mut state = self.state();
            if !self.is_led() && state.leave(place) {
                self.led.store(true, Ordering::SeqCst);
                let present = state.waiting.len() + 1;
                state.company.is_late(present);
                return Some(LEADS);
            }
            if !goes_on {
                // Under the lock: who leads must know of it before it stops leading.
                place.asleep.store(1, Ordering::SeqCst);
                return None;
            }
        }
    }

    /// This job, and those that can be done along with it.
    fn gather(&self, state: &mut State<J>, first: J) -> (Vec<J>, Vec<Arc<Place<J>>>) {
        let (mut jobs, mut places, mut left) = (vec![first], Vec::new(), self.budget);
        while jobs.len() < TOGETHER
            && let Some(place) = state.waiting.pop_front()
        {
            let Some(job) = place.take() else { continue };
            if job.size() > left {
                place.put(job);
                state.waiting.push_front(place);
                break;
            }
            left -= job.size();
            jobs.push(job);
            places.push(place);
        }
        (jobs, places)
    }

    /// The state of this process. What a parent left in its child is not used: its threads do not exist here.
    fn state(&self) -> ForkGuard<'_, State<J>> {
        let mut state = self.state.lock();
        let epoch = process::epoch();
        if state.epoch != epoch {
            std::mem::forget(std::mem::replace(&mut *state, State { epoch, ..State::default() }));
            self.led.store(false, Ordering::SeqCst);
        }
        state
    }
}

/// A thread's turn to do calls, which passes to another thread when this is dropped.
struct Turn<'a, J: Job> {
    combiner: &'a Combiner<J>,
    start: Instant,
    /// Of the calls that are done along with this thread's own.
    places: Vec<Arc<Place<J>>>,
}

impl<J: Job> Turn<'_, J> {
    /// Gives each thread its job, and returns this thread's own.
    fn hand_out(&mut self, jobs: Vec<J>) -> Option<J> {
        let mut jobs = jobs.into_iter();
        let own = jobs.next();
        let mut done = Vec::with_capacity(self.places.len());
        let mut undone = Vec::new();
        for (place, job) in self.places.drain(..).zip(jobs) {
            let is_done = job.is_done();
            place.put(job);
            if is_done { done.push(place) } else { undone.push(place) }
        }
        if !undone.is_empty() {
            // They keep their turn.
            let mut state = self.combiner.state();
            undone.into_iter().rev().for_each(|place| state.waiting.push_front(place));
        }
        self.pass_on(done.len() + 1);
        done.iter().for_each(|place| place.tell(DONE));
        own
    }

    /// Lets another thread lead, one that is awake if there is one: waking takes longer than a request. If there is, and
    /// others are expected, the last of them leads.
    fn pass_on(&self, done: usize) {
        let mut state = self.combiner.state();
        let waiting = state.waiting.len();
        state.company.learn(done + waiting, self.start.elapsed());
        let awake = state.waiting.iter().position(|place| place.asleep.load(Ordering::SeqCst) == 0);
        if awake.is_some() && !state.company.is_complete(waiting) {
            self.combiner.led.store(false, Ordering::SeqCst);
            return;
        }
        let awake = awake.filter(|_| state.passed < PASSED_MAX).unwrap_or(0);
        state.passed = if awake == 0 { 0 } else { state.passed + 1 };
        let next = state.waiting.remove(awake);
        self.combiner.led.store(next.is_some(), Ordering::SeqCst);
        drop(state);
        if let Some(next) = next {
            next.tell(LEADS);
        }
    }
}

impl<J: Job> Drop for Turn<'_, J> {
    fn drop(&mut self) {
        if thread::panicking() {
            for place in self.places.drain(..) {
                place.tell(DONE);
            }
            self.pass_on(1);
        }
    }
}
