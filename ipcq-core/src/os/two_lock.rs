//! Putting and getting on a queue that has one lock for each side: the loops around the steps that a backend takes
//! under them.
//!
//! The two-lock queue is Michael and Scott's (PODC 1996). A backend says how a message, or a portion of a batch, is
//! stored and taken; when to wait, when to let others have the lock, whom to wake, and what to say is here.

mod haul;

use std::collections::TryReserveError;

pub use self::haul::Haul;
use super::failure::Failure;
use super::lock::RobustGuard;
use super::participants::Side;
use super::refusal::{GetRefusal, PutRefusal, Stuck};
use super::waiting::{Late, Patience, TwoSided};
use crate::Wait;
use crate::error::{BackendError, BackendErrorKind, GetFault, PutFault};
use crate::message::{Batch, Limit};
use crate::trace::Death;

/// The messages that become visible together, at most: enough that publishing costs nothing beside copying, few enough
/// that the other side starts early.
pub const PORTION: usize = 64;

/// The bytes behind which no further message joins a portion.
pub const PORTION_BYTES: usize = 32 * 1024;

/// Bytes after which the lock of a batch is offered to others.
const TURN_BYTES: usize = 1 << 20;

/// A queue with a lock for each side. The provided methods are the calls of [`Channel`](crate::Channel).
pub trait TwoLock: TwoSided {
    /// What an error says that could not store a message for want of memory, or of what else it needs.
    const NO_ROOM: &'static str;

    /// Takes the putters' lock, and repairs what its last holder left behind if it died. What memory that frees is
    /// given back later.
    ///
    /// # Errors
    /// What [`no_putting`](Self::no_putting) says, or what repairing failed with.
    fn lock_put(&self, wait: Wait) -> Result<RobustGuard<'_>, PutFault>;

    /// Takes the getters' lock, and repairs what its last holder left behind if it died. A call that has messages
    /// already asks for `more`.
    ///
    /// # Errors
    /// What [`no_getting`](Self::no_getting) says, or what repairing failed with.
    fn lock_get(&self, wait: Wait, patience: &Patience, more: bool) -> Result<RobustGuard<'_>, GetFault>;

