//! The broker as a state machine: requests and times go in, replies come out. It does no input or output, so that
//! every schedule of lost connections, retries and deaths can be tested.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::deliveries::Deliveries;
use crate::numbers::NumberMap;
use crate::remote::is_remote;
use crate::session::{Parked, Session};
use crate::slack::Slack;
use crate::store::{Store, Taken};
use crate::tally::Tally;
use crate::wire::{
    ACKNOWLEDGED, AUTO_CLOSE, Header, NO_WAIT, Op, PIECE, PRODUCER, REMOVED, RESUMED, Request, Status,
};

/// How long a session without a connection is kept for its client to come back, in nanoseconds.
pub(crate) const KEEP: u64 = 5_000_000_000;
/// How many sessions without a connection are kept at most; beyond that the oldest ends early.
const KEPT_MAX: usize = 1024;
/// The most bytes that a queue holds, messages that are on their way in or out included.
const CONTENT_MAX: usize = 64 << 30;

/// Names a session within a broker.
pub(crate) type Slot = u64;
/// Names a process within a broker.
pub(crate) type ProcessId = u64;

/// What was fixed when the queue was made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) capacity: usize,
    pub(crate) max_message: usize,
    pub(crate) auto_close: bool,
    pub(crate) incarnation: u128,
    pub(crate) codec: String,
    pub(crate) name: String,
    pub(crate) acknowledged: bool,
    /// After how many redeliveries a message goes to the dead letters.
    pub(crate) max_redeliveries: Option<u32>,
    /// How long a delivery may be kept, in nanoseconds.
    pub(crate) lease: Option<u64>,
}

/// A reply on its way to a session's connection.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    Nothing,
    /// The contents of frames.
    Contents(&'a [&'a [u8]]),
}

/// Where replies go.
pub(crate) trait Sink {
    fn reply(&mut self, to: Slot, header: Header, body: Body<'_>);

    /// Sends what waits for a session, and returns whether its connection is still there. It is until the process at its
    /// other end is dead, which may not have been noticed yet.
    fn send(&mut self, to: Slot, now: u64) -> bool;

    /// Puts a message into the queue of dead letters, or hands it back if that does not take it.
    fn bury(&mut self, message: Taken) -> Result<(), Taken>;
}

/// What a session may not do: its connection is ended with this word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

/// One queue and everyone who uses it.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) closed: bool,
    pub(crate) removed: bool,
    pub(crate) puts: u64,
    /// Messages that left for good.
    pub(crate) gets: u64,
    pub(crate) deliveries: Deliveries,
    pub(crate) tally: Tally,
    /// Bytes of messages that are on their way in or out.
    pub(crate) moving: usize,
    pub(crate) slack: Slack,
    pub(crate) sessions: NumberMap<Session>,
    tokens: HashMap<[u8; 16], Slot>,
    next_slot: Slot,
    /// Those who wait, in the order in which they began to.
    pub(crate) putters: VecDeque<Slot>,
    pub(crate) getters: VecDeque<Slot>,
    pub(crate) joiners: VecDeque<Slot>,
    pub(crate) expiries: BTreeSet<(u64, Slot)>,
    /// The time, as far as the broker has been told.
    pub(crate) now: u64,
    /// When to look for messages that can be called back.
    pub(crate) recall_at: Option<u64>,
    /// Sessions without a connection, the longest gone first.
    kept: VecDeque<(u64, Slot)>,
    producers: HashSet<ProcessId>,
    had_producer: bool,
}

