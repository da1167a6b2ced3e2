//! The queue algorithm: a ring of records with one lock for its tail and one for its head.
//!
//! A putter writes its record into free space behind the tail and publishes it by one compare-and-swap of
//! [`tail`](crate::position); a getter copies a record out and gives it up by one store of `head`. Whoever dies
//! before that leaves no trace but bytes in free space. The two-lock queue is Michael and Scott's (PODC 1996); the
//! ring, the packed words and the recovery are our own.
//!
//! | word | stored by, ordering | loaded by, ordering | what the pair makes visible |
//! |------|---------------------|---------------------|-----------------------------|
//! | tail | putter, Release CAS | getter, Acquire     | T1: the record is complete, and so are the links to its chunks |
//! | tail | closer, SeqCst RMW  | putter, CAS failure | T2: nothing is put after the closing |
//! | head | getter, Release     | putter, Acquire     | H1: the record was copied out, its space may be overwritten |
//! | lock | holder, SeqCst swap | sleeper, SeqCst     | S1: see `RobustLock::synchronize` |
//!
//! `seen_head` and `seen_tail` are copies on the lock's own cache line, so that the line of the other side is
//! touched only when the copy says full or empty.
//!
//! What a record looks like is told in [`run`](crate::run).

use std::ptr;
use std::sync::atomic::Ordering;

use ipcq_core::os::refusal::{Damage, GetRefusal, PutRefusal, Stuck};

use crate::chunks::Chunks;
use crate::map::Map;
use crate::position::{CHUNK, CLOSED, Position, REMOVED, UNIT};
use crate::run::{RECORD_HEADER, Run, length_in, record_header, span};
use crate::storage::Storage;

/// The ring in a segment. Who calls `stage`, `publish` and `extend` holds the putters' lock, who calls `find`,
/// `copy` and `take` the getters'.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring<'a> {
    pub(crate) map: &'a Map,
    pub(crate) storage: &'a Storage,
    pub(crate) capacity: usize,
    pub(crate) max_message: usize,
}