    /// Puts a message of `len` bytes, gives the lock back and wakes whom that concerns.
    ///
    /// # Errors
    /// Why it could not; nothing was put.
    fn put_one(&self, guard: RobustGuard<'_>, parts: &[&[u8]], len: usize) -> Result<(), PutRefusal>;

    /// Puts a portion of `batch` from number `next` on, and moves `next` behind it; returns how many bytes that were, 0
    /// when there was nothing to put.
    ///
    /// # Errors
    /// Why the next one could not be put.
    fn put_portion(&self, batch: &Batch, next: &mut usize) -> Result<usize, PutRefusal>;

    /// Takes a message into `message`, which is empty, gives the lock back and wakes whom that concerns.
    ///
    /// # Errors
    /// Why it could not; nothing was taken.
    fn get_one(&self, guard: RobustGuard<'_>, message: &mut Vec<u8>) -> Result<(), GetRefusal>;

    /// Takes a portion of messages.
    ///
    /// # Errors
    /// Why the next one could not be taken.
    fn get_portion(&self, haul: &mut Haul<'_>) -> Result<(), GetRefusal>;

    /// To be called when memory may have become free.
    fn memory_was_freed(&self);

    /// What an error says of a queue whose shared memory makes no sense.
    fn damaged(&self) -> BackendError;

    /// Repairs what dead participants left on either side, where that keeps others from going on; never waits. Returns
    /// whether there was something.
    fn settle_orphans(&self) -> bool {
        false
    }

    /// Puts one message; see [`Channel::put`](crate::Channel::put).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Blocking
    /// As there.
    #[inline]
    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        let len = parts.iter().map(|part| part.len()).sum();
        self.put_with(len, wait, |guard| self.put_one(guard, parts, len))
    }

    /// Puts one message of `len` bytes, as `put_one` does.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    #[inline]
    fn put_with(
        &self,
        len: usize,
        wait: Wait,
        mut put_one: impl FnMut(RobustGuard<'_>) -> Result<(), PutRefusal>,
    ) -> Result<(), PutFault> {
        self.check_length(len)?;
        loop {
            let guard = self.lock_put(wait)?;
            let (recovered, death) = (guard.is_recovered(), Death::seen_by(&guard));
            let outcome = put_one(guard);
            death.tell(self.identity(), Side::Put);
            if recovered {
                self.memory_was_freed();
            }
            match outcome {
                Ok(()) => return Ok(()),
                Err(PutRefusal::Full) => self.wait_for_room(wait)?,
                Err(refusal) => return Err(self.explain_put(refusal)),
            }
        }
    }

    /// Puts messages of `batch` from number `from` on; see [`Channel::put_many`](crate::Channel::put_many).
    ///
    /// # Blocking
    /// As there.
    fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        let mut next = from;
        while let Some(message) = batch.get(next) {
            if let Err(fault) = self.put_turn(batch, &mut next, message.len(), wait) {
                return (next - from, Err(fault));
            }
        }
        self.pass_on(Side::Put);
        (next - from, Ok(()))
    }

    /// Takes the lock and puts messages until the turn is over; waits when the queue is full.
    ///
    /// # Errors
    /// As [`put_many`](Self::put_many).
    fn put_turn(&self, batch: &Batch, next: &mut usize, len: usize, wait: Wait) -> Result<(), PutFault> {
        self.check_length(len)?;
        let guard = self.lock_put(wait)?;
        let max = self.identity().max_message;
        let mut bytes = 0;
        let refusal = loop {
            match self.put_portion(batch, next) {
                Ok(0) => break None,
                // Room is not asked for where it is not needed: at the end, and for what can never fit.
                Ok(_) if batch.get(*next).is_none_or(|message| message.len() > max) => break None,
                Ok(_) if bytes >= TURN_BYTES => break None,
                Ok(portion) => bytes += portion,
                Err(refusal) => break Some(refusal),
            }
            self.wake_if_asleep(Side::Get);
        };
        let (recovered, death) = (guard.is_recovered(), Death::seen_by(&guard));
        guard.unlock_and_wake(self.event(Side::Get));
        death.tell(self.identity(), Side::Put);
        if recovered {
            self.memory_was_freed();
        }
        match refusal {
            None => Ok(()),
            Some(PutRefusal::Full) => self.wait_for_room(wait),
            Some(refusal) => Err(self.explain_put(refusal)),
        }
    }

    /// Gets one message; see [`Channel::get`](crate::Channel::get).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Blocking
    /// As there.
    #[inline]
    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        self.get_with(message, wait, |guard, message| self.get_one(guard, message))
    }

    /// Gets one message, as `get_one` does, which is given `message` empty.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    fn get_with<T>(
        &self,
        message: &mut Vec<u8>,
        wait: Wait,
        mut get_one: impl FnMut(RobustGuard<'_>, &mut Vec<u8>) -> Result<T, GetRefusal>,
    ) -> Result<T, GetFault> {
        message.clear();
        let patience = Patience::default();
        loop {
            let guard = self.lock_get(wait, &patience, false)?;
            let death = Death::seen_by(&guard);
            let outcome = get_one(guard, message);
            death.tell(self.identity(), Side::Get);
            match outcome {
                Ok(got) => return Ok(got),
                Err(GetRefusal::Empty) => self.wait_for_message(wait)?,
                Err(GetRefusal::TooSmall(len)) => {
                    message.try_reserve_exact(len).map_err(|error| self.no_memory(len, error))?;
                }
                Err(refusal) => return Err(self.explain_get(&refusal)),
            }
        }
    }

    /// Gets many messages; see [`Channel::get_many`](crate::Channel::get_many).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Blocking
    /// As there.
    fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        let mut haul = Haul { batch, limit, taken: 0, bytes: 0, over: limit.max_messages() == 0 };
        let patience = Patience::default();
        while !haul.over {
            match self.get_turn(&mut haul, wait, &patience) {
                // Having something, it neither waits for more nor fails.
                Err(_) if haul.taken > 0 => break,
                outcome => outcome?,
            }
        }
        if haul.taken > 0 {
            self.pass_on(Side::Get);
            self.memory_was_freed();
        }
        Ok(haul.taken)
    }

