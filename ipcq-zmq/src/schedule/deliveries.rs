//! Generated schedules with deliveries, checked by a model of who holds what: workers get, acknowledge and give back, lose
//! connections and replies, repeat requests, are stopped, die, and keep what they have beyond its lease.

mod cases;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::jobs::{Step, WORKERS, steps};
use super::{CAPACITY, Wires};
use crate::broker::{Broker, Settings, Slot};
use crate::packed;
use crate::recall::GRACE;
use crate::wire::{DELIVERY, Header, NO_WAIT, Op, PIECE, Request, Status};

const LEASE: u64 = 900_000_000;
const LIMIT: u32 = 2;

struct Worker {
    slot: Slot,
    /// A second session, which has nothing else to do than to settle.
    other: Slot,
    process: u64,
    id: u64,
    acknowledged: u64,
    asked: Option<(Request, Vec<u8>)>,
    /// What its join waits for.
    joins: u64,
    /// What it has read and not settled: numbers and redeliveries, and until when it is certainly its own.
    holds: BTreeMap<u64, (u32, u64)>,
    /// It is stopped, and its connection has been ended.
    cut: bool,
}

struct World {
    broker: Broker,
    wires: Wires,
    workers: Vec<Worker>,
    now: u64,
    next_process: u64,
    put: u64,
    /// What was acknowledged or taken for good, and by how many.
    done: BTreeMap<u64, u32>,
    /// Takes for good whose taker may have died with the message.
    lost_allowed: usize,
    /// How many messages the queue may hold.
    most: usize,
    has_lease: bool,
    /// What was taken for good, and so not joined, has come back.
    came_back: bool,
}

impl World {
    fn new(has_lease: bool, has_limit: bool) -> Self {
        let settings = Settings {
            capacity: CAPACITY,
            max_message: PIECE,
            auto_close: false,
            incarnation: 1,
            codec: "bytes".to_owned(),
            name: "q".to_owned(),
            acknowledged: true,
            max_redeliveries: has_limit.then_some(LIMIT),
            lease: has_lease.then_some(LEASE),
        };
        let mut world = Self {
            broker: Broker::new(settings),
            wires: Wires::default(),
            workers: Vec::new(),
            now: 1,
            next_process: 1,
            put: 0,
            done: BTreeMap::new(),
            lost_allowed: 0,
            most: CAPACITY,
            has_lease,
            came_back: false,
        };
        for _ in 0..WORKERS {
            let worker = world.newcomer();
            world.workers.push(worker);
        }
        world
    }

    fn newcomer(&mut self) -> Worker {
        let process = self.next_process;
        self.next_process += 1;
        let (slot, other) = (self.session(process, 0), self.session(process, 1));
        let (holds, asked) = (BTreeMap::new(), None);
        Worker { slot, other, process, id: 0, acknowledged: 0, asked, joins: 0, holds, cut: false }
    }

    fn session(&mut self, process: u64, number: u64) -> Slot {
        self.broker.hello(token(process, number), process).expect("its own token").0
    }

    fn step(&mut self, at: usize, step: Step) {
        let is_idle = self.workers[at].asked.is_none();
        match step {
            Step::Put(messages) if is_idle => self.put(at, messages),
            Step::Get { waits, for_good } if is_idle => {
                let mut request = self.request(at, Op::Get, waits);
                request.flags |= if for_good { 0 } else { DELIVERY };
                (request.a, request.b, request.c) = (1, 0, u64::MAX);
                self.ask(at, request, Vec::new());
            }
            Step::Join { waits } if is_idle => {
                self.workers[at].joins = self.put;
                let request = self.request(at, Op::Join, waits);
                self.ask(at, request, Vec::new());
            }
            Step::Settle { place, back, elsewhere } if elsewhere || is_idle => {
                self.settle(at, place, back, elsewhere);
            }
            Step::Read => self.read(at),
            Step::Reconnect => self.reconnect(at),
            Step::Leave => self.leave(at),
            Step::Die => self.die(at),
            Step::Recall => self.recall(),
            Step::Pass(milliseconds) => {
                self.now += u64::from(milliseconds) * 1_000_000;
                self.broker.tick(self.now, &mut self.wires);
            }
            Step::Crowd(crowded) => self.wires.crowded = crowded,
            Step::Close => self.broker.close(&mut self.wires),
            _ => {}
        }
        self.check();
    }

    fn request(&mut self, at: usize, op: Op, waits: bool) -> Request {
        let worker = &mut self.workers[at];
        worker.id += 1;
        let mut request = Request::new(op, worker.id);
        request.ack = worker.acknowledged;
        request.flags = if waits { 0 } else { NO_WAIT };
        request
    }

    fn ask(&mut self, at: usize, request: Request, content: Vec<u8>) {
        let slot = self.workers[at].slot;
        let done = self.broker.request(self.now, slot, request, &content, &mut self.wires);
        done.expect("a request that keeps the rules");
        self.workers[at].asked = Some((request, content));
    }