impl<'a> Ring<'a> {
    pub(crate) const fn chunks(&self) -> Chunks<'a> {
        Chunks { map: self.map, storage: self.storage }
    }

    #[inline]
    pub(crate) fn tail(&self) -> Position {
        Position(self.map.header().tail.0.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn head(&self) -> Position {
        Position(self.map.header().head.0.load(Ordering::Acquire))
    }

    /// Where everything before has left for good: the head, unless messages are acknowledged.
    fn left(&self) -> Position {
        match self.map.deliveries() {
            None => self.head(),
            Some(deliveries) => Position::new(deliveries.ledger().left(), 0, 0),
        }
    }

    /// How many messages fit behind `tail`, at an instant inside the call. 0 is exact.
    ///
    /// More messages than the capacity are damage, and must not pass for a full queue: whoever waits for room would
    /// see that it is not full, and try again for ever.
    #[inline]
    pub(crate) fn room(&self, tail: Position) -> Result<usize, Damage> {
        let seen = &self.map.header().put.0.seen_head;
        let len = tail.since(Position(seen.load(Ordering::Relaxed)));
        if len < self.capacity {
            return Ok(self.capacity - len);
        }
        let head = self.left();
        seen.store(head.0, Ordering::Relaxed);
        self.capacity.checked_sub(tail.since(head)).ok_or(Damage)
    }

    /// Writes a record behind `tail`, where nobody sees it yet, and returns the tail that would publish it.
    #[inline]
    pub(crate) fn stage(&self, tail: Position, parts: &[&[u8]], len: usize) -> Result<Position, Stuck> {
        let mut run = self.run(tail)?;
        if !run.has_room(len) {
            return self.stage_across(tail, parts, len);
        }
        run.write(parts, len);
        Ok(run.position())
    }

    /// The same for a record that goes on in other chunks, or ends where one ends.
    #[inline(never)]
    pub(crate) fn stage_across(
        &self,
        tail: Position,
        parts: &[&[u8]],
        len: usize,
    ) -> Result<Position, Stuck> {
        let end = tail.offset() + span(len);
        let count = u32::try_from(end / CHUNK).map_err(|_| Damage)?;
        self.chunks().extend(tail, count)?;
        let mut at = Cursor::new(tail);
        self.write(&mut at, &record_header(tail.count(), len).to_le_bytes())?;
        for part in parts {
            self.write(&mut at, part)?;
        }
        Ok(self.after(at, tail))
    }

    /// The chunk of `at`, from there on.
    #[inline]
    pub(crate) fn run(&self, at: Position) -> Result<Run<'a>, Damage> {
        Ok(Run::new(at, self.map.chunk(at.chunk(), self.storage)?))
    }

    /// Makes everything up to `to` visible, if the tail is still `from`: once the queue is closed, it is not.
    #[inline]
    pub(crate) fn publish(&self, from: Position, to: Position) -> Result<(), PutRefusal> {
        let tail = &self.map.header().tail.0;
        // T1, T2
        match tail.compare_exchange(from.0, to.0, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(now) if now & !(CLOSED | REMOVED) == from.0 => Err(PutRefusal::Closed),
            Err(_) => Err(PutRefusal::Stuck(Stuck::Damage)),
        }
    }

    /// Counts `len` bytes of messages that were published.
    #[inline]
    pub(crate) fn count_bytes(&self, len: usize) {
        let bytes = &self.map.header().put.0.bytes;
        bytes.store(bytes.load(Ordering::Relaxed).wrapping_add(len as u64), Ordering::Relaxed);
    }

    /// How many messages can be taken from `head` on, of those that are known of. Not 0.
    #[inline]
    pub(crate) fn available(&self, head: Position) -> Result<usize, GetRefusal> {
        let side = &self.map.header().get.0;
        if side.removed.load(Ordering::Relaxed) != 0 {
            return Err(GetRefusal::Closed);
        }
        let len = Position(side.seen_tail.load(Ordering::Relaxed)).since(head);
        if len != 0 && len <= self.capacity {
            return Ok(len);
        }
        let tail = self.tail();
        side.seen_tail.store(tail.0, Ordering::Relaxed);
        match tail.since(head) {
            0 if tail.is_closed() => Err(GetRefusal::Closed),
            0 => Err(GetRefusal::Empty),
            len if len <= self.capacity => Ok(len),
            _ => Err(GetRefusal::Damage),
        }
    }

    /// The length of the message at `head`, checked against everything that is known of it.
    #[inline]
    pub(crate) fn length(&self, head: &Run<'_>) -> Result<usize, Damage> {
        let header = head.header();
        let len = length_in(header);
        let sound = len <= self.max_message
            && header == record_header(head.count(), len)
            && (len < CHUNK || self.map.holds(len, self.storage));
        if sound { Ok(len) } else { Err(Damage) }
    }

    /// Appends the message of `len` bytes at `head` to `buffer`, which has room for it, and moves `head` behind it.
    #[inline]
    pub(crate) fn copy(&self, head: &mut Run<'a>, len: usize, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        if head.has_room(len) && buffer.capacity() - buffer.len() >= len {
            head.read(len, buffer);
            return Ok(());
        }
        *head = self.run(self.copy_across(head.position(), len, buffer)?)?;
        Ok(())
    }

    /// The same for a record that goes on in other chunks, or ends where one ends.
    #[inline(never)]
    fn copy_across(&self, head: Position, len: usize, buffer: &mut Vec<u8>) -> Result<Position, Damage> {
        let old_len = buffer.len();
        let Some(spare) = buffer.spare_capacity_mut().get_mut(..len) else { return Err(Damage) };
        let mut to = spare.as_mut_ptr().cast::<u8>();
        let mut at = Cursor::new(head);
        at.offset += RECORD_HEADER;
        let mut left = len;
        while left > 0 {
            self.normalise(&mut at);
            let step = left.min(CHUNK - at.offset);
            let chunk = self.map.chunk(at.chunk, self.storage)?;
            // SAFETY: the offset is below `CHUNK`, whose bytes are all inside the mapping and the file.
            let from = unsafe { chunk.add(at.offset) };
            // SAFETY: `step` bytes from there end inside the chunk, and `to` has at least `left` bytes of spare
            // capacity, which nobody else can reach. Peers may write the source meanwhile: the bytes are copied,
            // never looked at here.
            unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, step) };
            // SAFETY: the result is at most one past the spare capacity asked for above.
            to = unsafe { to.add(step) };
            at.offset += step;
            left -= step;
        }
        // SAFETY: `len` bytes behind `old_len` were just written, within the capacity.
        unsafe { buffer.set_len(old_len + len) };
        Ok(self.after(at, head))
    }

    /// Gives up everything before `to`.
    #[inline]
    pub(crate) fn take(&self, from: Position, to: Position) {
        let header = self.map.header();
        if from.chunk() != to.chunk() {
            let total = to.total(header.get.0.total.load(Ordering::Relaxed));
            header.get.0.total.store(total, Ordering::Relaxed);
        }
        header.head.0.store(to.0, Ordering::Release); // H1
    }

    /// Copies `bytes` to the place that `at` names, and moves it behind them.
    #[inline]
    pub(crate) fn write(&self, at: &mut Cursor, bytes: &[u8]) -> Result<(), Damage> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.normalise(at);
            let (now, later) = rest.split_at(rest.len().min(CHUNK - at.offset));
            let chunk = self.map.chunk(at.chunk, self.storage)?;
            // SAFETY: the offset is below `CHUNK`, whose bytes are all inside the mapping and the file.
            let to = unsafe { chunk.add(at.offset) };
            // SAFETY: `now` ends inside the chunk, and no reference to the mapping's bytes exists anywhere.
            unsafe { ptr::copy_nonoverlapping(now.as_ptr(), to.as_ptr(), now.len()) };
            at.offset += now.len();
            rest = later;
        }
        Ok(())
    }

    /// The position behind a record that began at `from` and whose last byte is before `at`.
    #[inline]
    pub(crate) fn after(&self, mut at: Cursor, from: Position) -> Position {
        at.offset = at.offset.next_multiple_of(UNIT);
        self.normalise(&mut at);
        Position::new(from.count().wrapping_add(1), at.chunk, at.offset)
    }

    /// Goes on to the next chunk when this one is used up.
    #[inline]
    fn normalise(&self, at: &mut Cursor) {
        if at.offset >= CHUNK {
            at.chunk = self.chunks().next(at.chunk);
            at.offset = 0;
        }
    }
}

/// A place in the chunks.
pub(crate) struct Cursor {
    chunk: u32,
    offset: usize,
}

impl Cursor {
    pub(crate) const fn new(at: Position) -> Self {
        Self { chunk: at.chunk(), offset: at.offset() }
    }
}
