//! Messages that are built and read where they lie: the calls, and what this process has meanwhile.

use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use ipcq_core::os::lending::Lending;
use ipcq_core::os::lock::RobustGuard;
use ipcq_core::os::process;
use ipcq_core::os::refusal::{Damage, GetRefusal, PutRefusal};
use ipcq_core::os::two_lock::{Haul, TwoLock};
use ipcq_core::os::waiting::TwoSided;
use ipcq_core::trace::Death;
use ipcq_core::{BackendError, BackendErrorKind, GetFault, Loan, PutFault, Wait};

use crate::loans::entry::{Kind, State};
use crate::operate::free_tail;
use crate::position::{CHUNK, Position};
use crate::reference::Reference;
use crate::segment::Segment;
use crate::wait::Side;

/// Shorter messages are built in memory of the process, and copied: a piece has 64 KiB at least.
pub(crate) const IN_PLACE_FROM: usize = CHUNK / 2;

/// A piece of the queue's memory that this process has.
#[derive(Debug)]
struct Piece {
    segment: Arc<Segment>,
    /// The epoch of the process that has it; 0 when it has put it.
    owner: u64,
    entry: u32,
    /// What its entry says.
    state: State,
    memory: NonNull<u8>,
    /// The bytes of the message, all of which lie inside the piece.
    len: usize,
}

#[allow(unsafe_code, reason = "memory that is lent")]
// SAFETY: the memory belongs to this value, wherever that goes.
unsafe impl Send for Piece {}
#[allow(unsafe_code, reason = "memory that is lent")]
// SAFETY: who shares it reads only.
unsafe impl Sync for Piece {}

impl ipcq_core::Lent for Piece {
    fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from there lie inside the mapping and the file, which live as long as the segment. By the
        // rules of the queue they are this process's alone until they are given back, which is when this is dropped;
        // who breaks them is dealt with in the documentation of `Loan`.
        unsafe { slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else of this process can reach them while this is borrowed.
        unsafe { slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.owner == process::epoch() {
            self.segment.give_back(self.entry, self.state);
        }
    }
}

/// A message of the queue that lies elsewhere.
struct Found {
    /// The heads before and behind it.
    head: Position,
    next: Position,
    entry: u32,
    state: State,
    memory: NonNull<u8>,
    len: usize,
}

impl Lending for Segment {
    fn loan(self: &Arc<Self>, len: usize) -> Result<Loan, PutFault> {
        let identity = TwoSided::identity(&**self);
        self.check_length(len)?;
        let own = || identity.blank(len).map(Loan::from);
        if len < IN_PLACE_FROM || identity.acknowledged {
            return own();
        }
        let Ok(guard) = self.lock_put(Wait::No) else { return own() };
        let (recovered, death) = (guard.is_recovered(), Death::seen_by(&guard));
        let lent = self.loans().lend(len);
        drop(guard);
        death.tell(identity, Side::Put);
        if recovered {
            self.memory_was_freed();
        }
        let lent = lent.map_err(|stuck| self.explain_stuck(stuck))?;
        let Some((entry, state)) = lent else { return own() };
        let memory = self.memory_of(entry, len).map_err(|damage| self.explain_stuck(damage.into()))?;
        Ok(self.piece(entry, state, memory, len))
    }

    fn put_loan(self: &Arc<Self>, loan: &mut Loan, wait: Wait) -> Result<(), PutFault> {
        match loan.lent::<Piece>().filter(|piece| Arc::ptr_eq(&piece.segment, self)) {
            None => self.put(&[&loan[..]], wait)?,
            Some(piece) if piece.owner != process::epoch() => return Err(self.not_ours().into()),
            Some(piece) => {
                self.put_with(piece.len, wait, |guard| self.put_piece(guard, piece))?;
                piece.owner = 0;
            }
        }
        *loan = Loan::default();
        Ok(())
    }

    fn get_loan(self: &Arc<Self>, wait: Wait) -> Result<Loan, GetFault> {
        let mut message = Vec::new();
        let loan = self.get_with(&mut message, wait, |guard, message| self.get_piece(guard, message))?;
        Ok(loan.unwrap_or_else(|| message.into()))
    }
}

impl Segment {
    fn piece(self: &Arc<Self>, entry: u32, state: State, memory: NonNull<u8>, len: usize) -> Loan {
        let (segment, owner) = (Arc::clone(self), process::epoch());
        Loan::of(Box::new(Piece { segment, owner, entry, state, memory, len }))
    }

    /// The memory of the piece `entry`, if it has `len` bytes.
    fn memory_of(&self, entry: u32, len: usize) -> Result<NonNull<u8>, Damage> {
        let ring = self.ring();
        let table = self.loans().table()?.filter(|table| entry < table.len()).ok_or(Damage)?;
        let (first, chunks) = table.entry(entry).extent();
        let memory = ring.map.units(first, chunks, ring.storage)?;
        if len.div_ceil(CHUNK) > chunks as usize { Err(Damage) } else { Ok(memory) }
    }