    fn put(&mut self, at: usize, messages: u8) {
        let request = self.request(at, Op::Put, false);
        let mut content = Vec::new();
        for number in self.put..self.put + u64::from(messages) {
            packed::push(&mut content, &[&number.to_be_bytes()]).expect("memory");
        }
        let before = self.broker.puts;
        self.ask(at, request, content);
        // What does not fit is refused at once, so that the numbers of the queue are those of the messages.
        self.put += self.broker.puts - before;
    }

    fn settle(&mut self, at: usize, place: usize, back: bool, elsewhere: bool) {
        let Some((&number, &(redeliveries, until))) = self.workers[at].holds.iter().nth(place) else {
            return;
        };
        let op = if back { Op::GiveBack } else { Op::Acknowledge };
        let mut request = self.request(at, op, true);
        (request.a, request.b) = (number, redeliveries.into());
        let slot = if elsewhere { self.workers[at].other } else { self.workers[at].slot };
        if elsewhere {
            request.ack = 0;
        }
        for _ in 0..2 {
            // Repeated, it says the same, and does nothing.
            self.broker.request(self.now, slot, request, &[], &mut self.wires).expect("a request");
        }
        let replies = self.wires.replies(slot);
        let status =
            |reply: Option<(Header, Vec<u64>)>| Status::parse(reply.expect("a reply at once").0.code);
        let (again, first) = (status(replies.pop()), status(replies.pop()));
        assert_eq!(again, first);
        if !elsewhere {
            self.workers[at].acknowledged = request.id;
        }
        self.workers[at].holds.remove(&number);
        match first {
            Some(Status::Ok) => {
                assert!(self.now < until, "a lease was over");
                if !back {
                    *self.done.entry(number).or_default() += 1;
                }
            }
            Some(Status::Expired | Status::NotHeld) => assert!(self.now >= until, "{number} was its own"),
            status => panic!("settling says {status:?}"),
        }
    }

    fn read(&mut self, at: usize) {
        let Some((request, content)) = self.workers[at].asked.clone() else { return };
        let slot = self.workers[at].slot;
        let replies = self.wires.replies(slot);
        if replies.is_empty() {
            return;
        }
        let (header, numbers) = replies.remove(0);
        assert_eq!(header.id, request.id);
        self.workers[at].acknowledged = header.id;
        self.workers[at].asked = None;
        if self.workers[at].cut && !self.is_confirmed(at, &header) {
            self.workers[at].id += 1;
            return self.ask(at, Request { id: self.workers[at].id, ..request }, content);
        }
        match Status::parse(header.code) {
            Some(Status::Msg) => self.take(at, &header, numbers[0]),
            Some(Status::Ok) if request.op == Op::Join => {
                let open = self.broker.first_unsettled();
                assert!(open >= self.workers[at].joins || self.came_back, "{open} is not done");
            }
            Some(Status::Closed) => assert!(self.broker.closed),
            Some(Status::Ok | Status::Full | Status::Empty | Status::Unfinished) => {}
            status => panic!("a reply of {status:?}"),
        }
    }

    /// A worker that was stopped comes back, and asks whether it may keep what it was sent.
    fn is_confirmed(&mut self, at: usize, header: &Header) -> bool {
        self.reconnect(at);
        self.workers[at].cut = false;
        let mut confirm = self.request(at, Op::Confirm, true);
        confirm.a = header.id;
        let slot = self.workers[at].slot;
        self.broker.request(self.now, slot, confirm, &[], &mut self.wires).expect("a question");
        let reply = self.wires.replies(slot).pop().expect("a reply at once");
        if reply.0.code == Status::Ok as u8 {
            self.workers[at].acknowledged = confirm.id;
            return true;
        }
        assert_eq!(reply.0.code, Status::Empty as u8);
        assert!(matches!(Status::parse(header.code), Some(Status::Msg)), "an answer that does not stand");
        false
    }

    fn take(&mut self, at: usize, header: &Header, number: u64) {
        let mut arrived = self.request(at, Op::Ack, true);
        arrived.ack = header.id;
        let slot = self.workers[at].slot;
        self.broker.request(self.now, slot, arrived, &[], &mut self.wires).expect("an ACK");
        if header.flags & DELIVERY == 0 {
            *self.done.entry(number).or_default() += 1;
            return;
        }
        assert_eq!(header.fields[2], number, "the number is that of the message");
        let redeliveries = u32::try_from(header.fields[4]).expect("a small number");
        // The lease began when it was handed out, which is not known here.
        let until = if self.has_lease {
            self.broker.deliveries.lease_of(number, redeliveries).unwrap_or(0)
        } else {
            u64::MAX
        };
        self.workers[at].holds.insert(number, (redeliveries, until));
    }

    fn reconnect(&mut self, at: usize) {
        let Worker { slot, process, .. } = self.workers[at];
        if !self.workers[at].cut {
            self.broker.disconnected(self.now, slot, &mut self.wires);
        }
        self.wires.unread.remove(&slot);
        self.workers[at].slot = self.session(process, 0);
        if let Some((request, content)) = self.workers[at].asked.clone()
            && !self.workers[at].cut
        {
            let before = self.broker.puts;
            self.ask(at, request, content);
            assert_eq!(self.broker.puts, before, "a put was done twice");
        }
    }

