//! Messages that say who they are, and how to take them all out of a queue.

use ipcq_core::{Channel, GetFault, Wait};

/// A message that can be told from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number, different for each.
    pub id: u64,
    /// Its length in bytes, 8 at least.
    pub len: usize,
}

/// The message `id` of `len` bytes.
#[must_use]
pub const fn message(id: u64, len: usize) -> Message {
    Message { id, len }
}

/// Odd, so that all words of a message differ.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Message {
    /// Its bytes: the number, then words that follow from it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        for (chunk, word) in bytes.chunks_mut(8).zip(self.words()) {
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }

    fn words(self) -> impl Iterator<Item = [u8; 8]> {
        let mut word = self.id.wrapping_sub(STEP);
        std::iter::repeat_with(move || {
            word = word.wrapping_add(STEP);
            word.to_le_bytes()
        })
    }

    /// What message `bytes` are.
    ///
    /// # Errors
    /// When they are none: torn, mixed or invented.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let first = bytes.first_chunk().ok_or_else(|| format!("a message of {} bytes", bytes.len()))?;
        let claimed = message(u64::from_le_bytes(*first), bytes.len());
        let mut chunks = bytes.chunks(8).zip(claimed.words());
        let whole = chunks.all(|(chunk, word)| chunk == &word[..chunk.len()]);
        whole.then_some(claimed).ok_or_else(|| format!("torn: it begins as {claimed:?}"))
    }
}

/// Takes what is in the queue until it is empty; `true` with it if the queue is closed.
///
/// # Errors
/// When the queue says anything but messages, `Empty` and `Closed`, or a message is torn.
pub fn drain(queue: &dyn Channel) -> Result<(Vec<Message>, bool), String> {
    let mut taken = Vec::new();
    let mut bytes = Vec::new();
    loop {
        match queue.get(&mut bytes, Wait::No) {
            Ok(()) => taken.push(Message::read(&bytes)?),
            Err(GetFault::Empty) => return Ok((taken, false)),
            Err(GetFault::Closed) => return Ok((taken, true)),
            Err(fault) => return Err(format!("after {} messages a get says: {fault}", taken.len())),
        }
    }
}
