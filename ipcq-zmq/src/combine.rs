//! Calls that several threads make at a time, done together: one thread sends what all of them ask for as one request,
//! and hands out what comes back. The idea is that of flat combining (Hendler, Incze, Shavit, Tzafrir, 2010).
//!
//! A call that comes alone is done by its own thread at once. One that comes while another is being done waits until
//! it has been done along with the next one, or until it is its turn to do so. What it asks for is asked for after it
//! came, so it takes effect within the call. When the one before takes long, because it waits for the queue, the next
//! one is done by its own thread, so that the broker knows of all who wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ipcq_core::os::fork_lock::{ForkGuard, ForkLock};
use ipcq_core::os::process;

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
    /// Whether a thread does calls now.
    led: bool,
    /// How often a thread that sleeps was passed over.
    passed: u32,
    waiting: VecDeque<Arc<Place<J>>>,
}

impl<J> Default for State<J> {
    fn default() -> Self {
        Self { epoch: 0, led: false, passed: 0, waiting: VecDeque::new() }
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
        // The exchange is one side of a handshake with `wait`: either this sees that the thread sleeps, or the thread
        // sees the new state before it does.
        self.state.swap(state, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) != 0 {
            self.thread.unpark();
        }
    }

    /// Waits until it is told something, but no longer than that.
    fn wait(&self, patience: Duration) -> u8 {
        let mut spin = Spin::of_thread();
        loop {
            match self.state.load(Ordering::Acquire) {
                WAITS if spin.turn() => {}
                WAITS => break,
                told => return told,
            }
        }
        let end = Instant::now() + patience;
        self.asleep.store(1, Ordering::SeqCst);
        loop {
            match (self.state.load(Ordering::SeqCst), end.saturating_duration_since(Instant::now())) {
                (WAITS, left) if left > Duration::ZERO => thread::park_timeout(left),
                (told, _) => return told,
            }
        }
    }
}

impl<J: Job> Combiner<J> {
    pub(crate) fn new(budget: usize) -> Self {
        Self { state: ForkLock::default(), budget }
    }

    /// Does `job`, and returns it done; `None` if the thread that should have done it panicked. `lead` does the jobs
    /// that it is given, the first one at least; it is called unless another thread does this job.
    pub(crate) fn run(&self, job: J, lead: impl FnOnce(&mut [J])) -> Option<J> {
        let mut state = self.state();
        let (mut jobs, places) = if state.led {
            let (waits, none) = (AtomicU8::new(WAITS), AtomicU8::new(0));
            let place =
                Place { state: waits, asleep: none, job: Mutex::new(Some(job)), thread: thread::current() };
            let place = Arc::new(place);
            state.waiting.push_back(Arc::clone(&place));
            drop(state);
            match self.wait_at(&place) {
                DONE => return place.take(),
                LEADS => self.gather(place.take()?),
                _ => {
                    let mut jobs = [place.take()?];
                    lead(&mut jobs);
                    return jobs.into_iter().next();
                }
            }
        } else {
            state.led = true;
            drop(state);
            (vec![job], Vec::new())
        };
        let mut turn = Turn { combiner: self, places };
        lead(&mut jobs);
        turn.hand_out(jobs)
    }

    /// Waits at `place` until it is told something, or, when what is being done takes long, until it has left the line.
    fn wait_at(&self, place: &Arc<Place<J>>) -> u8 {
        let mut patience = PATIENCE;
        loop {
            let told = place.wait(patience);
            if told != WAITS {
                return told;
            }
            let mut state = self.state();
            if let Some(at) = state.waiting.iter().position(|other| Arc::ptr_eq(other, place)) {
                state.waiting.remove(at);
                return WAITS;
            }
            // It is being done along with another one, and may come back into the line.
            patience = (2 * patience).min(LONG_PATIENCE);
        }
    }

    /// This job, and those that can be done along with it.
    fn gather(&self, first: J) -> (Vec<J>, Vec<Arc<Place<J>>>) {
        let mut state = self.state();
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
        }
        state
    }
}

/// A thread's turn to do calls, which passes to another thread when this is dropped.
struct Turn<'a, J: Job> {
    combiner: &'a Combiner<J>,
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
        self.pass_on();
        done.iter().for_each(|place| place.tell(DONE));
        own
    }

    /// Lets another thread lead, one that is awake if there is one: waking takes longer than a request.
    fn pass_on(&self) {
        let mut state = self.combiner.state();
        let awake = state.waiting.iter().position(|place| place.asleep.load(Ordering::Relaxed) == 0);
        let awake = awake.filter(|_| state.passed < PASSED_MAX).unwrap_or(0);
        state.passed = if awake == 0 { 0 } else { state.passed + 1 };
        let next = state.waiting.remove(awake);
        state.led = next.is_some();
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
            self.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A number that is to be doubled.
    struct Double(usize, Option<usize>);

    impl Job for Double {
        fn is_done(&self) -> bool {
            self.1.is_some()
        }

        fn size(&self) -> usize {
            1
        }
    }

    const THREADS: usize = 8;
    const CALLS: usize = 500;

    #[test]
    fn each_call_gets_what_became_of_it() {
        let combiner = Combiner::new(5);
        let led = AtomicUsize::new(0);
        let lead = |jobs: &mut [Double]| {
            assert!(jobs.len() <= 6, "{} at a time", jobs.len());
            thread::yield_now();
            // The last one of several is left for the next time.
            let now = jobs.len().div_ceil(2);
            jobs.iter_mut().take(now).for_each(|job| job.1 = Some(job.0 * 2));
            led.fetch_add(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (combiner, lead) = (&combiner, &lead);
                scope.spawn(move || {
                    for number in thread * CALLS..(thread + 1) * CALLS {
                        let done = combiner.run(Double(number, None), lead);
                        assert_eq!(done.and_then(|job| job.1), Some(number * 2));
                    }
                });
            }
        });
        assert!(led.load(Ordering::SeqCst) <= THREADS * CALLS);
        assert!(!combiner.state().led, "somebody leads when nobody is left");
    }

    #[test]
    fn a_call_that_takes_long_does_not_keep_others_waiting() {
        let combiner = Combiner::new(5);
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let (started, start) = std::sync::mpsc::channel();
            let long = scope.spawn({
                let combiner = &combiner;
                move || {
                    combiner.run(Double(1, None), |jobs| {
                        assert!(started.send(()).is_ok());
                        jobs[0].1 = receiver.recv().ok();
                    })
                }
            });
            assert!(start.recv().is_ok());
            let other = combiner.run(Double(2, None), |jobs| jobs[0].1 = Some(4));
            assert_eq!(other.and_then(|job| job.1), Some(4));
            assert!(sender.send(2).is_ok());
            assert_eq!(long.join().ok().flatten().and_then(|job| job.1), Some(2));
        });
        assert!(!combiner.state().led);
    }

    #[test]
    fn a_panic_ends_the_calls_that_were_done_along() {
        let combiner = Combiner::new(5);
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            combiner.run(Double(1, None), |_| panic!("on purpose"))
        }));
        assert!(panics.is_err());
        let next = combiner.run(Double(2, None), |jobs| jobs[0].1 = Some(4));
        assert_eq!(next.and_then(|job| job.1), Some(4), "nobody leads any more");
    }
}
