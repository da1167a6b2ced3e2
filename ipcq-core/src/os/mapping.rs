//! The file of a queue as this process sees it: typed words at its beginning, and memory that grows behind them.
//!
//! Peers may write anything anywhere at any time. So nothing here forms a reference to bytes that are not atomic, and
//! every number of a unit is checked against the file's length before it leads anywhere.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::participants::Slot;
use super::refusal::Damage;
use super::storage::Storage;

/// A value that has two cache lines of its own, because the processor fetches them in pairs.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Apart<T>(pub T);

/// How many processes can take part with one queue.
pub const SLOTS: usize = 1024;
/// Where their slots begin.
pub const SLOTS_AT: usize = 4096;
/// Where they end: so much of a file always has memory.
pub const HEAD_LEN: usize = SLOTS_AT + SLOTS * size_of::<Slot>();

/// What the files of a backend look like: a header, the slots of the participants, words, and units of memory.
///
/// # Safety
/// `Header` consists of atomics, and is valid whatever bytes it is made of.
pub unsafe trait Layout {
    /// What stands at the beginning, before [`SLOTS_AT`].
    type Header;
    /// Where the units begin, behind the slots.
    const UNITS_AT: usize;
    /// The bytes of a unit.
    const UNIT: usize;
    /// The bytes of the file of an empty queue.
    const EMPTY_LEN: usize;
    /// The units that a process has room for at the least.
    const FEWEST: u32;
    /// The most units of a queue.
    const MOST: u32;

    /// How many whole units a file of `len` bytes has, of which they do not use the first `units_at`.
    #[must_use]
    fn whole_units(len: usize, units_at: usize) -> u32 {
        let units = len.saturating_sub(units_at) / Self::UNIT;
        u32::try_from(units).map_or(Self::MOST, |units| units.min(Self::MOST))
    }
}

/// The mapping of a queue's file.
#[derive(Debug)]
pub struct Mapping<L> {
    raw: MmapRaw,
    /// Units that lie inside the file, as far as is known; files only grow.
    in_file: AtomicU32,
    /// Units that lie inside the mapping.
    limit: u32,
    /// Where they begin.
    units_at: usize,
    layout: PhantomData<fn() -> L>,
}

impl<L: Layout> Mapping<L> {
    const CHECKED: () = {
        assert!(size_of::<L::Header>() <= SLOTS_AT && align_of::<L::Header>() <= 4096);
        assert!(HEAD_LEN <= L::UNITS_AT);
    };

    /// Maps the file, with room to grow to the largest queue. A process whose address space is limited spends an
    /// eighth of it on a queue, or what the queue has by now.
    ///
    /// # Errors
    /// When there is no room for it, or the file is shorter than [`HEAD_LEN`].
    pub fn new<Q>(storage: &Storage<Q>) -> io::Result<Self> {
        Self::with_gap(storage, 0)
    }

