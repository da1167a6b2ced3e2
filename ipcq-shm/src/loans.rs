//! Pieces of the queue's memory that processes have for a while: to build a message where it will lie, and to read it
//! there.
//!
//! A piece is a run of neighbouring chunks, noted in an [`Entry`]. It is lent under the putters' lock and filled under
//! none. The message's record in the ring refers to it (see [`reference`](crate::reference)), so order, capacity and
//! closing are the ring's, as for all messages.
//!
//! # What a death leaves
//! An entry says of itself whether it is over. *Queued as n* is stored before the tail passes n, and *held, n* before the
//! head does. So one that is queued as a number that is not in the queue is over: its putter died before it published,
//! or its getter after it had taken the message. One that is held and whose number is still in the queue was not taken,
//! and whoever takes the message is right. Otherwise one that is lent or held is over with its holder, whose slot the
//! kernel guards (as [`participants`](ipcq_core::os::participants) are). Whoever wants room, waits, or looks at the queue
//! makes what is over free. What is free stays warm while the queue is in use.

pub(crate) mod entry;
pub(crate) mod table;

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use ipcq_core::os::clock::coarse_millis;
use ipcq_core::os::fork_lock::ForkLock;
use ipcq_core::os::participants::{self, Participants};
use ipcq_core::os::process;
use ipcq_core::os::refusal::{Damage, Stuck};

use self::entry::{Entry, Kind, State};
use self::table::{MAX_ENTRIES, Table};
use crate::chunks::{Chunks, TRIM_STEP};
use crate::position::{CHUNK, MAX_CHUNKS, Position};

/// Where the record locks of holders lie, behind those of deliveries.
const LOCKS_AT: usize = 2 << 20;

/// This process as one that has loans of a queue.
#[derive(Debug)]
pub(crate) struct Holder {
    slot: Participants,
    /// The epoch of the process that has taken its slot, and freed what a dead one had there.
    settled_in: AtomicU64,
    settling: ForkLock<()>,
}

impl Holder {
    pub(crate) const fn new() -> Self {
        Self { slot: Participants::new(), settled_in: AtomicU64::new(0), settling: ForkLock::new(()) }
    }
}

/// The loans of a queue. Who calls `lend`, `settle` and `trim` has the putters' lock.
#[derive(Clone, Copy)]
pub(crate) struct Loans<'a> {
    pub(crate) chunks: Chunks<'a>,
    pub(crate) holder: &'a Holder,
}

