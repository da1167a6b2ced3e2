//! Handing out, acknowledging, giving back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Store;
use super::entry::{Kind, State};
use super::layout::Entry;
use crate::DeliveryTag;
use crate::os::clock::now;
use crate::os::process;
use crate::os::refusal::{Damage, Stuck};

/// Why a delivery was not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotYours {
    /// It is not, or not any more, in the hands of this process by this tag.
    Expired,
    /// Another process was given it.
    Another,
}

impl Store<'_> {
    /// Copies the next message of the backend here, for this process; it is in flight once the head has passed it.
    ///
    /// # Errors
    /// When there is no memory, or no place for one more holder.
    pub fn keep_next(
        &self,
        number: u64,
        bytes: &[u8],
        lease: Option<Duration>,
    ) -> Result<DeliveryTag, Stuck> {
        let slot = self.own_slot()?;
        let index = self.free_entry()?;
        let extents = self.keep(bytes, number, index)?;
        self.use_entry(index);
        let entry = self.entry(index);
        entry.number.store(number, Ordering::Relaxed);
        entry.len.store(u32::try_from(bytes.len()).map_err(|_| Damage)?, Ordering::Relaxed);
        entry.watched.store(0, Ordering::Relaxed);
        extents.save(entry);
        self.add_used(entry);
        Ok(self.hold(index, slot, 0, lease))
    }

    /// The length of the message that came back and has the lowest number, if one did.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn ready_len(&self) -> Result<Option<usize>, Damage> {
        let Some(index) = self.heap_first() else { return Ok(None) };
        let entry = self.entry(index);
        let len = entry.len.load(Ordering::Relaxed) as usize;
        let sound = entry.state().kind == Kind::Ready && self.can_have(len);
        if sound { Ok(Some(len)) } else { Err(Damage) }
    }

    /// Hands that message out to this process, appending it to `message`, which has room for it.
    ///
    /// # Errors
    /// When it makes no sense, or there is no place for one more holder.
    pub fn hand_out_ready(
        &self,
        message: &mut Vec<u8>,
        lease: Option<Duration>,
    ) -> Result<DeliveryTag, Stuck> {
        let slot = self.own_slot()?;
        let index = self.heap_first().ok_or(Damage)?;
        let entry = self.entry(index);
        self.recall(entry, message)?;
        let tag = self.hold(index, slot, entry.state().redeliveries, lease);
        self.heap_pop();
        self.count(0, -1);
        self.books().redelivered.fetch_add(1, Ordering::Relaxed);
        Ok(tag)
    }

    /// Takes that message for good, appending it to `message`, which has room for it.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn take_ready(&self, message: &mut Vec<u8>) -> Result<(), Damage> {
        let index = self.heap_first().ok_or(Damage)?;
        let entry = self.entry(index);
        self.recall(entry, message)?;
        self.heap_pop();
        self.books().redelivered.fetch_add(1, Ordering::Relaxed);
        self.free(index, entry);
        self.count(1, -1);
        self.wake_joins(entry);
        Ok(())
    }

    /// Counts a message that was taken from the backend for good.
    pub fn took_one(&self) {
        self.count(1, 0);
    }

    /// Removes the message of `tag` for good.
    ///
    /// # Errors
    /// When this process does not hold it; one whose lease has run out goes back.
    pub fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), NotYours> {
        let (index, entry) = self.find_held(tag)?;
        self.leave_for_good(index, entry);
        Ok(())
    }

    /// Puts the message of `tag` back to its place.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    pub fn give_back(&self, tag: &DeliveryTag) -> Result<(), NotYours> {
        let (index, entry) = self.find_held(tag)?;
        self.put_back(index, entry);
        Ok(())
    }

    /// The entry of `tag`, which this process holds.
    pub(super) fn find_held(&self, tag: &DeliveryTag) -> Result<(u32, &Entry), NotYours> {
        if tag.holder != process::epoch() {
            return Err(NotYours::Another);
        }
        let entry = self.entry(tag.place);
        let state = entry.state();
        let is_own = tag.place < self.entries()
            && entry.number() == tag.number
            && state.is_held()
            && state.redeliveries == tag.redeliveries
            && self.own_slot().is_ok_and(|slot| slot == state.slot());
        if !is_own {
            return Err(NotYours::Expired);
        }
        let until = entry.until.load(Ordering::Relaxed);
        if until != 0 && until <= now() {
            self.put_back(tag.place, entry);
            return Err(NotYours::Expired);
        }
        Ok((tag.place, entry))
    }

    fn hold(&self, index: u32, slot: usize, redeliveries: u32, lease: Option<Duration>) -> DeliveryTag {
        let entry = self.entry(index);
        self.begin_lease(entry, lease);
        let holder = u16::try_from(slot).unwrap_or(u16::MAX);
        self.map().count(slot).fetch_add(1, Ordering::Relaxed);
        entry.set(State { kind: Kind::Held, holder, redeliveries });
        DeliveryTag::new(entry.number(), redeliveries).at(index, process::epoch())
    }

    pub(super) fn begin_lease(&self, entry: &Entry, lease: Option<Duration>) {
        let until = lease.map_or(0, |lease| {
            now().saturating_add(u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX)).max(1)
        });
        if until != 0 {
            self.books().lease_at.fetch_min(until, Ordering::Relaxed);
        }
        entry.until.store(until, Ordering::Relaxed);
    }

    /// A message that is held is ready again.
    pub(super) fn put_back(&self, index: u32, entry: &Entry) {
        let state = entry.state();
        let redeliveries = state.redeliveries.saturating_add(1);
        entry.set(State { kind: Kind::Ready, holder: 0, redeliveries });
        self.uncount(state);
        self.heap_push(index);
        self.count(0, 1);
    }

    /// A message that is held leaves for good.
    pub(super) fn leave_for_good(&self, index: u32, entry: &Entry) {
        let state = entry.state();
        self.free(index, entry);
        self.uncount(state);
        self.count(1, 0);
        self.wake_joins(entry);
    }

    fn free(&self, index: u32, entry: &Entry) {
        let blocks = entry.blocks();
        entry.set(State::FREE);
        let books = self.books();
        // Nobody else changes these, and what a hostile peer wrote stays within bounds.
        books.used.store(books.used.load(Ordering::Relaxed).saturating_sub(blocks), Ordering::Relaxed);
        books.freed.store(books.freed.load(Ordering::Relaxed).saturating_add(blocks), Ordering::Relaxed);
        self.list_free(index);
    }

    pub(super) fn add_used(&self, entry: &Entry) {
        let used = &self.books().used;
        used.store(used.load(Ordering::Relaxed).saturating_add(entry.blocks()), Ordering::Relaxed);
    }

    pub(super) fn uncount(&self, state: State) {
        if state.is_nobodys() {
            return;
        }
        let count = self.map().count(state.slot());
        count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}