    /// The session of a worker ends; what it holds is still its own, but what it has not read is not.
    fn leave(&mut self, at: usize) {
        self.workers[at].cut = false;
        let Worker { slot, process, .. } = self.workers[at];
        // Nobody has died: it goes back, whether there is room or not.
        let taken = self.has_taken(slot);
        self.most += usize::from(taken);
        self.came_back |= taken;
        // What is on its way is given up; so is the connection.
        self.broker.disconnected(self.now, slot, &mut self.wires);
        let bye = Request { ack: 0, ..self.request(at, Op::Bye, true) };
        self.broker.request(self.now, slot, bye, &[], &mut self.wires).expect("a good-bye");
        self.wires.unread.remove(&slot);
        self.workers[at].asked = None;
        self.workers[at].slot = self.session(process, 0);
    }

    fn die(&mut self, at: usize) {
        let Worker { slot, other, process, .. } = self.workers[at];
        self.lose(slot);
        self.broker.died(process, &mut self.wires);
        self.wires.unread.remove(&slot);
        self.wires.unread.remove(&other);
        self.workers[at] = self.newcomer();
    }

    fn has_taken(&self, slot: Slot) -> bool {
        self.broker.sessions.get(&slot).is_some_and(|session| session.taken.is_some())
    }

    /// A message that was taken for good and not read may be lost for want of room, or it goes back.
    fn lose(&mut self, slot: Slot) {
        let taken = self.has_taken(slot);
        self.lost_allowed += usize::from(taken && self.broker.room() == 0);
        self.came_back |= taken;
    }

    fn recall(&mut self) {
        self.now += GRACE;
        self.broker.tick(self.now, &mut self.wires);
        for (slot, _) in self.broker.overdue() {
            self.came_back |= self.has_taken(slot);
            self.broker.disconnected(self.now, slot, &mut self.wires);
            self.broker.recall(slot);
            if let Some(stopped) = self.workers.iter_mut().find(|worker| worker.slot == slot) {
                stopped.cut = true;
            }
        }
        self.broker.pump(&mut self.wires);
    }

    fn check(&mut self) {
        let broker = &self.broker;
        let all = broker.ready() + broker.deliveries.in_flight();
        assert!(all <= self.most, "{all} messages");
        // The sessions of those who were cut off may end.
        let cut = self.workers.iter().filter(|worker| worker.cut && self.has_taken(worker.slot));
        self.most = all.max(CAPACITY) + cut.count();
        assert!(broker.getters.is_empty() || broker.ready() == 0, "a getter waits beside a message");
        assert!(broker.getters.is_empty() || !broker.has_ended(), "a getter waits for what cannot come");
        assert_eq!(broker.puts - broker.gets, all as u64, "puts, gets and what there is");
        // Nobody holds what another one holds, as far as leases allow.
        let mut seen = BTreeSet::new();
        for worker in &self.workers {
            let mut own = worker.holds.iter().filter(|(_, (_, until))| self.now < *until);
            assert!(own.all(|(number, _)| seen.insert(*number)), "held by two");
        }
        assert!(seen.len() <= broker.deliveries.in_flight(), "what is held is not in flight");
    }

    /// Lets everything come to its end, and counts.
    fn settle_all(mut self) {
        for at in 0..WORKERS {
            self.die(at);
        }
        self.wires.crowded = false;
        self.broker.close(&mut self.wires);
        while self.broker.ready() > 0 {
            let before = self.done.len();
            self.step(0, Step::Get { waits: false, for_good: true });
            self.step(0, Step::Read);
            assert!(self.done.len() > before || self.broker.ready() == 0, "a message that nobody gets");
        }
        assert_eq!(
            (self.broker.moving, self.broker.deliveries.bytes(), self.broker.store.bytes()),
            (0, 0, 0)
        );
        assert_eq!(self.broker.deliveries.unread, 0);
        assert!(self.broker.joiners.is_empty());
        let buried = &self.wires.buried;
        let mut lost = 0;
        for number in 0..self.put {
            let times = self.done.get(&number).copied().unwrap_or(0)
                + u32::try_from(buried.iter().filter(|dead| **dead == number).count()).expect("few");
            assert!(times <= 1, "{number} was done {times} times");
            lost += usize::from(times == 0);
        }
        assert!(lost <= self.lost_allowed, "{lost} messages are lost");
    }
}

fn token(process: u64, number: u64) -> [u8; 16] {
    (u128::from(process) << 64 | u128::from(number)).to_be_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_delivery_is_lost_or_doubled(steps in steps(), lease in any::<bool>(), limit in any::<bool>()) {
        let mut world = World::new(lease, limit);
        for (at, step) in steps {
            world.step(at, step);
        }
        world.settle_all();
    }
}