    /// Puts what was built in `piece`, gives the lock back and wakes whom that concerns.
    fn put_piece(&self, guard: RobustGuard<'_>, piece: &Piece) -> Result<(), PutRefusal> {
        let ring = self.ring();
        let (tail, _) = free_tail(&ring)?;
        let table = self.loans().table()?.ok_or(Damage)?;
        let generation = piece.state.generation();
        let staged =
            ring.stage_reference(tail, Reference { len: piece.len, entry: piece.entry, generation })?;
        table.entry(piece.entry).set(piece.state.queued_as(tail.count()));
        if let Err(refusal) = ring.publish(tail, staged) {
            table.entry(piece.entry).set(piece.state);
            return Err(refusal);
        }
        ring.count_bytes(piece.len);
        guard.unlock_and_wake(self.event(Side::Get));
        self.pass_on(Side::Put);
        if tail.chunk() != staged.chunk() {
            self.memory_was_freed();
        }
        Ok(())
    }

    /// Takes a message where it lies, or into `message`, gives the lock back and wakes whom that concerns.
    fn get_piece(
        self: &Arc<Self>,
        guard: RobustGuard<'_>,
        message: &mut Vec<u8>,
    ) -> Result<Option<Loan>, GetRefusal> {
        let ring = self.ring();
        let head = ring.head();
        ring.available(head)?;
        if ring.length(&ring.run(head)?).is_ok() {
            return self.get_one(guard, message).map(|()| None);
        }
        let found = self.find_lent(head)?;
        let table = self.loans().table()?.ok_or(Damage)?;
        let Some(slot) = self.loans().own_slot(table) else {
            return self.get_one_lent(guard, message).map(|()| None);
        };
        let state = found.state.held_by(slot);
        table.entry(found.entry).set(state);
        self.take_lent(guard, &found);
        Ok(Some(self.piece(found.entry, state, found.memory, found.len)))
    }

    /// Takes a message that lies elsewhere into `message`, which is empty, gives the lock back and wakes whom that concerns.
    #[cold]
    pub(crate) fn get_one_lent(
        &self,
        guard: RobustGuard<'_>,
        message: &mut Vec<u8>,
    ) -> Result<(), GetRefusal> {
        let found = self.find_lent(self.ring().head())?;
        if found.len > message.capacity() {
            return Err(GetRefusal::TooSmall(found.len));
        }
        found.copy_to(message)?;
        self.take_lent(guard, &found);
        self.give_back(found.entry, found.state);
        Ok(())
    }

    /// Takes a message that lies elsewhere, unless that would exceed the limit.
    #[cold]
    pub(crate) fn get_portion_lent(&self, haul: &mut Haul<'_>) -> Result<(), GetRefusal> {
        let (ring, head) = (self.ring(), self.ring().head());
        ring.available(head)?;
        let found = self.find_lent(head)?;
        if haul.taken > 0 && haul.bytes.saturating_add(found.len) > haul.limit.max_bytes() {
            haul.over = true;
            return Ok(());
        }
        let (messages, bytes) = haul.batch.spare();
        if messages == 0 || bytes < found.len {
            return Err(GetRefusal::TooSmall(found.len));
        }
        haul.batch.push_with(|buffer| found.copy_to(buffer))?;
        ring.take(found.head, found.next);
        (haul.taken, haul.bytes) = (haul.taken + 1, haul.bytes + found.len);
        haul.over = haul.taken >= haul.limit.max_messages();
        self.give_back(found.entry, found.state);
        Ok(())
    }

    /// The message at `head`, which lies elsewhere, checked against everything that is known of it.
    fn find_lent(&self, head: Position) -> Result<Found, Damage> {
        let (reference, next) = self.ring().reference(head)?;
        let Reference { len, entry, generation } = reference;
        let memory = self.memory_of(entry, len)?;
        let state = self.loans().table()?.ok_or(Damage)?.entry(entry).state();
        let is_this = matches!(state.kind(), Kind::Queued | Kind::Held)
            && state.generation() == generation
            && state.number() == head.count();
        if is_this { Ok(Found { head, next, entry, state, memory, len }) } else { Err(Damage) }
    }

    fn take_lent(&self, guard: RobustGuard<'_>, found: &Found) {
        self.ring().take(found.head, found.next);
        guard.unlock_and_wake(self.event(Side::Put));
        self.pass_on(Side::Get);
        if found.head.chunk() != found.next.chunk() {
            self.memory_was_freed();
        }
    }

    /// Gives back the memory of the piece `entry`, if its entry still says `state`.
    fn give_back(&self, entry: u32, state: State) {
        let loans = self.loans();
        if let Ok(Some(table)) = loans.table() {
            loans.free(table, entry, state);
        }
        self.memory_was_freed();
    }

    #[cold]
    fn not_ours(&self) -> BackendError {
        let what = "the loan is that of the process that this one was forked from";
        BackendError::new(BackendErrorKind::Unsupported, TwoSided::identity(self), what)
            .with_advice("ask the queue for one here")
    }
}

impl Found {
    /// Appends the message to `buffer`, which has room for it.
    fn copy_to(&self, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        let old_len = buffer.len();
        let Some(spare) = buffer.spare_capacity_mut().get_mut(..self.len) else { return Err(Damage) };
        // SAFETY: `len` bytes lie inside the piece, and inside the spare capacity, which nobody else can reach. Peers may
        // write the source meanwhile: the bytes are copied, never looked at here.
        unsafe { self.memory.as_ptr().copy_to_nonoverlapping(spare.as_mut_ptr().cast(), self.len) };
        // SAFETY: `len` bytes behind `old_len` were just written, within the capacity.
        unsafe { buffer.set_len(old_len + self.len) };
        Ok(())
    }
}
