//! A segment as this process sees it: see [`Mapping`]; its units are chunks.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use ipcq_core::os::mapping::{Layout, Mapping};
use ipcq_core::os::refusal::Damage;

use crate::layout::{InChunks, LINKS_AT};
use crate::position::{CHUNK, MAX_CHUNKS};
use crate::storage::Storage;

/// The mapping of a segment.
#[derive(Debug)]
pub(crate) struct Map(pub(crate) Mapping<InChunks>);

impl Map {
    /// The link of chunk `chunk`, which must be below [`MAX_CHUNKS`].
    #[inline]
    pub(crate) fn link(&self, chunk: u32) -> &AtomicU32 {
        self.0.word::<LINKS_AT, { MAX_CHUNKS as usize }>(chunk as usize)
    }

    /// The memory of chunk `chunk`: [`CHUNK`] bytes inside the file.
    #[inline]
    pub(crate) fn chunk(&self, chunk: u32, storage: &Storage) -> Result<NonNull<u8>, Damage> {
        self.0.units(chunk, 1, storage)
    }

    /// Whether a message of `len` bytes can be in the file: nobody is believed to have sent more than there is.
    #[cold]
    pub(crate) fn holds(&self, len: usize, storage: &Storage) -> bool {
        self.0.file_has(len / CHUNK, storage)
    }
}

impl Deref for Map {
    type Target = Mapping<InChunks>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// How many chunks lie inside the file, whether or not this process could map them: links are mapped always.
pub(crate) fn chunks_in(storage: &Storage) -> io::Result<u32> {
    InChunks::units_in(storage)
}
