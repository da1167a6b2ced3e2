//! How a broker puts and gets, for those who wait and those who do not.

use crate::broker::{Body, Broker, Sink, Slot, Violation};
use crate::deliveries::Letter;
use crate::packed;
use crate::recall::GRACE;
use crate::remote::is_remote;
use crate::session::{InFlight, Parked, Session};
use crate::store::{NotTaken, Taken, Wanted};
use crate::wire::{DELIVERY, Header, NO_WAIT, ON_READ, Op, Request, SOME, Status, UPLOADED};

/// How long a get that does not wait is held when it finds nothing, in nanoseconds: less than it takes to ask again.
const HOLD: u64 = 20_000;
/// After how many in a row that found nothing they are not held any more.
const MISSES_MAX: u8 = 8;
/// How many bytes a client may take without a word; what is longer need not be kept until its next request.
const SHORT: usize = 8 << 10;

impl Broker {
    /// Answers what must happen once: what is repeated gets the answer that it got before.
    pub(crate) fn exchange(
        &mut self,
        now: u64,
        slot: Slot,
        request: Request,
        content: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Violation> {
        let last = self.sessions.get(&slot).and_then(|session| session.last);
        match last {
            Some(last) if last.id == request.id && self.repeat(slot, last, now, sink) => return Ok(()),
            Some(last) if last.id > request.id => return Err(Violation("the request is an old one")),
            _ => {}
        }
        if self.sessions.get(&slot).is_some_and(Session::is_behind) {
            return Err(Violation("what the session got has not been acknowledged"));
        }
        if is_of_deliveries(&request) && !self.settings.acknowledged {
            return Err(Violation("the queue was not made for acknowledged delivery"));
        }
        let parked = match request.op {
            Op::Put => self.prepare_put(slot, request, content)?,
            Op::Get => Self::prepare_get(request),
            _ => self.prepare_join(slot, request),
        };
        if request.expires != 0 && request.expires <= now {
            self.finish(slot, &parked, Status::Timeout, sink);
        } else if matches!(request.op, Op::Acknowledge | Op::GiveBack) {
            let status = self.settle(slot, &request, sink);
            self.finish(slot, &parked, status, sink);
        } else {
            self.attempt(slot, parked, content, sink);
            self.count_wait(slot);
        }
        self.pump(sink);
        Ok(())
    }

    /// Answers once more; returns `false` if there is nothing to answer with, because what was sent has gone back.
    fn repeat(&mut self, slot: Slot, last: Header, now: u64, sink: &mut impl Sink) -> bool {
        if last.flags & DELIVERY != 0 {
            return self.send_again(slot, last, sink);
        }
        match self.sessions.get_mut(&slot).and_then(|session| session.taken.as_mut()) {
            Some(taken) if taken.id == last.id => {
                taken.recall_from = now.saturating_add(GRACE);
                Self::send_taken(slot, last, taken, sink);
            }
            _ => sink.reply(slot, last, Body::Nothing),
        }
        true
    }

    /// The put that `request` asks for; its messages are in `content`, and its own only once it waits.
    fn prepare_put(&self, slot: Slot, request: Request, content: &[u8]) -> Result<Parked, Violation> {
        let max = self.settings.max_message;
        let uploaded = request.flags & UPLOADED != 0;
        if uploaded {
            let len = self.sessions.get(&slot).map_or(0, |session| session.upload.len());
            let too_long = (len > max).then_some(len);
            let total = usize::from(too_long.is_none());
            let packed = Vec::new();
            return Ok(Parked::Put { request, packed, at: 0, put: 0, total, too_long });
        }
        let Some((count, _)) = packed::count(content) else {
            return Err(Violation("the messages of a put are not packed as they should be"));
        };
        let too_long = packed::iter(content).enumerate().find(|(_, message)| message.len() > max);
        let total = too_long.map_or(count, |(index, _)| index);
        let too_long = too_long.map(|(_, message)| message.len());
        // A put that was interrupted goes on where it was.
        let done =
            usize::try_from(self.progress_of(slot, request.id).unwrap_or(0)).unwrap_or(total).min(total);
        let (at, put, _) = packed::span(content, done, usize::MAX, usize::MAX);
        Ok(Parked::Put { request, packed: Vec::new(), at, put, total, too_long })
    }

    /// How far the request `id` of a session was when its connection was lost.
    pub(crate) fn progress_of(&self, slot: Slot, id: u64) -> Option<u64> {
        let (interrupted, progress) = self.sessions.get(&slot)?.interrupted;
        (interrupted == id).then_some(progress)
    }

    fn prepare_get(request: Request) -> Parked {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let wanted = Wanted { messages: size(request.a), bytes: size(request.b), room: size(request.c) };
        Parked::Get { request, wanted }
    }

    /// Does what it can of a request whose messages are `content`; what waits is parked behind the others.
    fn attempt(&mut self, slot: Slot, mut parked: Parked, content: &[u8], sink: &mut impl Sink) {
        let status = match &mut parked {
            Parked::Put { .. } => self.step_put(slot, &mut parked, content),
            Parked::Get { request, wanted } => {
                let (request, wanted) = (*request, *wanted);
                match self.step_get(slot, request, wanted, sink) {
                    Step::Sent => return,
                    Step::Done(status) => status,
                }
            }
            Parked::Join { end, .. } => self.join_status(*end),
        };
        if status == Status::Empty && self.holds(slot, &mut parked) {
            return self.park(slot, parked);
        }
        match status {
            Status::Full | Status::Empty | Status::Unfinished if parked.request().flags & NO_WAIT == 0 => {
                if parked.keep(content).is_ok() {
                    self.park(slot, parked);
                } else {
                    self.finish(slot, &parked, Status::NoRoom, sink);
                }
            }
            status => self.finish(slot, &parked, status, sink),
        }
    }

    /// Whether a get that does not wait, and found nothing, is held for a moment: who asks time and again, and was given
    /// something not long ago, gets the next message when it comes, and not when it has asked anew.
    fn holds(&mut self, slot: Slot, parked: &mut Parked) -> bool {
        let Some(session) = self.sessions.get_mut(&slot) else { return false };
        let Parked::Get { request, .. } = parked else { return false };
        if request.flags & NO_WAIT == 0 || session.misses >= MISSES_MAX {
            return false;
        }
        session.misses += 1;
        let until = self.now.saturating_add(HOLD);
        request.expires = if request.expires == 0 { until } else { request.expires.min(until) };
        true
    }

    fn park(&mut self, slot: Slot, parked: Parked) {
        let Some(session) = self.sessions.get_mut(&slot) else { return };
        let expires = parked.request().expires;
        let line = match parked {
            Parked::Put { .. } => &mut self.putters,
            Parked::Get { .. } => &mut self.getters,
            Parked::Join { .. } => &mut self.joiners,
        };
        line.push_back(slot);
        self.moving += parked.bytes();
        session.parked = Some(parked);
        if expires != 0 {
            self.expiries.insert((expires, slot));
        }
        self.watch_getters();
    }

    /// Puts as many messages as there is room for; `Full` when some are left.
    fn step_put(&mut self, slot: Slot, parked: &mut Parked, content: &[u8]) -> Status {
        let Parked::Put { request, at, put, total, too_long, .. } = parked else { return Status::Error };
        if self.closed {
            return Status::Closed;
        }
        let now = self.room().min(*total - *put);
        if now > 0 {
            let stored = if request.flags & UPLOADED == 0 {
                let rest = content.get(*at..).unwrap_or_default();
                let all = now == *total - *put && too_long.is_none();
                // All of it has been counted before.
                let (end, count) = if all {
                    (rest.len(), now)
                } else {
                    let (end, count, _) = packed::span(rest, now, usize::MAX, usize::MAX);
                    (end, count)
                };
                *at += end;
                let overfull = self.is_overfull(end);
                let stored = !overfull
                    && count == now
                    && self.store.append(rest.get(..end).unwrap_or_default(), count).is_ok();
                self.tally.bytes_put += if stored { (end - count * packed::PREFIX) as u64 } else { 0 };
                stored
            } else {
                let session = self.sessions.get_mut(&slot);
                let message = session.map(|session| std::mem::take(&mut session.upload)).unwrap_or_default();
                let len = message.len();
                self.moving -= len;
                let stored = self.store.append_long(message).is_ok();
                self.tally.bytes_put += if stored { len as u64 } else { 0 };
                stored
            };
            if !stored {
                return Status::NoRoom;
            }
            *put += now;
            self.puts += now as u64;
            self.slack.note(self.bytes());
        }
        match too_long {
            _ if *put < *total && *put > 0 && request.flags & SOME != 0 => Status::Ok,
            _ if *put < *total => Status::Full,
            Some(_) => Status::TooLong,
            None => Status::Ok,
        }
    }

    fn step_get(&mut self, slot: Slot, request: Request, wanted: Wanted, sink: &mut impl Sink) -> Step {
        if wanted.messages == 0 {
            return Step::Done(Status::Ok);
        }
        let taken = if !self.settings.acknowledged {
            self.store.take(wanted).map(|messages| self.hand_out(slot, request, messages, None, sink))
        } else if request.flags & DELIVERY != 0 {
            let lowest = self.take_lowest(wanted.room, sink);
            lowest.map(|lowest| self.deliver(slot, request.id, lowest, sink))
        } else {
            self.take_lowest(wanted.room, sink).map(|(number, letter)| {
                let origin = Some((number, letter.redeliveries));
                self.hand_out(slot, request, letter.message, origin, sink);
            })
        };
        match taken {
            Ok(()) => Step::Sent,
            Err(NotTaken::Empty) if self.has_ended() => Step::Done(Status::Closed),
            Err(NotTaken::Empty) => Step::Done(Status::Empty),
            Err(NotTaken::NoRoom) => Step::Done(Status::NoRoom),
            Err(NotTaken::NeedsRoom(len)) => {
                // Nothing happened, so there is nothing to repeat.
                Self::say(sink, slot, Status::NeedsRoom, request.id, [0, len as u64, 0, 0, 0]);
                Step::Sent
            }
        }
    }

    /// Hands messages out for good; one that has a number of its own may have come back before. They are sent before anything
    /// else leaves: a process that is dead by now, which the broker does not know yet, would keep them, for they could not
    /// go back once messages behind them have left.
    fn hand_out(
        &mut self,
        slot: Slot,
        request: Request,
        messages: Taken,
        origin: Option<(u64, u32)>,
        sink: &mut impl Sink,
    ) {
        let left = self.ready() as u64;
        let Some(session) = self.sessions.get(&slot) else { return self.keep(messages, origin) };
        let count = messages.count() as u64;
        let (len, _) = messages.first_frame();
        let on_read =
            request.flags & ON_READ != 0 && messages.bytes() <= SHORT && !is_remote(session.process);
        let (id, flags) = (request.id, if on_read { ON_READ } else { 0 });
        let header = Header { code: Status::Msg as u8, flags, id, fields: [count, len, left, 0, 0] };
        let (left, recall_from) = (self.gets + count, self.now.saturating_add(GRACE));
        let taken = InFlight { id, messages, left, recall_from, on_read, origin };
        Self::send_taken(slot, header, &taken, sink);
        if !sink.send(slot, self.now) {
            return self.keep(taken.messages, origin);
        }
        let Some(session) = self.sessions.get_mut(&slot) else { return };
        session.misses = 0;
        self.gets += count;
        self.deliveries.redelivered += u64::from(origin.is_some_and(|(_, redeliveries)| redeliveries > 0));
        self.moving += taken.messages.bytes();
        session.last = Some(header);
        session.taken = Some(taken);
    }

    /// Puts back to its place what was taken in vain.
    fn keep(&mut self, messages: Taken, origin: Option<(u64, u32)>) {
        match origin {
            None => {
                self.store.give_back(messages, usize::MAX);
            }
            Some((number, redeliveries)) => {
                self.deliveries.keep(number, Letter { message: messages, redeliveries });
            }
        }
    }

    fn send_taken(slot: Slot, mut header: Header, taken: &InFlight, sink: &mut impl Sink) {
        header.fields[3] = taken.recall_from;
        sink.reply(slot, header, Body::Contents(&[taken.messages.first_frame().1]));
    }

    /// Answers what takes nothing out, and remembers the answer.
    pub(crate) fn finish(&mut self, slot: Slot, parked: &Parked, status: Status, sink: &mut impl Sink) {
        let len = match parked {
            Parked::Put { too_long: Some(len), .. } => *len as u64,
            _ => 0,
        };
        let id = parked.request().id;
        let fields = [parked.put() as u64, len, 0, 0, 0];
        let header = Header { code: status as u8, flags: 0, id, fields };
        if let Some(session) = self.sessions.get_mut(&slot) {
            session.last = Some(header);
            if parked.request().flags & UPLOADED != 0 {
                // What was refused is the client's again.
                self.moving -= std::mem::take(&mut session.upload).len();
            }
        }
        sink.reply(slot, header, Body::Nothing);
    }

    /// Serves those who wait, in turn, as long as one of them can go on.
    pub(crate) fn pump(&mut self, sink: &mut impl Sink) {
        loop {
            let room = self.room() > 0 || self.closed;
            let messages = self.ready() > 0 || self.has_ended();
            let next = if room && !self.putters.is_empty() {
                self.putters.pop_front()
            } else if messages && !self.getters.is_empty() {
                self.getters.pop_front()
            } else {
                break;
            };
            let Some(slot) = next else { break };
            let Some(mut parked) = self.take_parked(slot) else { continue };
            let line = if matches!(parked, Parked::Put { .. }) { Line::Putters } else { Line::Getters };
            let content = parked.take_content();
            self.attempt(slot, parked, &content, sink);
            // One that could go on only a part of its way, or found its message among the dead letters, keeps its turn.
            let line = if line == Line::Putters { &mut self.putters } else { &mut self.getters };
            if line.back() == Some(&slot) {
                line.rotate_right(1);
            }
        }
        self.end_joins(sink);
        self.watch_getters();
    }
}

/// Whether a request is for queues whose messages are acknowledged.
const fn is_of_deliveries(request: &Request) -> bool {
    match request.op {
        Op::Get => request.flags & DELIVERY != 0,
        op => matches!(op, Op::Acknowledge | Op::GiveBack | Op::Join),
    }
}

/// Who waits for what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Putters,
    Getters,
}

/// How far an attempt went.
enum Step {
    /// The answer is on its way.
    Sent,
    /// This is the answer, or the reason to wait.
    Done(Status),
}
