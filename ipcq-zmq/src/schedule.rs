//! Generated schedules on the broker's state machine: clients that wait or not, lose connections and replies, repeat
//! requests, die, and let time pass. A model that knows only what clients were told checks the rest.

mod cases;
mod deliveries;
mod jobs;
mod losses;
mod steps;

use std::collections::{HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::broker::{Body, Broker, Settings, Sink, Slot};
use crate::packed;
use crate::store::Taken;
use crate::wire::{Header, NO_WAIT, ON_READ, Op, PIECE, Request, SOME, Status, UPLOADED};
use steps::{Step, steps};

const CLIENTS: usize = 4;
const CAPACITY: usize = 5;

/// Replies that have not been read, and the queue of dead letters.
#[derive(Debug, Default)]
struct Wires {
    unread: HashMap<Slot, Vec<(Header, Vec<u64>)>>,
    buried: Vec<u64>,
    /// Whether no more is buried.
    crowded: bool,
    /// The sessions of processes that are dead.
    gone: HashSet<Slot>,
}

impl Wires {
    fn replies(&mut self, slot: Slot) -> &mut Vec<(Header, Vec<u64>)> {
        self.unread.entry(slot).or_default()
    }
}

impl Sink for Wires {
    fn reply(&mut self, to: Slot, header: Header, body: Body<'_>) {
        let numbers = match body {
            // A long message, or many.
            Body::Contents([content]) if header.fields[1] > 0 => vec![number(content)],
            Body::Contents([content]) => packed::iter(content).map(number).collect(),
            Body::Contents(_) | Body::Nothing => Vec::new(),
        };
        self.replies(to).push((header, numbers));
    }

    fn send(&mut self, to: Slot, _now: u64) -> bool {
        !self.gone.contains(&to)
    }

    fn bury(&mut self, message: Taken) -> Result<(), Taken> {
        if self.crowded {
            return Err(message);
        }
        self.buried.extend(packed::iter(message.first_frame().1).map(number));
        Ok(())
    }
}

fn number(content: &[u8]) -> u64 {
    content.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[derive(Debug, Clone)]
struct Asked {
    request: Request,
    content: Vec<u8>,
    numbers: Vec<u64>,
}

#[derive(Debug)]
struct Client {
    slot: Slot,
    token: [u8; 16],
    process: u64,
    id: u64,
    acknowledged: u64,
    asked: Option<Asked>,
    /// Its connection has been ended while it was stopped; it can still read what came before.
    cut: bool,
}

/// What the clients know.
#[derive(Debug)]
struct World {
    broker: Broker,
    wires: Wires,
    clients: Vec<Client>,
    now: u64,
    next_process: u64,
    next_number: u64,
    /// Processes that are dead, which the broker does not know yet.
    unnoticed: Vec<u64>,
    /// Numbers that were put for certain, and those whose putter never learned of it.
    put: HashSet<u64>,
    perhaps: HashSet<u64>,
    got: Vec<u64>,
    /// Which process put a number, and the last number that a process got of another one.
    putter: HashMap<u64, u64>,
    last: HashMap<(u64, u64), u64>,
    /// Nobody who lives has lost its session, which puts what it held back out of order.
    in_order: bool,
    /// How many messages may have gone with a dead getter that had not acknowledged them.
    lost_allowed: usize,
    /// How many messages the queue may hold.
    most: usize,
}

impl World {
    fn new() -> Self {
        let settings = Settings {
            capacity: CAPACITY,
            max_message: 4 * PIECE,
            auto_close: false,
            incarnation: 1,
            codec: "bytes".to_owned(),
            name: "q".to_owned(),
            acknowledged: false,
            max_redeliveries: None,
            lease: None,
        };
        let mut world = Self {
            broker: Broker::new(settings),
            wires: Wires::default(),
            clients: Vec::new(),
            now: 1,
            next_process: 1,
            next_number: 1,
            unnoticed: Vec::new(),
            put: HashSet::new(),
            perhaps: HashSet::new(),
            got: Vec::new(),
            putter: HashMap::new(),
            last: HashMap::new(),
            in_order: true,
            lost_allowed: 0,
            most: CAPACITY,
        };
        for _ in 0..CLIENTS {
            let client = world.newcomer();
            world.clients.push(client);
        }
        world
    }

    fn newcomer(&mut self) -> Client {
        let process = self.next_process;
        self.next_process += 1;
        let token = u128::from(process).to_be_bytes();
        let (slot, resumed) = self.broker.hello(token, process).expect("a token of its own");
        assert!(!resumed);
        Client { slot, token, process, id: 0, acknowledged: 0, asked: None, cut: false }
    }

    fn step(&mut self, at: usize, step: Step) {
        match step {
            Step::Put { messages, wait, long, some } if self.clients[at].asked.is_none() => {
                self.ask_put(at, messages, wait, long, some);
            }
            Step::Get { messages, wait, on_read } if self.clients[at].asked.is_none() => {
                let mut request = self.request(at, Op::Get, wait);
                request.flags |= if on_read { ON_READ } else { 0 };
                (request.a, request.b, request.c) = (u64::from(messages) + 1, u64::MAX, u64::MAX);
                self.ask(at, Asked { request, content: Vec::new(), numbers: Vec::new() });
            }
            Step::Read => self.read(at),
            Step::Reconnect => self.reconnect(at),
            Step::Abandon => self.leave(at, false),
            Step::Die => self.leave(at, true),
            Step::Vanish => self.vanish(at),
            Step::Notice => self.notice(),
            Step::Recall => self.recall(),
            Step::Close => self.broker.close(&mut self.wires),
            Step::Pass(milliseconds) => {
                self.now += u64::from(milliseconds) * 1_000_000;
                self.broker.tick(self.now, &mut self.wires);
            }
            Step::Put { .. } | Step::Get { .. } => {}
        }
        self.check();
    }

    fn request(&mut self, at: usize, op: Op, wait: Option<u8>) -> Request {
        let client = &mut self.clients[at];
        client.id += 1;
        let mut request = Request::new(op, client.id);
        request.ack = client.acknowledged;
        match wait {
            None => request.flags = NO_WAIT,
            Some(19) => {}
            Some(wait) => request.expires = self.now + u64::from(wait) * 300_000_000,
        }
        request
    }

    fn ask_put(&mut self, at: usize, messages: u8, wait: Option<u8>, long: bool, some: bool) {
        if long {
            let number = self.next_number.to_be_bytes();
            let mut piece = vec![0; PIECE];
            piece[..8].copy_from_slice(&number);
            for offset in [0, PIECE] {
                let mut part = self.request(at, Op::Part, Some(19));
                part.a = offset as u64;
                let slot = self.clients[at].slot;
                self.broker
                    .request(self.now, slot, part, &piece, &mut self.wires)
                    .expect("a piece in its place");
                let reply = self.wires.replies(slot).pop().expect("a reply at once");
                assert_eq!(reply.0.code, Status::Ok as u8);
                self.clients[at].acknowledged = part.id;
            }
        }
        let count = if long { 1 } else { u64::from(messages) };
        let numbers: Vec<u64> = (self.next_number..self.next_number + count).collect();
        self.next_number += count;
        let process = self.clients[at].process;
        self.putter.extend(numbers.iter().map(|&number| (number, process)));
        let mut request = self.request(at, Op::Put, wait);
        let mut content = Vec::new();
        if long {
            request.flags |= UPLOADED;
        } else {
            for number in &numbers {
                packed::push(&mut content, &[&number.to_be_bytes()]).expect("memory");
            }
        }
        if some {
            request.flags |= SOME;
        }
        self.ask(at, Asked { request, content, numbers });
    }

    fn ask(&mut self, at: usize, asked: Asked) {
        let slot = self.clients[at].slot;
        self.clients[at].asked = Some(asked.clone());
        let done = self.broker.request(self.now, slot, asked.request, &asked.content, &mut self.wires);
        done.expect("a request that keeps the rules");
    }

    fn read(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(asked) = client.asked.clone() else { return };
        let replies = self.wires.replies(client.slot);
        if replies.is_empty() {
            return;
        }
        let (header, numbers) = replies.remove(0);
        assert_eq!(header.id, asked.request.id);
        client.acknowledged = header.id;
        if client.cut {
            assert_eq!(header.code, Status::Msg as u8);
            return self.ask_again(at, asked);
        }
        client.asked = None;
        match Status::parse(header.code) {
            Some(Status::Msg) => {
                assert!(!numbers.is_empty() && numbers.len() as u64 == header.fields[0]);
                self.note(at, &numbers);
                if header.flags & ON_READ != 0 {
                    return;
                }
                let mut request = self.request(at, Op::Ack, Some(19));
                request.ack = header.id;
                let slot = self.clients[at].slot;
                self.broker.request(self.now, slot, request, &[], &mut self.wires).expect("an ACK");
            }
            Some(Status::Ok | Status::Full | Status::Timeout | Status::Closed) => {
                let count = usize::try_from(header.fields[0]).expect("a small number");
                if header.code == Status::Ok as u8 {
                    let some = asked.request.flags & SOME != 0 && count > 0;
                    assert!(count == asked.numbers.len() || some, "{count} of {:?}", asked.numbers);
                }
                self.put.extend(&asked.numbers[..count]);
            }
            status => assert_eq!(status, Some(Status::Empty)),
        }
    }

    /// A client has got these numbers.
    fn note(&mut self, at: usize, numbers: &[u64]) {
        self.got.extend(numbers);
        for number in numbers {
            let pair = (self.clients[at].process, self.putter[number]);
            let before = self.last.insert(pair, *number);
            assert!(!self.in_order || before < Some(*number), "{number} came after {before:?}");
        }
    }

    /// What holds at every instant.
    fn check(&mut self) {
        let broker = &self.broker;
        let len = broker.store.len();
        assert!(len <= self.most, "{len} messages");
        assert!(broker.putters.is_empty() || len >= CAPACITY, "a putter waits beside room");
        assert!(broker.getters.is_empty() || broker.store.len() == 0, "a getter waits beside a message");
        let unique: HashSet<&u64> = self.got.iter().collect();
        assert_eq!(unique.len(), self.got.len(), "a message was got twice: {:?}", self.got);
        assert!(broker.expiries.len() <= broker.putters.len() + broker.getters.len());
        // What sessions keep whose clients live and have left goes back, whether there is room or not.
        let is_left = |slot: &Slot| {
            !self.wires.gone.contains(slot) && self.clients.iter().all(|client| client.slot != *slot)
        };
        let left = broker.sessions.iter().filter(|(slot, _)| is_left(slot));
        let kept: usize =
            left.filter_map(|(_, session)| session.taken.as_ref()).map(|t| t.messages.count()).sum();
        self.most = len.max(CAPACITY) + kept;
    }

    /// Lets everything come to its end, and counts.
    fn settle(mut self) {
        self.notice();
        for at in 0..CLIENTS {
            self.reconnect(at);
            self.read(at);
        }
        self.now += 30_000_000_000;
        self.broker.tick(self.now, &mut self.wires);
        self.broker.close(&mut self.wires);
        for at in 0..CLIENTS {
            self.read(at);
            assert!(self.clients[at].asked.is_none(), "a call on a closed queue never ended");
        }
        while self.broker.store.len() > 0 {
            self.step(0, Step::Get { messages: 3, wait: None, on_read: true });
            self.step(0, Step::Read);
        }
        self.note_read(&(0..CLIENTS).map(|at| self.clients[at].slot).collect::<Vec<_>>());
        assert_eq!(self.broker.moving, 0, "bytes that belong to nobody are counted");
        assert_eq!((self.broker.store.bytes(), self.broker.puts - self.broker.gets), (0, 0));
        let got: HashSet<u64> = self.got.iter().copied().collect();
        let lost = self.put.difference(&got).count();
        assert!(lost <= self.lost_allowed, "{lost} messages are lost");
        assert!(got.iter().all(|number| self.put.contains(number) || self.perhaps.contains(number)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled(steps in steps(CLIENTS), abandon in any::<bool>()) {
        let mut world = World::new();
        for (at, step) in steps {
            // Where nobody who lives loses its session, the order is kept, too.
            world.step(at, if matches!(step, Step::Abandon) && !abandon { Step::Die } else { step });
        }
        world.settle();
    }

    /// Without waiting and deaths, one client after the other: the queue is a plain one.
    #[test]
    fn calls_that_do_not_wait_agree_with_a_plain_queue(calls in vec((any::<bool>(), 0..CLIENTS, 0..8_u8), 1..100)) {
        let mut world = World::new();
        let mut model = std::collections::VecDeque::new();
        for (puts, at, messages) in calls {
            if puts {
                let first = world.next_number;
                world.step(at, Step::Put { messages, wait: None, long: false, some: false });
                let fit = u64::from(messages).min((CAPACITY - model.len()) as u64);
                model.extend(first..first + fit);
            } else {
                world.step(at, Step::Get { messages, wait: None, on_read: false });
                let before = world.got.len();
                // One that finds nothing may be held for a moment.
                world.step(at, Step::Pass(1));
                world.step(at, Step::Read);
                prop_assert!(world.clients[at].asked.is_none(), "a call that does not wait was not answered");
                let count = model.len().min(usize::from(messages) + 1);
                let expected: Vec<u64> = model.drain(..count).collect();
                prop_assert_eq!(&world.got[before..], expected);
            }
            world.step(at, Step::Read);
            prop_assert_eq!(world.broker.store.len(), model.len());
        }
    }
}
