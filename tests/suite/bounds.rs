//! The upper bounds of the contract, all of them here, and each judged over many runs or a long time: a machine that
//! others share may make a single run late.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::{Queue, QueueOptions, Select};
use ipcq_tests::process::{Process, now};
use nix::sys::signal::Signal;

use crate::place::{Place, on_each_transport};

on_each_transport! {
    q05_a_get_that_waits_costs_nothing,
    q05_a_deadline_ends_a_wait_in_time,
    q05_signals_neither_end_nor_lengthen_a_wait,
    q05_a_waiter_wakes_soon,
    q05_a_waiter_wakes_although_another_is_stopped,
    q05_a_selection_that_waits_costs_nothing,
    q05_a_selection_wakes_soon,
    q05_a_selection_that_takes_nothing_wakes_another,
}

/// Q5: wake-ups a second of a call that waits while nothing happens.
const WAKE_UPS: f64 = 25.0;
/// Q5: processor time of such a call: what a tool that counts hundredths of a second might still see, of 2.5 s.
const PROCESSOR_TIME: Duration = Duration::from_millis(10);
/// Q5: how late most calls return after their deadline.
const LATE: Duration = Duration::from_millis(5);
/// Q5: how soon most waiters go on when they can.
const WOKEN: Duration = Duration::from_millis(5);
/// How soon most selections find what came into one of three queues that wake nobody.
const LOOKED: Duration = Duration::from_millis(180);
/// Q5: how soon most waiters go on when the one that was woken before them has been stopped.
const WOKEN_INSTEAD: Duration = Duration::from_millis(60);
/// Q10: after how long everybody must have had a share.
pub(crate) const FAIRNESS: Duration = Duration::from_secs(10);
/// How often the shares are looked at before.
pub(crate) const FAIRNESS_LOOK: Duration = Duration::from_millis(500);

/// What three of four runs keep within. The fourth may be late for reasons of the machine.
fn most(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() - 1) * 3 / 4]
}

/// The queue `q` of numbers.
fn numbers(place: &Place, capacity: usize) -> Queue<u64> {
    Queue::create(&*place.transport, "q", &QueueOptions::new().capacity(capacity)).expect("a free name")
}

fn q05_a_get_that_waits_costs_nothing(transport: &str) {
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("a get that waits", Duration::from_secs(60));
    let queue = numbers(&place, 1);
    let mut peer = place.start("wait", &["q"]);
    assert_eq!(peer.hear(), "ready");
    wait_for_getters(&queue, 1);
    let (start, wakes, used) = (Instant::now(), wake_ups(&peer), processor_time(&peer));
    thread::park_timeout(Duration::from_millis(2500));
    let time = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let rate = (wake_ups(&peer) - wakes) as f64 / time;
    let used = processor_time(&peer) - used;
    assert!(rate <= WAKE_UPS, "{rate} wake-ups a second");
    assert!(used.as_secs_f64() <= PROCESSOR_TIME.as_secs_f64() * time / 2.5, "{used:?} in {time} s");
    queue.put(1).expect("there is room");
    peer.finish();
}

fn q05_a_selection_that_waits_costs_nothing(transport: &str) {
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("a selection that waits", Duration::from_secs(60));
    let count = if transport == "zmq" { 1 } else { 100 };
    let queues: Vec<_> = (0..count).map(|number| numbered(&place, number)).collect();
    let mut peer = place.start("select", &[&count.to_string()]);
    assert_eq!(peer.hear(), "ready");
    wait_until_asleep(&peer);
    let (start, wakes) = (Instant::now(), wake_ups(&peer));
    thread::park_timeout(Duration::from_millis(2500));
    let time = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let rate = (wake_ups(&peer) - wakes) as f64 / time;
    assert!(rate <= WAKE_UPS, "{rate} wake-ups a second");
    queues.iter().for_each(|queue| queue.close().expect("an open queue closes"));
    peer.finish();
}