impl<'a> Loans<'a> {
    /// The table, if the queue has one.
    pub(crate) fn table(&self) -> Result<Option<Table<'a>>, Damage> {
        Table::find(self.chunks.map, self.chunks.storage)
    }

    /// Lends room for `len` bytes: its entry, and what that says now. Nothing if there are too many loans, or
    /// no place for one more process, or for one more piece.
    pub(crate) fn lend(&self, len: usize) -> Result<Option<(u32, State)>, Stuck> {
        let Some(chunks) = pieces_of(len) else { return Ok(None) };
        let table = match self.table()? {
            Some(table) => table,
            None => match self.chunks.obtain_run(1)? {
                Some(chunk) => Table::make(self.chunks.map, self.chunks.storage, chunk)?,
                None => return Ok(None),
            },
        };
        let Some(slot) = self.own_slot(table) else { return Ok(None) };
        let found = find_free(table, chunks).or_else(|| {
            self.settle(table);
            find_free(table, chunks)
        });
        let Some(index) = found.map_or_else(|| self.add(table, chunks), |index| Ok(Some(index)))? else {
            return Ok(None);
        };
        let entry = table.entry(index);
        let state = entry.state().lent_to(slot);
        entry.set(state);
        table.books().lent.fetch_add(u64::from(chunks), Ordering::Relaxed);
        Ok(Some((index, state)))
    }

    /// Makes free what `state` says of the entry `index`, if it still does.
    pub(crate) fn free(&self, table: Table<'_>, index: u32, state: State) {
        table.entry(index).note_freed(coarse_millis());
        if table.entry(index).change(state, state.free()) {
            table.books().last_freed.store(index, Ordering::Relaxed);
        }
    }

    /// The slot of this process, which it takes with its first loan. What is there then a dead process had.
    pub(crate) fn own_slot(&self, table: Table<'a>) -> Option<usize> {
        let slot = self.holder.slot.join(self.holders(table)).ok()?;
        if self.holder.settled_in.load(Ordering::Acquire) != process::epoch() {
            // The others of this process have no loan before this is done.
            let _settling = self.holder.settling.lock();
            if self.holder.settled_in.load(Ordering::Relaxed) != process::epoch() {
                let window = Window::of(self.chunks);
                self.free_where(table, |state| state.holder() == slot && is_with_holder(state, window));
                self.holder.settled_in.store(process::epoch(), Ordering::Release);
            }
        }
        Some(slot)
    }

    /// Gives up the slot: what the last handle of a process does, when no loan is left.
    pub(crate) fn leave(&self) {
        if self.holder.settled_in.swap(0, Ordering::Relaxed) == process::epoch()
            && let Ok(Some(table)) = self.table()
        {
            self.holder.slot.leave(self.holders(table));
        }
    }

    fn holders(&self, table: Table<'a>) -> participants::Table<'a> {
        participants::Table::new(self.chunks.storage.as_fd(), table.slots()).with_locks_at(LOCKS_AT)
    }

    /// Makes free what is over.
    fn settle(&self, table: Table<'a>) {
        let (window, mut living) = (Window::of(self.chunks), Living::new(self.holders(table)));
        self.free_where(table, |state| window.is_over(state, &mut living));
    }

    fn free_where(&self, table: Table<'_>, mut condition: impl FnMut(State) -> bool) {
        for (index, entry) in table.entries() {
            let state = entry.state();
            if condition(state) {
                self.free(table, index, state);
            }
        }
    }

    /// Adds a piece of `chunks`.
    fn add(&self, table: Table<'a>, chunks: u32) -> Result<Option<u32>, Stuck> {
        let mut unused = table.entries().filter(|(_, entry)| entry.state().kind() == Kind::Unused);
        let len = table.len();
        let index = match unused.next() {
            Some((index, _)) => index,
            None if len < MAX_ENTRIES => len,
            None => match table.entries().find(|(_, entry)| entry.state().kind() == Kind::Free) {
                Some((index, entry)) => {
                    self.dissolve(entry, MAX_CHUNKS);
                    index
                }
                None => return Ok(None),
            },
        };
        let Some(first) = self.chunks.obtain_run(chunks)? else { return Ok(None) };
        let entry = table.entry(index);
        // Where the entry is new, its state says so, whatever was there before.
        entry.set(entry.state().unused());
        entry.set_extent(first, chunks);
        table.books().entries.store(len.max(index + 1), Ordering::Relaxed);
        Ok(Some(index))
    }

    /// How many chunks are free, or over. Needs no lock.
    pub(crate) fn idle(&self) -> u32 {
        let Ok(Some(table)) = self.table() else { return 0 };
        let (window, mut living) = (Window::of(self.chunks), Living::new(self.holders(table)));
        let idle = table.entries().filter(|(_, entry)| {
            let state = entry.state();
            state.kind() == Kind::Free || window.is_over(state, &mut living)
        });
        idle.fold(0, |sum, (_, entry)| sum.saturating_add(entry.extent().1))
    }

    /// Gives back the memory of pieces that have been free for a while, a step of it, but for `keep` chunks; returns whether
    /// there may be more to do, so that the lock can be released in between.
    pub(crate) fn trim(&self, keep: u32) -> bool {
        let Ok(Some(table)) = self.table() else { return false };
        self.settle(table);
        let (mut kept, now) = (0_u32, coarse_millis());
        for (_, entry) in table.entries().filter(|(_, entry)| entry.is_idle(now)) {
            let (_, chunks) = entry.extent();
            if kept.saturating_add(chunks) > keep {
                self.dissolve(entry, TRIM_STEP);
                return true;
            }
            kept += chunks;
        }
        false
    }

    /// Gives back up to `most` chunks of a free piece, the last ones first; it is none any more when it has none left.
    fn dissolve(&self, entry: &Entry, most: u32) {
        let (first, chunks) = entry.extent();
        let is_sound = self.chunks.map.units(first, chunks, self.chunks.storage).is_ok();
        let step = if is_sound { chunks.min(most) } else { chunks };
        let left = chunks - step;
        if left == 0 {
            entry.set(entry.state().unused());
        }
        entry.set_extent(first, left);
        if is_sound && step > 0 {
            self.chunks.give_run(first + left, step);
        }
    }
}

/// Calls `mark` with each run of chunks that is lent or can be, first and length, of those below `chunks`. To be called
/// by who repairs what a dead owner of the putters' lock left.
pub(crate) fn for_each_run(of: Chunks<'_>, chunks: u32, mut mark: impl FnMut(u32, u32)) {
    let Ok(Some(table)) = Table::find(of.map, of.storage) else { return };
    mark(table.chunk(), 1);
    let (window, mut left) = (Window::of(of), chunks);
    for (_, entry) in table.entries() {
        let (state, (first, len)) = (entry.state(), entry.extent());
        if state.kind() == Kind::Unused {
            continue;
        }
        // Pieces that lie elsewhere, or over each other, nobody has noted who keeps to the rules.
        if len > left || first.checked_add(len).is_none_or(|end| end > chunks) {
            entry.set(state.unused());
            continue;
        }
        left -= len;
        // Its putter died before it published; the next one takes that number.
        if state.kind() == Kind::Queued && !window.has(state.number()) {
            entry.change(state, state.free());
        }
        mark(first, len);
    }
}

/// The messages in the queue. It is looked at before the entries: what is passed by then says so itself.
#[derive(Clone, Copy)]
struct Window {
    head: Position,
    len: usize,
}

impl Window {
    fn of(chunks: Chunks<'_>) -> Self {
        let header = chunks.map.header();
        let head = Position(header.head.0.load(Ordering::Acquire));
        let tail = Position(header.tail.0.load(Ordering::Acquire));
        Self { head, len: tail.since(head) }
    }

