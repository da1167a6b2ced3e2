//! Memory that is lent: to build a message where it will lie, and to read one where it lies.

use std::any::Any;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};

/// The bytes of a message that belong to this process for a while: one that it builds, or one that it was given.
///
/// [`Queue::loan`](crate::Queue::loan) lends room for a message, [`Queue::put_loan`](crate::Queue::put_loan) puts it, and
/// [`Queue::get_loan`](crate::Queue::get_loan) gets a message as a loan. Where the transport can, these are the bytes of
/// the queue's own memory, and nobody copies them; elsewhere they are a copy, and everything is the same but for the
/// time it takes. What was got can be changed, and put again, into any queue.
///
/// Dropping it gives the memory back: a message that was being built is gone, and so is one that was got. What a process
/// has when it is killed, the queue has again with the next loan, or within a second of somebody's waiting for it or
/// looking at it.
///
/// # Who can write there
/// No process that uses the queue by this library touches memory that another one has. One that may open the queue's
/// file could, with a program of its own, and then what is read twice may differ: copy first what must not change
/// between a check and its use.
///
/// A child of a fork does not have what its parent has: its copy of a loan is the same memory, which the parent may put
/// or give back at any time, so it must not use it. Dropping it there does nothing, and putting it is an error.
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Bytes, Queue, QueueOptions};
///
/// let frames = Queue::<Vec<u8>, Bytes>::anonymous(&MemoryTransport::new(), &QueueOptions::new())?;
/// let mut frame = frames.loan(1 << 20)?;
/// frame.fill(7);
/// frames.put_loan(frame)?;
///
/// let frame = frames.get_loan()?;
/// assert!(frame.len() == 1 << 20 && frame.iter().all(|byte| *byte == 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Loan {
    memory: Memory,
}

enum Memory {
    Own(Vec<u8>),
    Lent(Box<dyn Lent>),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

/// Memory of a queue that this process has: what a backend makes [loans](Loan) of. Dropping it gives it back.
pub trait Lent: Any + Send + Sync {
    /// The bytes of the message.
    fn bytes(&self) -> &[u8];

    /// The same, to write.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Shortens the message to `len` bytes, if it is longer.
    fn truncate(&mut self, len: usize);
}

impl Loan {
    /// A loan of what a queue lends.
    #[must_use]
    pub fn of(lent: Box<dyn Lent>) -> Self {
        Self { memory: Memory::Lent(lent) }
    }

    /// Shortens the message to `len` bytes; does nothing if it has no more.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.memory {
            Memory::Own(bytes) => bytes.truncate(len),
            Memory::Lent(lent) => lent.truncate(len),
        }
    }

    /// Whether the bytes are those of a queue's own memory, which nobody needs to copy.
    #[must_use]
    pub const fn is_in_place(&self) -> bool {
        matches!(self.memory, Memory::Lent(_))
    }

    /// What a queue lent, if it is an `L`: for backends, which know their own again.
    #[must_use]
    pub fn lent<L: Lent>(&mut self) -> Option<&mut L> {
        match &mut self.memory {
            Memory::Own(_) => None,
            Memory::Lent(lent) => (&mut **lent as &mut dyn Any).downcast_mut(),
        }
    }

    /// The bytes, copied unless they are no queue's.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        match &mut self.memory {
            Memory::Own(bytes) => mem::take(bytes),
            Memory::Lent(lent) => lent.bytes().to_vec(),
        }
    }
}

/// A loan of bytes that are no queue's.
impl From<Vec<u8>> for Loan {
    fn from(bytes: Vec<u8>) -> Self {
        Self { memory: Memory::Own(bytes) }
    }
}

impl From<Loan> for Vec<u8> {
    fn from(loan: Loan) -> Self {
        loan.into_vec()
    }
}

impl Deref for Loan {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(bytes) => bytes,
            Memory::Lent(lent) => lent.bytes(),
        }
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Own(bytes) => bytes,
            Memory::Lent(lent) => lent.bytes_mut(),
        }
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Says how long it is and where, never what is in it.
impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan")
            .field("len", &self.len())
            .field("in_place", &self.is_in_place())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_no_queue_are_not_copied() {
        let bytes = vec![7; 100];
        let at = bytes.as_ptr();
        let mut loan = Loan::from(bytes);
        assert!(!loan.is_in_place());
        loan.truncate(200);
        assert_eq!(loan.len(), 100);
        loan.truncate(3);
        loan[0] = 8;
        let bytes = loan.into_vec();
        assert_eq!((bytes.as_slice(), bytes.as_ptr()), (&[8, 7, 7][..], at));
    }
}
