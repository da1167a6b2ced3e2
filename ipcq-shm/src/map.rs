//! A segment as this process sees it: see [`Mapping`]; its units are chunks.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use ipcq_core::os::deliveries::Deliveries;
use ipcq_core::os::mapping::Mapping;
use ipcq_core::os::refusal::Damage;

use crate::layout::{InChunks, LINKS_AT};
use crate::position::{CHUNK, MAX_CHUNKS};
use crate::storage::Storage;

/// The mapping of a segment.
#[derive(Debug)]
pub(crate) struct Map {
    mapping: Mapping<InChunks>,
    /// What an acknowledged queue has handed out.
    deliveries: Option<Deliveries>,
}

impl Map {
    pub(crate) const fn new(mapping: Mapping<InChunks>, deliveries: Option<Deliveries>) -> Self {
        Self { mapping, deliveries }
    }

    /// What the queue has handed out, if it is an acknowledged one.
    #[inline]
    pub(crate) const fn deliveries(&self) -> Option<&Deliveries> {
        self.deliveries.as_ref()
    }

    /// The link of chunk `chunk`, which must be below [`MAX_CHUNKS`].
    #[inline]
    pub(crate) fn link(&self, chunk: u32) -> &AtomicU32 {
        self.mapping.word::<LINKS_AT, { MAX_CHUNKS as usize }>(chunk as usize)
    }

    /// The memory of chunk `chunk`: [`CHUNK`] bytes inside the file.
    #[inline]
    pub(crate) fn chunk(&self, chunk: u32, storage: &Storage) -> Result<NonNull<u8>, Damage> {
        self.mapping.units(chunk, 1, storage)
    }

    /// Whether a message of `len` bytes can be in the file: nobody is believed to have sent more than there is.
    #[cold]
    pub(crate) fn holds(&self, len: usize, storage: &Storage) -> bool {
        self.mapping.file_has(len / CHUNK, storage)
    }
}

impl Deref for Map {
    type Target = Mapping<InChunks>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.mapping
    }
}