    /// Whether the message `number` is in the queue.
    fn has(self, number: u32) -> bool {
        ((number.wrapping_sub(self.head.count()) & Position::COUNT) as usize) < self.len
    }

    /// Whether nobody has, or will get, what the entry with this state has.
    fn is_over(self, state: State, living: &mut Living<'_>) -> bool {
        match state.kind() {
            Kind::Unused | Kind::Free => false,
            Kind::Queued => !self.has(state.number()),
            Kind::Lent | Kind::Held => is_with_holder(state, self) && !living.has(state.holder()),
        }
    }
}

/// Whether what the entry has is its holder's: a message that is still in the queue is nobody's.
fn is_with_holder(state: State, window: Window) -> bool {
    match state.kind() {
        Kind::Lent => true,
        Kind::Held => !window.has(state.number()),
        Kind::Unused | Kind::Free | Kind::Queued => false,
    }
}

/// Which holders live, asked of the kernel once for each that follows another.
struct Living<'a> {
    table: participants::Table<'a>,
    last: Option<(usize, bool)>,
}

impl<'a> Living<'a> {
    const fn new(table: participants::Table<'a>) -> Self {
        Self { table, last: None }
    }

    /// Whether the holder in `slot` lives; it does where the kernel does not say.
    fn has(&mut self, slot: usize) -> bool {
        match self.last {
            Some((last, lives)) if last == slot => lives,
            _ => {
                let lives = self.table.is_live(slot).unwrap_or(true);
                self.last = Some((slot, lives));
                lives
            }
        }
    }
}

/// The free piece that suits `chunks` best: the one that was freed last, if it does, or the smallest.
fn find_free(table: Table<'_>, chunks: u32) -> Option<u32> {
    let fits = |entry: &Entry| {
        let (_, has) = entry.extent();
        entry.state().kind() == Kind::Free && (chunks..=chunks + chunks / 4).contains(&has)
    };
    let last = table.books().last_freed.load(Ordering::Relaxed);
    if last < table.len() && fits(table.entry(last)) {
        return Some(last);
    }
    let fitting = table.entries().filter(|(_, entry)| fits(entry));
    fitting.min_by_key(|(_, entry)| entry.extent().1).map(|(index, _)| index)
}

/// How many chunks a piece for `len` bytes has: up to an eighth more than it needs, so that pieces serve again for
/// messages of about the same length.
fn pieces_of(len: usize) -> Option<u32> {
    let chunks = u32::try_from(len.div_ceil(CHUNK)).ok().filter(|chunks| *chunks <= MAX_CHUNKS)?;
    let step = (chunks >> 3).checked_ilog2().map_or(1, |bits| 1 << bits);
    Some(chunks.max(1).next_multiple_of(step))
}

#[cfg(test)]
mod tests {
    use ipcq_core::{Identity, QueueOptions};

    use super::*;
    use crate::segment::Segment;

    /// As by a process that was stopped after it had taken a message, and before it gave the memory back.
    #[test]
    fn who_gives_back_late_takes_nothing_from_the_next() -> Result<(), Box<dyn std::error::Error>> {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile()?.into(), identity)?;
        let loans = segment.loans();
        let lend = || loans.lend(CHUNK).ok().flatten().ok_or("nothing is lent");
        let (first, earlier) = lend()?;
        let table = loans.table().ok().flatten().ok_or("no table")?;
        loans.free(table, first, earlier);
        let (again, state) = lend()?;
        assert_eq!(again, first, "it is warm");
        loans.free(table, first, earlier);
        assert_eq!(table.entry(first).state(), state);
        assert_ne!(lend()?.0, first);
        Ok(())
    }

    /// Who has its slot now lives, and so its loans would be taken for that one's.
    #[test]
    fn what_the_last_one_with_a_slot_had_is_freed_before_the_next_lends()
    -> Result<(), Box<dyn std::error::Error>> {
        let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
        let segment = Segment::create(tempfile::tempfile()?.into(), identity)?;
        let loans = segment.loans();
        let lend = |loans: Loans<'_>| loans.lend(CHUNK).ok().flatten().ok_or("nothing is lent");
        let (dead, _) = lend(loans)?;
        // A process finds the slot again that it had before it ran another program.
        let next = Loans { holder: &Holder::new(), ..loans };
        assert_eq!(lend(next)?.0, dead);
        assert_ne!(lend(next)?.0, dead);
        Ok(())
    }

    #[test]
    fn pieces_are_little_larger_than_what_they_are_for() {
        for (len, chunks) in [(1, 1), (CHUNK, 1), (CHUNK + 1, 2), (1 << 20, 16), ((1 << 20) + 1, 18)] {
            assert_eq!(pieces_of(len), Some(chunks), "{len}");
        }
        for chunks in 1..5000 {
            let has = pieces_of(chunks * CHUNK).map_or(0, |has| has as usize);
            assert!(has >= chunks && has <= chunks + chunks / 4, "{chunks}: {has}");
        }
    }
}
