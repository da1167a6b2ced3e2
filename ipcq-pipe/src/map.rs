//! The control file as this process sees it: see [`Mapping`]; its units are the blocks of the pool.

use std::ops::Deref;
use std::ptr;
use std::sync::atomic::AtomicU32;

use ipcq_core::os::deliveries::Deliveries;
use ipcq_core::os::mapping::Mapping;
use ipcq_core::os::refusal::Damage;

use crate::conduit::Storage;
use crate::layout::{BLOCK, InBlocks, LENGTHS_AT, MAX_BLOCKS, MAX_CAPACITY, TAGS_AT};
use crate::record::Extent;

/// The mapping of a control file.
#[derive(Debug)]
pub(crate) struct Map {
    mapping: Mapping<InBlocks>,
    /// What an acknowledged queue has handed out.
    deliveries: Option<Deliveries>,
}

impl Map {
    pub(crate) const fn new(mapping: Mapping<InBlocks>, deliveries: Option<Deliveries>) -> Self {
        Self { mapping, deliveries }
    }

    /// What the queue has handed out, if it is an acknowledged one.
    #[inline]
    pub(crate) const fn deliveries(&self) -> Option<&Deliveries> {
        self.deliveries.as_ref()
    }

    /// Place `index` of the lengths, taken modulo their number.
    #[inline]
    pub(crate) fn length(&self, index: usize) -> &AtomicU32 {
        self.mapping.word::<LENGTHS_AT, MAX_CAPACITY>(index)
    }

    /// The tag of `block`, taken modulo the number of blocks.
    #[inline]
    pub(crate) fn tag(&self, block: u32) -> &AtomicU32 {
        self.mapping.word::<TAGS_AT, { MAX_BLOCKS as usize }>(block as usize)
    }

    /// Copies `bytes` to the place `at` in `extent`.
    pub(crate) fn write(
        &self,
        extent: Extent,
        at: usize,
        bytes: &[u8],
        storage: &Storage,
    ) -> Result<(), Damage> {
        let fits = at.checked_add(bytes.len()).is_some_and(|end| end <= extent.blocks as usize * BLOCK);
        if !fits {
            return Err(Damage);
        }
        let memory = self.mapping.units(extent.first, extent.blocks, storage)?;
        // SAFETY: `at` lies inside the extent.
        let to = unsafe { memory.add(at) };
        // SAFETY: the bytes end inside the extent, and no reference to the mapping's bytes exists anywhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Appends the first `len` bytes of `extent` to `buffer`, which has room for them.
    pub(crate) fn read(
        &self,
        extent: Extent,
        len: usize,
        buffer: &mut Vec<u8>,
        storage: &Storage,
    ) -> Result<(), Damage> {
        let fits = len <= extent.blocks as usize * BLOCK && len <= buffer.capacity() - buffer.len();
        if !fits {
            return Err(Damage);
        }
        let from = self.mapping.units(extent.first, extent.blocks, storage)?;
        let old_len = buffer.len();
        // SAFETY: the length is at most the capacity.
        let to = unsafe { buffer.as_mut_ptr().add(old_len) };
        // SAFETY: `len` bytes lie inside the extent, and inside the spare capacity, which nobody else can reach.
        // Peers may write the source meanwhile: the bytes are copied, never looked at here.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, len) };
        // SAFETY: `len` bytes behind `old_len` were just written, within the capacity.
        unsafe { buffer.set_len(old_len + len) };
        Ok(())
    }
}

impl Deref for Map {
    type Target = Mapping<InBlocks>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.mapping
    }
}