fn q05_a_selection_wakes_soon(transport: &str) {
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("wake-ups of selections", Duration::from_secs(60));
    let queues = [0, 1, 2].map(|number| numbered(&place, number));
    let mut peer = place.start("select", &["3"]);
    assert_eq!(peer.hear(), "ready");
    let woken = |n: u64| {
        wait_until_asleep(&peer);
        let sent = now();
        queues[usize::try_from(n % 3).expect("a small number")].put(n).expect("there is room");
        let line = peer.hear();
        let (index, line) = line.split_once(' ').expect("a queue and a message");
        assert_eq!(index, (n % 3).to_string());
        arrival(line, n, sent)
    };
    let woken = most((0..50).map(woken).collect());
    queues.iter().for_each(|queue| queue.close().expect("an open queue closes"));
    peer.finish();
    // Who cannot be woken by a queue looks for itself.
    let soon = if transport == "zmq" { LOOKED } else { WOKEN };
    assert!(woken <= soon, "{woken:?}");
}

/// A selection that sleeps longest is woken first, and ends; the getter behind it must have been woken in its place.
fn q05_a_selection_that_takes_nothing_wakes_another(transport: &str) {
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("selections that take nothing", Duration::from_secs(60));
    let [jobs, bell] = [0, 1].map(|number| numbered(&place, number));
    let woken = |n: u64| {
        thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let (jobs, bell) = (&jobs, &bell);
            scope.spawn(move || {
                tell.send(nix::unistd::gettid()).expect("the test listens");
                let mut select = Select::new();
                [jobs, bell].into_iter().for_each(|queue| {
                    select.add(queue);
                });
                select.ready();
            });
            let selection = format!("/proc/self/task/{}/status", told.recv().expect("a thread"));
            while !fs::read_to_string(&selection).expect("a thread").contains("State:\tS") {
                thread::yield_now();
            }
            let getter = scope.spawn(|| {
                jobs.get().expect("a message");
                now()
            });
            wait_for_getters(jobs, 1);
            let sent = now();
            jobs.put(n).expect("there is room");
            let arrived = getter.join().expect("a getter");
            bell.put(n).expect("there is room");
            Duration::from_nanos(arrived.saturating_sub(sent))
        })
    };
    let woken = (0..50).map(|n| {
        let woken = woken(n);
        bell.get().expect("a message");
        woken
    });
    let woken = most(woken.collect());
    assert!(woken <= WOKEN, "{woken:?}");
}

/// The queue `qNUMBER` of numbers.
fn numbered(place: &Place, number: usize) -> Queue<u64> {
    let options = QueueOptions::new().capacity(10);
    Queue::create(&*place.transport, &format!("q{number}"), &options).expect("a free name")
}

/// Waits until all threads of a process sleep.
fn wait_until_asleep(process: &Process) {
    let is_asleep = |status: String| status.lines().any(|line| line.starts_with("State:\tS"));
    while !of_threads(process, "status").into_iter().all(is_asleep) {
        thread::yield_now();
    }
}

/// How often the threads of a process have gone to sleep by themselves.
fn wake_ups(process: &Process) -> u64 {
    let of_thread = |status: String| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).expect("a count of wake-ups")
    };
    of_threads(process, "status").into_iter().map(of_thread).sum()
}

/// How long the threads of a process have run.
fn processor_time(process: &Process) -> Duration {
    let of_thread = |schedstat: String| -> u64 {
        schedstat.split(' ').next().and_then(|time| time.parse().ok()).expect("a time in nanoseconds")
    };
    Duration::from_nanos(of_threads(process, "schedstat").into_iter().map(of_thread).sum())
}

/// What the system says of each thread of a process.
fn of_threads(process: &Process, file: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", process.id())).expect("a process that is there");
    let paths = threads.map(|thread| thread.expect("a thread").path().join(file));
    paths.map(|path| fs::read_to_string(path).expect("a thread that is there")).collect()
}

fn wait_for_getters(queue: &Queue<u64>, count: usize) {
    while queue.stat().expect("a queue that works").waiting_getters < count {
        thread::yield_now();
    }
}