    /// Takes the lock and messages until the turn is over; waits when the queue is empty.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    fn get_turn(&self, haul: &mut Haul<'_>, wait: Wait, patience: &Patience) -> Result<(), GetFault> {
        let guard = self.lock_get(wait, patience, haul.taken > 0)?;
        let (outcome, death) = (self.get_portions(haul), Death::seen_by(&guard));
        guard.unlock_and_wake(self.event(Side::Put));
        death.tell(self.identity(), Side::Get);
        match outcome {
            Ok(()) => Ok(()),
            Err(GetRefusal::TooSmall(len)) => {
                haul.make_room(len).map_err(|error| self.no_memory(len, error).into())
            }
            Err(GetRefusal::Empty) if haul.taken == 0 => self.wait_for_message(wait),
            Err(refusal) => Err(self.explain_get(&refusal)),
        }
    }

    /// Takes portions until the turn is over.
    ///
    /// # Errors
    /// Why the next message could not be taken.
    fn get_portions(&self, haul: &mut Haul<'_>) -> Result<(), GetRefusal> {
        let turn = haul.bytes + TURN_BYTES;
        while !haul.over && haul.bytes < turn {
            self.get_portion(haul)?;
            if !haul.over {
                self.wake_if_asleep(Side::Put);
            }
        }
        Ok(())
    }

    /// Waits until a putter can go on.
    ///
    /// # Errors
    /// `Full` when the call does not wait, `Timeout` when it was over first.
    ///
    /// # Blocking
    /// As `wait` says.
    #[cold]
    fn wait_for_room(&self, wait: Wait) -> Result<(), PutFault> {
        if self.settle_orphans() {
            return Ok(());
        }
        if wait == Wait::No {
            return Err(PutFault::Full);
        }
        self.wait_on(Side::Put, wait).map_err(|Late| PutFault::Timeout)
    }

    /// Waits until a getter can go on.
    ///
    /// # Errors
    /// `Empty` when the call does not wait, `Timeout` when it was over first.
    ///
    /// # Blocking
    /// As `wait` says.
    #[cold]
    fn wait_for_message(&self, wait: Wait) -> Result<(), GetFault> {
        if self.settle_orphans() {
            return Ok(());
        }
        if wait == Wait::No {
            // One step; a thread does the rest, for the caller does not want to wait.
            self.do_a_chore();
            self.memory_was_freed();
            return if self.close_if_abandoned() { Ok(()) } else { Err(GetFault::Empty) };
        }
        self.wait_on(Side::Get, wait).map_err(|Late| GetFault::Timeout)
    }

    /// Why the putters' lock was not had.
    #[cold]
    fn no_putting(&self, wait: Wait) -> PutFault {
        match wait {
            Wait::Forever | Wait::Until(_) => PutFault::Timeout,
            Wait::No if self.is_closed() => PutFault::Closed,
            Wait::No if !self.can_go_on(Side::Put) => PutFault::Full,
            Wait::No => PutFault::Busy,
        }
    }

    /// Why the getters' lock was not had.
    #[cold]
    fn no_getting(&self, wait: Wait) -> GetFault {
        match wait {
            Wait::Forever | Wait::Until(_) => GetFault::Timeout,
            Wait::No if self.can_go_on(Side::Get) => GetFault::Busy,
            Wait::No if self.has_ended(Side::Get) => GetFault::Closed,
            Wait::No => GetFault::Empty,
        }
    }

    /// Whether a message of `len` bytes can ever fit.
    ///
    /// # Errors
    /// `TooLong` when not.
    #[inline]
    fn check_length(&self, len: usize) -> Result<(), PutFault> {
        let max = self.identity().max_message;
        if len > max { Err(PutFault::TooLong { len, max }) } else { Ok(()) }
    }

    /// A refusal as callers know it.
    #[cold]
    fn explain_put(&self, refusal: PutRefusal) -> PutFault {
        match refusal {
            PutRefusal::Full => PutFault::Full,
            PutRefusal::Closed => PutFault::Closed,
            PutRefusal::Stuck(stuck) => self.explain_stuck(stuck).into(),
        }
    }

    /// The same where no message is concerned.
    #[cold]
    fn explain_stuck(&self, stuck: Stuck) -> BackendError {
        match stuck {
            Stuck::Damage => self.damaged(),
            Stuck::NoRoom(source) => {
                let failure = Failure::new(Self::NO_ROOM, source);
                failure.with_kind(BackendErrorKind::NoRoom).into_backend(self.identity())
            }
        }
    }

    /// A refusal as callers know it.
    #[cold]
    fn explain_get(&self, refusal: &GetRefusal) -> GetFault {
        match refusal {
            GetRefusal::Empty => GetFault::Empty,
            GetRefusal::Closed => GetFault::Closed,
            GetRefusal::TooSmall(_) | GetRefusal::Damage => self.damaged().into(),
        }
    }

    /// This process has no memory to take a message of `len` bytes into.
    #[cold]
    fn no_memory(&self, len: usize, source: TryReserveError) -> BackendError {
        let what = format!("this process has no memory for its next message of {len} bytes");
        BackendError::new(BackendErrorKind::NoRoom, self.identity(), what)
            .with_advice("free some and get it again: it is still in the queue")
            .with_source(source)
    }
}
