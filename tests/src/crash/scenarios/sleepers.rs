//! Deaths of a process that was about to wake another one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipcq_core::{Channel, GetFault, QueueOptions, Stat, Wait};

use crate::crash::helper::wait_for_change;
use crate::crash::stopwatch::Stopwatch;
use crate::crash::{Cell, Helper, How, Message, Scenario, Visits, drain, message, survey};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let log = crate::crash::board(4);
    vec![
        Box::new(PutBesideGetter { log }),
        Box::new(GetBesidePutter { log }),
        Box::new(CloseBesideGetter { log }),
    ]
}

/// A sleeper that does not go on within this time has been forgotten.
const FORGOTTEN: Duration = Duration::from_secs(1);
const OWN: Message = message(7, 64);
const NEXT: Message = message(8, 64);
/// What a sleeper logs when it is told that the queue is closed.
const CLOSED: u64 = u64::MAX;

/// A sleeper gets up after a slice, and may be in the way of the operation when that is recorded.
const MEETS_A_SLEEPER: bool = true;

/// Starts a process, and waits until it sleeps in its call.
fn start_sleeper(
    cell: &mut Cell<'_>,
    body: impl FnOnce(&dyn Channel),
    waits: fn(&Stat) -> usize,
) -> Result<(), String> {
    let queue = cell.queue.clone();
    let sleeper = Helper::start(|| body(&*queue)).map_err(|error| error.to_string())?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while waits(&cell.queue.stat().map_err(|error| error.to_string())?) == 0 {
        if Instant::now() > deadline {
            return Err("stat knows of no waiting call after 5 s".to_owned());
        }
        std::thread::yield_now();
    }
    sleeper.wait_asleep().map_err(|error| error.to_string())?;
    cell.helpers.push(sleeper);
    Ok(())
}

fn clear(log: &[AtomicU64]) {
    for word in log {
        word.store(0, Ordering::SeqCst);
    }
}

/// Waits until the sleeper has logged `what` at `place`.
fn expect(cell: &mut Cell<'_>, log: &[AtomicU64], place: usize, what: u64) -> Result<(), String> {
    let watch =
        cell.helpers.last().map_or_else(Stopwatch::start, |sleeper| Stopwatch::start_for(sleeper.pid()));
    if wait_for_change(&log[place], 0, FORGOTTEN).is_none() {
        return Err(format!("the sleeper was forgotten: it does not go on within {FORGOTTEN:?}"));
    }
    cell.wakes.push(watch.elapsed());
    let logged = log[place].load(Ordering::SeqCst);
    (logged == what).then_some(()).ok_or_else(|| format!("the sleeper logged {logged}, not {what}"))
}

/// Gets messages for ever, and logs the number of each.
fn keep_getting(queue: &dyn Channel, log: &[AtomicU64]) {
    let mut bytes = Vec::with_capacity(4096);
    for place in log {
        let got = queue.get(&mut bytes, Wait::Forever);
        let logged = match got {
            Ok(()) => Message::read(&bytes).expect("a whole message").id,
            Err(GetFault::Closed) => CLOSED,
            Err(fault) => panic!("a get of the sleeper says: {fault}"),
        };
        place.store(logged, Ordering::SeqCst);
    }
}

/// A put, while another process sleeps in a get.
struct PutBesideGetter {
    log: &'static [AtomicU64],
}

impl Scenario for PutBesideGetter {
    fn name(&self) -> &'static str {
        "put_beside_sleeping_getter"
    }

    fn varies(&self) -> bool {
        MEETS_A_SLEEPER
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        clear(self.log);
        start_sleeper(cell, |queue| keep_getting(queue, self.log), |stat| stat.waiting_getters)
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let bytes = OWN.bytes();
        Box::new(move || cell.queue.put(&[&bytes], Wait::No).expect("a put"))
    }

    fn wake(&self) -> Option<fn(&mut Cell<'_>)> {
        // The sleeper may hold a lock when it wakes by itself.
        Some(|_| {})
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        // One message was put and taken when the victim was warmed.
        let puts = cell.queue.stat().map_err(|error| error.to_string())?.puts - 1;
        let right = puts == 0 && how != How::After || puts == 1 && how != How::Before;
        if !right {
            return Err(format!("stat counts {puts} puts of the process that died"));
        }
        let mut place = 0;
        if puts == 1 {
            expect(cell, self.log, place, OWN.id)?;
            place += 1;
        }
        let put = cell.queue.put(&[&NEXT.bytes()], Wait::timeout(FORGOTTEN));
        put.map_err(|fault| format!("a survivor's put says: {fault}"))?;
        expect(cell, self.log, place, NEXT.id)?;
        cell.helpers.clear();
        survey(cell, &[Vec::new()])
    }
}