fn q05_a_deadline_ends_a_wait_in_time(transport: &str) {
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("deadlines", Duration::from_secs(60));
    let queue = numbers(&place, 1);
    let timeouts = [0, 1, 3, 20, 55].map(Duration::from_millis);
    let late = |wait: &dyn Fn(Duration) -> bool| {
        let one = |timeout: &Duration| {
            let start = Instant::now();
            assert!(wait(*timeout), "not a timeout");
            start.elapsed().checked_sub(*timeout).expect("never early")
        };
        most(timeouts.iter().cycle().take(50).map(one).collect())
    };
    let late_gets = late(&|timeout| queue.get_timeout(timeout).is_err_and(|error| error.is_timeout()));
    queue.put(1).expect("there is room");
    let late_puts = late(&|timeout| queue.put_timeout(2, timeout).is_err_and(|error| error.is_timeout()));
    assert!(late_gets <= LATE && late_puts <= LATE, "gets {late_gets:?}, puts {late_puts:?}");
}

fn q05_signals_neither_end_nor_lengthen_a_wait(transport: &str) {
    const TIME: Duration = Duration::from_millis(120);
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("signals", Duration::from_secs(60));
    let _queue = numbers(&place, 1);
    let late = |_| {
        let mut peer = place.start("wait-despite-signals", &["q", &TIME.as_millis().to_string()]);
        assert_eq!(peer.hear(), "ready");
        let end = Instant::now() + TIME / 2;
        while Instant::now() < end {
            peer.signal(Signal::SIGUSR1);
            thread::park_timeout(Duration::from_millis(1));
        }
        let took = Duration::from_micros(peer.hear().parse().expect("a number of microseconds"));
        peer.finish();
        took.checked_sub(TIME).expect("a wait that no signal ended")
    };
    let late = most((0..10).map(late).collect());
    assert!(late <= LATE, "{late:?}");
}

fn q05_a_waiter_wakes_soon(transport: &str) {
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("wake-ups", Duration::from_secs(60));
    let queue = numbers(&place, 10);
    let mut peer = place.start("wait-and-time", &["q"]);
    assert_eq!(peer.hear(), "ready");
    let woken = |n: u64| {
        wait_for_getters(&queue, 1);
        let sent = now();
        queue.put(n).expect("there is room");
        arrival(&peer.hear(), n, sent)
    };
    let woken = most((0..50).map(woken).collect());
    queue.close().expect("an open queue closes");
    peer.finish();
    assert!(woken <= WOKEN, "{woken:?}");
}

fn q05_a_waiter_wakes_although_another_is_stopped(transport: &str) {
    let place = Place::alone(transport);
    let _watchdog = Watchdog::start("wake-ups beside one that is stopped", Duration::from_secs(60));
    let woken = |n: u64| {
        let queue = numbers(&place, 10);
        // The first to wait is the first to be woken, as far as the system keeps an order.
        let mut stopped = place.start("wait-and-time", &["q"]);
        assert_eq!(stopped.hear(), "ready");
        wait_for_getters(&queue, 1);
        let mut other = place.start("wait-and-time", &["q"]);
        assert_eq!(other.hear(), "ready");
        wait_for_getters(&queue, 2);
        stopped.signal(Signal::SIGSTOP);
        let sent = now();
        queue.put(n).expect("there is room");
        let woken = arrival(&other.hear(), n, sent);
        queue.close().expect("an open queue closes");
        other.finish();
        stopped.signal(Signal::SIGCONT);
        assert_eq!(stopped.finish(), [""; 0], "it got what another had");
        Queue::<u64>::remove(&*place.transport, "q").expect("the queue is there");
        woken
    };
    let woken = most((0..20).map(woken).collect());
    assert!(woken <= WOKEN_INSTEAD, "{woken:?}");
}

/// How long after `sent` message `n` arrived, as `line` says.
fn arrival(line: &str, n: u64, sent: u64) -> Duration {
    let (number, arrived) = line.split_once(' ').expect("a number and a time");
    assert_eq!(number, n.to_string());
    Duration::from_nanos(arrived.parse::<u64>().expect("a time").saturating_sub(sent))
}
