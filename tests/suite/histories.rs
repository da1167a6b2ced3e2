//! Q1, Q2, Q4 to Q8: whatever several processes do to a queue at once, there is an order of their effects that a queue
//! could have had, and that agrees with the times at which calls began and returned.

use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::{QueueName, QueueOptions};
use ipcq_tests::history::{Call, Effect, History, check};
use ipcq_tests::process::{Process, now};

use crate::place::{Place, on_each_transport};

on_each_transport! {
    two_processes,
    three_processes,
    four_processes,
}

/// How long the histories of one kind take, in all.
const TIME: Duration = Duration::from_secs(5);
/// The fewest effects that say anything; a slow machine makes fewer in the time.
const ENOUGH: usize = 1000;

/// Nanoseconds from the word to the start of a round: longer than waking all players takes, most of the time. One that
/// wakes later plays alone, which is no fault.
const LEAD: u64 = 400_000;

fn two_processes(transport: &str) {
    histories_can_be_explained(transport, 2);
}

fn three_processes(transport: &str) {
    histories_can_be_explained(transport, 3);
}

fn four_processes(transport: &str) {
    histories_can_be_explained(transport, 4);
}

fn histories_can_be_explained(transport: &str, players: usize) {
    let _watchdog = Watchdog::start("recorded histories", Duration::from_secs(120));
    let place = Place::new(transport);
    let seats: Vec<_> = (1..=players).map(|seat| seat.to_string()).collect();
    let mut processes: Vec<_> = seats.iter().map(|seat| place.start("history", &[seat])).collect();
    let mut tally = Tally::default();
    let end = Instant::now() + TIME;
    for round in 0_u64.. {
        if Instant::now() > end {
            break;
        }
        let history = play(&place, &mut processes, round);
        tally.add(&history);
        if let Err(impossible) = check(&history) {
            panic!("round {round}: {impossible}");
        }
    }
    processes.into_iter().for_each(|process| drop(process.finish()));
    tally.assert_telling();
}

/// Lets all processes play one round on a new queue, and returns what they did.
fn play(place: &Place, processes: &mut [Process], round: u64) -> History {
    let capacity = [1, 2, 4, 3][usize::try_from(round % 4).expect("a small number")];
    let name = QueueName::new(format!("round-{round}")).expect("a legal name");
    let queue = place.transport.create(&name, &QueueOptions::new().capacity(capacity)).expect("a free name");
    let start = now() + LEAD;
    for (process, seat) in processes.iter_mut().zip(1..) {
        let seed = (round * 8 + seat).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        process.say(&format!("{name} {start} {seed}"));
    }
    let calls = processes.iter_mut().map(|process| {
        let line = process.hear();
        serde_json::from_str::<Vec<Call>>(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let history = History { capacity, processes: calls.collect() };
    place.transport.remove(&name).expect("the queue of the round");
    drop(queue);
    history
}

/// What the histories held, so that a test that shows nothing fails.
#[derive(Debug, Default)]
struct Tally {
    effects: usize,
    overlapping: usize,
    kinds: [usize; 11],
}

impl Tally {
    fn add(&mut self, history: &History) {
        self.effects += history.len();
        self.overlapping += history.overlapping();
        for call in history.processes.iter().flatten() {
            for effect in &call.effects {
                self.kinds[kind(*effect)] += 1;
            }
        }
    }

    /// Everything happened, most of it while something else did.
    fn assert_telling(&self) {
        assert!(self.effects >= ENOUGH, "too little: {self:?}");
        assert!(self.kinds.iter().all(|&count| count > 0), "something never happened: {self:?}");
        assert!(self.overlapping >= ENOUGH / 10, "too little at once: {self:?}");
    }
}

const fn kind(effect: Effect) -> usize {
    match effect {
        Effect::Put(_) => 0,
        Effect::Full => 1,
        Effect::PutClosed => 2,
        Effect::Got(_) => 3,
        Effect::Empty => 4,
        Effect::GetClosed => 5,
        Effect::Len(_) => 6,
        Effect::IsEmpty(_) => 7,
        Effect::IsFull(_) => 8,
        Effect::IsClosed(_) => 9,
        Effect::Close => 10,
    }
}