/// A get from a full queue, while another process sleeps in a put.
struct GetBesidePutter {
    log: &'static [AtomicU64],
}

impl Scenario for GetBesidePutter {
    fn name(&self) -> &'static str {
        "get_beside_sleeping_putter"
    }

    fn varies(&self) -> bool {
        MEETS_A_SLEEPER
    }

    fn options(&self) -> QueueOptions {
        QueueOptions::new().capacity(1)
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        clear(self.log);
        cell.queue.put(&[&OWN.bytes()], Wait::No).map_err(|fault| fault.to_string())?;
        let put_two = |queue: &dyn Channel| {
            for (place, id) in self.log.iter().zip([200, 201]) {
                queue.put(&[&message(id, 64).bytes()], Wait::Forever).expect("a put of the sleeper");
                place.store(id, Ordering::SeqCst);
            }
        };
        start_sleeper(cell, put_two, |stat| stat.waiting_putters)
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let mut bytes = Vec::with_capacity(4096);
        Box::new(move || cell.queue.get(&mut bytes, Wait::No).expect("a get"))
    }

    fn wake(&self) -> Option<fn(&mut Cell<'_>)> {
        Some(|_| {})
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let taken = cell.queue.stat().map_err(|error| error.to_string())?.gets - 1;
        let right = taken == 0 && how != How::After || taken == 1 && how != How::Before;
        if !right {
            return Err(format!("stat counts {taken} gets of the process that died"));
        }
        if taken == 0 {
            take(cell, OWN)?;
        }
        expect(cell, self.log, 0, 200)?;
        take(cell, message(200, 64))?;
        expect(cell, self.log, 1, 201)?;
        take(cell, message(201, 64))?;
        cell.helpers.clear();
        survey(cell, &[Vec::new()])
    }
}

fn take(cell: &Cell<'_>, wanted: Message) -> Result<(), String> {
    let mut bytes = Vec::new();
    let got = cell.queue.get(&mut bytes, Wait::timeout(FORGOTTEN));
    got.map_err(|fault| format!("a survivor's get says: {fault}"))?;
    let got = Message::read(&bytes)?;
    (got == wanted).then_some(()).ok_or_else(|| format!("got {got:?}, wanted {wanted:?}"))
}

/// A close, while another process sleeps in a get.
struct CloseBesideGetter {
    log: &'static [AtomicU64],
}

impl Scenario for CloseBesideGetter {
    fn name(&self) -> &'static str {
        "close_beside_sleeping_getter"
    }

    fn varies(&self) -> bool {
        MEETS_A_SLEEPER
    }

    fn visits(&self, _: usize) -> Visits {
        Visits::All
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        clear(self.log);
        let get_one = |queue: &dyn Channel| keep_getting(queue, &self.log[..1]);
        start_sleeper(cell, get_one, |stat| stat.waiting_getters)
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        Box::new(move || cell.queue.close().expect("a close"))
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let closed = cell.queue.is_closed().map_err(|error| error.to_string())?;
        if closed && how == How::Before || !closed && how == How::After {
            return Err(format!("is_closed says {closed} to a process that died {how:?}"));
        }
        if !closed {
            cell.queue.close().map_err(|error| format!("a second close says: {error}"))?;
        }
        expect(cell, self.log, 0, CLOSED)?;
        let put = cell.queue.put(&[&NEXT.bytes()], Wait::No);
        if !matches!(put, Err(ipcq_core::PutFault::Closed)) {
            return Err(format!("a put into the closed queue says {put:?}"));
        }
        match drain(&*cell.queue)? {
            (content, true) if content.is_empty() => Ok(()),
            other => Err(format!("the closed queue held {other:?}")),
        }
    }
}