    /// The same for a file in which there are `gap` bytes of something else before the units.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_gap<Q>(storage: &Storage<Q>, gap: usize) -> io::Result<Self> {
        let (limit, _) = getrlimit(Resource::RLIMIT_AS)?;
        let units_at = L::UNITS_AT + gap;
        let share = L::whole_units(usize::try_from(limit / 8).unwrap_or(usize::MAX), units_at);
        let now = L::whole_units(storage.len()?, units_at).max(L::FEWEST);
        Self::map(storage, units_at, now, share.max(now))
    }

    /// Maps `most` units, or as many as can be had, but not fewer than `least`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn between<Q>(storage: &Storage<Q>, least: u32, most: u32) -> io::Result<Self> {
        Self::map(storage, L::UNITS_AT, least, most)
    }

    fn map<Q>(storage: &Storage<Q>, units_at: usize, least: u32, most: u32) -> io::Result<Self> {
        let () = Self::CHECKED;
        if storage.len()? < HEAD_LEN {
            return Err(Errno::EINVAL.into());
        }
        let mut units = most;
        loop {
            let len = units_at + units as usize * L::UNIT;
            match MmapOptions::new().len(len).no_reserve_swap().map_raw(storage.as_raw_fd()) {
                Ok(raw) => {
                    let in_file = AtomicU32::new(0);
                    let mapping = Self { raw, in_file, limit: units, units_at, layout: PhantomData };
                    mapping.measure(storage)?;
                    return Ok(mapping);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && units > least => {
                    units = (units / 2).max(least);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks how many units lie inside the file by now.
    #[cold]
    fn measure<Q>(&self, storage: &Storage<Q>) -> io::Result<u32> {
        let units = self.units_in(storage)?.min(self.limit);
        self.in_file.store(units, Ordering::Relaxed);
        Ok(units)
    }

    /// How many of `units` lie inside the file and the mapping.
    pub fn bounded<Q>(&self, units: u32, storage: &Storage<Q>) -> u32 {
        let in_file = self.in_file.load(Ordering::Relaxed);
        if units <= in_file {
            return units;
        }
        units.min(self.measure(storage).unwrap_or(in_file))
    }

    /// Whether the file has `units`, whether or not this process could map them.
    pub fn file_has<Q>(&self, units: usize, storage: &Storage<Q>) -> bool {
        units <= self.in_file.load(Ordering::Relaxed) as usize
            || self.units_in(storage).is_ok_and(|in_file| units <= in_file as usize)
    }

    /// Whether the file has grown beyond what this process could map.
    pub fn is_outgrown<Q>(&self, storage: &Storage<Q>) -> bool {
        self.units_in(storage).is_ok_and(|units| units > self.limit)
    }

    /// How many whole units lie inside the file, whether or not this process could map them.
    ///
    /// # Errors
    /// When the system does not say how long it is.
    pub fn units_in<Q>(&self, storage: &Storage<Q>) -> io::Result<u32> {
        Ok(L::whole_units(storage.len()?, self.units_at))
    }

    /// Where unit `unit` is in the file.
    #[inline]
    #[must_use]
    pub const fn place(&self, unit: u32) -> usize {
        self.units_at + unit as usize * L::UNIT
    }

    /// How many units this process can reach.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// What stands at the beginning.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &L::Header {
        // SAFETY: the mapping is longer than the header, aligned to a page, and lives as long as `self`; the header is
        // valid whatever is there (see `Layout`), and the first page of the file is always there.
        unsafe { &*self.raw.as_ptr().cast::<L::Header>() }
    }

    /// The slots of the participants.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        // SAFETY: `SLOTS_AT` lies inside the mapping, which is longer than `HEAD_LEN`.
        let first = unsafe { self.raw.as_ptr().add(SLOTS_AT) };
        // SAFETY: the slots lie inside the mapping, aligned to a page, and consist of atomics only; their memory was
        // reserved when the queue was made.
        unsafe { slice::from_raw_parts(first.cast::<Slot>(), SLOTS) }
    }

    /// Word `index` of the `COUNT` words from `AT` on, which lie before the units; taken modulo their number.
    #[inline]
    #[must_use]
    pub fn word<const AT: usize, const COUNT: usize>(&self, index: usize) -> &AtomicU32 {
        const { assert!(AT.is_multiple_of(4) && AT >= HEAD_LEN && AT + COUNT * 4 <= L::UNITS_AT) };
        // SAFETY: the index is below `COUNT`, and the words lie inside the mapping, as was just checked.
        let word = unsafe { self.raw.as_ptr().add(AT + index % COUNT * size_of::<AtomicU32>()) };
        // SAFETY: in bounds as above, aligned to 4, and used as an atomic by everybody.
        unsafe { &*word.cast::<AtomicU32>() }
    }

    /// The memory of `count` units from number `first` on, all of which lie inside the file.
    ///
    /// # Errors
    /// When they do not.
    #[inline]
    pub fn units<Q>(&self, first: u32, count: u32, storage: &Storage<Q>) -> Result<NonNull<u8>, Damage> {
        let end = first.checked_add(count).ok_or(Damage)?;
        if end > self.in_file.load(Ordering::Relaxed) {
            let in_file = self.measure(storage).map_err(|_| Damage)?;
            if end > in_file {
                return Err(Damage);
            }
        }
        // SAFETY: the units were just found to lie inside the file and inside the mapping.
        let memory = unsafe { self.raw.as_mut_ptr().add(self.place(first)) };
        NonNull::new(memory).ok_or(Damage)
    }
}