impl Broker {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            store: Store::default(),
            closed: false,
            removed: false,
            puts: 0,
            gets: 0,
            deliveries: Deliveries::default(),
            tally: Tally::default(),
            moving: 0,
            slack: Slack::default(),
            sessions: NumberMap::default(),
            tokens: HashMap::new(),
            next_slot: 1,
            putters: VecDeque::new(),
            getters: VecDeque::new(),
            joiners: VecDeque::new(),
            expiries: BTreeSet::new(),
            now: 0,
            recall_at: None,
            kept: VecDeque::new(),
            producers: HashSet::new(),
            had_producer: false,
        }
    }

    /// Whether a message of `len` bytes more would exceed what a queue holds.
    pub(crate) const fn is_overfull(&self, len: usize) -> bool {
        self.bytes() + len > CONTENT_MAX
    }

    /// How many bytes all messages have.
    pub(crate) const fn bytes(&self) -> usize {
        self.store.bytes() + self.deliveries.bytes() + self.moving
    }

    /// Takes into account that buffers of so many bytes were given up beside the messages.
    pub(crate) fn note_freed(&mut self, bytes: usize) {
        self.slack.note(self.bytes() + bytes);
    }

    /// Opens the session `token` of `process`, or goes on with it.
    pub(crate) fn hello(&mut self, token: [u8; 16], process: ProcessId) -> Result<(Slot, bool), Violation> {
        if let Some(&slot) = self.tokens.get(&token) {
            let owner = self.sessions.get(&slot).map(|session| session.process);
            if owner != Some(process) {
                return Err(Violation("the session belongs to another process"));
            }
            self.unpark(slot);
            self.kept.retain(|(_, kept)| *kept != slot);
            return Ok((slot, true));
        }
        let slot = self.next_slot;
        self.next_slot += 1;
        self.tokens.insert(token, slot);
        self.sessions.insert(slot, Session::new(token, process));
        Ok((slot, false))
    }

    /// What a WELCOME says.
    pub(crate) fn welcome(&self, id: u64, resumed: bool, process: ProcessId) -> Header {
        let bit = |on: bool, bit: u64| if on { bit } else { 0 };
        let state = bit(self.settings.auto_close, AUTO_CLOSE)
            | bit(self.removed, REMOVED)
            | bit(self.producers.contains(&process), PRODUCER)
            | bit(self.settings.acknowledged, ACKNOWLEDGED);
        let (capacity, longest) = (self.settings.capacity as u64, self.settings.max_message as u64);
        let last = 0;
        Header {
            code: Status::Welcome as u8,
            flags: if resumed { RESUMED } else { 0 },
            id,
            fields: [capacity, longest, state, PIECE as u64, last],
        }
    }

    /// Does what `request` asks for; `content` is what came after its header. The reply may come later.
    pub(crate) fn request(
        &mut self,
        now: u64,
        slot: Slot,
        request: Request,
        content: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Violation> {
        self.now = now;
        let Some(session) = self.sessions.get(&slot) else {
            return Err(Violation("there is no such session"));
        };
        if session.parked.is_some() {
            return Err(Violation("the request before this one has not been answered"));
        }
        self.note_arrival(slot, request.ack);
        let id = request.id;
        match request.op {
            Op::Put | Op::Get | Op::Acknowledge | Op::GiveBack | Op::Join => {
                return self.exchange(now, slot, request, content, sink);
            }
            Op::Part => self.part(slot, &request, content, sink),
            Op::Fetch => self.fetch(slot, &request, sink),
            Op::Ack => {}
            Op::Bye => {
                self.end_for_good(slot, sink);
                self.pump(sink);
            }
            Op::Confirm => {
                let stands = self.is_own(slot, request.a);
                let status = if stands { Status::Ok } else { Status::Empty };
                Self::say(sink, slot, status, id, [0; 5]);
            }
            Op::Stat => self.stat(slot, id, sink),
            Op::Close | Op::Remove | Op::Register | Op::Unregister => self.govern(slot, &request, sink),
            Op::Hello | Op::Expect => return Err(Violation("the session is open already")),
        }
        Ok(())
    }

    fn govern(&mut self, slot: Slot, request: &Request, sink: &mut impl Sink) {
        let process = self.sessions.get(&slot).map_or(0, |session| session.process);
        let mut status = if self.removed { Status::Gone } else { Status::Ok };
        match request.op {
            Op::Close => self.close(sink),
            Op::Remove => self.remove(sink),
            Op::Register => self.register(process),
            Op::Unregister => self.unregister(process, sink),
            _ => status = Status::Error,
        }
        Self::say(sink, slot, status, request.id, [0; 5]);
    }

    /// How many wait in this line; some stand for several.
    pub(crate) fn waiting(&self, line: &VecDeque<Slot>) -> u64 {
        let parked = line.iter().filter_map(|slot| self.sessions.get(slot)?.parked.as_ref());
        parked.map(|parked| parked.callers() as u64).sum()
    }

    /// Answers without a body.
    pub(crate) fn say(sink: &mut impl Sink, to: Slot, status: Status, id: u64, fields: [u64; 5]) {
        sink.reply(to, Header { code: status as u8, flags: 0, id, fields }, Body::Nothing);
    }

    /// Refuses puts from now on; those who wait are told, getters unless something in flight may come back.
    pub(crate) fn close(&mut self, sink: &mut impl Sink) {
        self.closed = true;
        let getters = if self.has_ended() { std::mem::take(&mut self.getters) } else { VecDeque::new() };
        for slot in std::mem::take(&mut self.putters).into_iter().chain(getters) {
            if let Some(parked) = self.take_parked(slot) {
                self.finish(slot, &parked, Status::Closed, sink);
            }
        }
    }

    /// Ends the queue: what is in it is forgotten, and those who wait are told.
    pub(crate) fn remove(&mut self, sink: &mut impl Sink) {
        self.removed = true;
        self.store.clear();
        self.deliveries.clear();
        self.close(sink);
        self.end_joins(sink);
    }

    /// Counts `process` as a producer until it leaves or dies.
    pub(crate) fn register(&mut self, process: ProcessId) {
        self.producers.insert(process);
        self.had_producer = true;
    }

    fn unregister(&mut self, process: ProcessId, sink: &mut impl Sink) {
        let left = self.producers.remove(&process);
        if left && self.producers.is_empty() && self.had_producer && self.settings.auto_close {
            self.close(sink);
        }
    }

    /// The connection of a session is lost: what it waited for has no effect, and it may come back for the rest.
    pub(crate) fn disconnected(&mut self, now: u64, slot: Slot, sink: &mut impl Sink) {
        if !self.sessions.contains_key(&slot) {
            return;
        }
        self.unpark(slot);
        self.kept.push_back((now.saturating_add(KEEP), slot));
        if self.kept.len() > KEPT_MAX
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.end_for_good(oldest, sink);
            self.pump(sink);
        }
    }

    /// A process has died: its sessions end, and what they had not acknowledged goes back where it can.
    pub(crate) fn died(&mut self, process: ProcessId, sink: &mut impl Sink) {
        let mut slots: Vec<Slot> =
            self.sessions.iter().filter(|(_, s)| s.process == process).map(|(slot, _)| *slot).collect();
        // Who was sent messages last gives them back first, so that the others can, too.
        let left =
            |slot: &Slot| self.sessions.get(slot).and_then(|s| s.taken.as_ref()).map(|taken| taken.left);
        let left_something = |slot: &Slot| self.sessions.get(slot).is_some_and(Session::leaves_something);
        self.tally.recoveries += u64::from(slots.iter().any(left_something));
        slots.sort_by_key(|slot| std::cmp::Reverse(left(slot)));
        for slot in slots {
            self.end(slot, true, sink);
        }
        self.end_holder(process, sink);
        self.kept.retain(|(_, slot)| self.sessions.contains_key(slot));
        self.pump(sink);
        self.unregister(process, sink);
    }

    /// Ends a session. What it had not acknowledged goes back to the head. Of a process that lives, out of order if need be,
    /// and beyond the capacity until as many messages have left: it would be lost, and nobody has died.
    fn end(&mut self, slot: Slot, is_dead: bool, sink: &mut impl Sink) {
        self.unpark(slot);
        self.end_delivery(slot, sink);
        let Some(mut session) = self.sessions.remove(&slot) else { return };
        self.tokens.remove(&session.token);
        self.moving -= session.upload.len();
        let Some(taken) = session.taken.take() else { return };
        self.moving -= taken.messages.bytes();
        if !self.removed && (!is_dead || self.is_last(&taken)) {
            let room = if is_dead { self.room() } else { usize::MAX };
            self.give_back(taken, 1, room);
        }
    }

    /// Ends a session whose process lives, as far as can be known. Of one that came over TCP nothing else is known: it
    /// has died with its last session.
    fn end_for_good(&mut self, slot: Slot, sink: &mut impl Sink) {
        let process = self.sessions.get(&slot).map(|session| session.process);
        self.end(slot, false, sink);
        let is_over = |id: &ProcessId| is_remote(*id) && !self.sessions.values().any(|s| s.process == *id);
        if let Some(process) = process.filter(is_over) {
            self.died(process, sink);
        }
    }

    /// Takes a session's request out of those that wait.
    fn unpark(&mut self, slot: Slot) {
        if let Some(parked) = self.take_parked(slot) {
            self.leave_lines(slot);
            if let Some(session) = self.sessions.get_mut(&slot) {
                session.interrupted = (parked.request().id, parked.progress());
            }
        }
    }

    fn leave_lines(&mut self, slot: Slot) {
        for line in [&mut self.putters, &mut self.getters, &mut self.joiners] {
            line.retain(|waiting| *waiting != slot);
        }
    }

    /// A session's request that waits, which it does no longer; its place in the order is the caller's to clear.
    pub(crate) fn take_parked(&mut self, slot: Slot) -> Option<Parked> {
        let parked = self.sessions.get_mut(&slot)?.parked.take()?;
        self.expiries.remove(&(parked.request().expires, slot));
        self.moving -= parked.bytes();
        Some(parked)
    }

    /// Ends what has waited long enough at `now`.
    pub(crate) fn tick(&mut self, now: u64, sink: &mut impl Sink) {
        self.now = now;
        while let Some(&(expires, slot)) = self.expiries.first()
            && expires <= now
        {
            let Some(parked) = self.take_parked(slot) else {
                self.expiries.remove(&(expires, slot));
                continue;
            };
            self.leave_lines(slot);
            // One that does not wait was held for a moment, in which nothing came.
            let held = parked.request().flags & NO_WAIT != 0;
            self.finish(slot, &parked, if held { Status::Empty } else { Status::Timeout }, sink);
        }
        let mut ended = self.end_leases(sink);
        while let Some(&(expires, slot)) = self.kept.front()
            && expires <= now
        {
            self.kept.pop_front();
            self.end_for_good(slot, sink);
            ended = true;
        }
        if ended {
            self.pump(sink);
        }
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        let expiry = self.expiries.first().map(|(expires, _)| *expires);
        let kept = self.kept.front().map(|(expires, _)| *expires);
        let lease = self.deliveries.next_lease();
        expiry.into_iter().chain(kept).chain(self.recall_at).chain(lease).min()
    }
}
