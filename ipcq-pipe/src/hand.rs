//! Taking a message of an acknowledged queue from the pipe without ever having it nowhere.
//!
//! Reading a record destroys it, and who is killed behind that must not take the message along. So a getter of an
//! acknowledged queue reads records one by one into the *hand*, a place in the control file: the kernel moves the record
//! from one to the other in one step, as seen by everybody who may follow. It copies the message from there to what is in
//! flight, and gives the record up by its store of the head. A hand with the number of the head's message is the first
//! record of the queue, which the pipe does not have any more; with any other number it is empty.

use std::sync::atomic::Ordering;

use ipcq_core::os::refusal::{Damage, GetRefusal, Stuck};

use crate::flow::Flow;
use crate::kernel::Peek;
use crate::layout::Hand;
use crate::record::{self, HEADER, LARGE};

/// A message that was copied, and is to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    pub(crate) number: u64,
    /// Whether it has blocks of the pool.
    pub(crate) is_long: bool,
}

impl Flow<'_> {
    fn hand(&self) -> &Hand {
        &self.map.header().hand.0
    }

    /// Copies the next message into `message`, which is empty; its record is in the hand until the head has passed it.
    /// The caller holds the getters' lock.
    pub(crate) fn copy_by_hand(&self, message: &mut Vec<u8>) -> Result<Copied, GetRefusal> {
        let head = self.head();
        self.available(head)?;
        let len = self.length(head)?;
        if len > message.capacity() {
            return Err(GetRefusal::TooSmall(len));
        }
        if record::number(&self.in_hand()) != record::low(head) {
            self.pipe.read_into(self.hand(), self.record).map_err(|_| Damage)?;
        }
        let record = self.in_hand();
        self.copy(record.get(..self.record).ok_or(Damage)?, head, len, message)?;
        Ok(Copied { number: head, is_long: len > self.record - HEADER })
    }

    /// What is in the hand now: a copy, for somebody else may write there.
    fn in_hand(&self) -> [u8; LARGE] {
        let mut record = [0; LARGE];
        for (bytes, word) in record.chunks_exact_mut(size_of::<u64>()).zip(self.hand()) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        record
    }

    /// Sees to it that the hand has nothing that the pipe still has, which it has only if a getter was killed while the
    /// kernel was copying. The caller holds the getters' lock of one that died.
    #[cold]
    pub(crate) fn recover_hand(&self) -> Result<(), Stuck> {
        let head = self.head();
        if record::number(&self.in_hand()) == record::low(head)
            && self.first(&Peek::new()?)? == Some(record::low(head))
        {
            let empty = u64::from_ne_bytes(record::header(head.wrapping_sub(1), 0));
            self.hand()[0].store(empty, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::mem::forget;
    use std::sync::Arc;
    use std::thread;

    use ipcq_core::os::deliveries::channel;
    use ipcq_core::os::handle::Handle;
    use ipcq_core::os::two_lock::TwoLock;
    use ipcq_core::{Capacity, Identity, QueueOptions, Wait};

    use super::*;
    use crate::conduit::Conduit;
    use crate::kernel::Pipe;
    use crate::size;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// An acknowledged queue with two messages.
    fn conduit() -> Result<Arc<Conduit>, Box<dyn std::error::Error>> {
        let pipe = Pipe::unnamed()?;
        let settled = size::settle(&pipe, 8, Capacity::Exactly(8))?;
        let options = QueueOptions::new().acknowledged(true);
        let identity = Identity::new(crate::NAME, None, 1, 8, &options);
        let conduit = Conduit::create(tempfile::tempfile_in("/dev/shm")?.into(), pipe, settled, identity)?;
        for message in [b"first", b"other"] {
            conduit.put(&[message], Wait::No)?;
        }
        Ok(conduit)
    }

    /// A getter does `what` and dies with the lock: to the kernel, a thread that ends does.
    fn getter_dies(conduit: &Conduit, what: impl FnOnce(Flow<'_>) + Send) {
        let life = || {
            forget(conduit.header().get.0.lock.try_lock());
            what(conduit.flow());
        };
        thread::scope(|scope| scope.spawn(life).join()).expect("a thread that ends by itself");
    }

    fn both_come_out(conduit: Arc<Conduit>) -> Tested {
        let (queue, mut message) = (channel(Handle::new(conduit)), Vec::new());
        assert_eq!((queue.len()?, queue.in_flight()?), (2, 0));
        for expected in [b"first", b"other"] {
            let tag = queue.get_delivery(&mut message, Wait::No)?;
            assert_eq!((&message[..], tag.redeliveries), (&expected[..], 0));
            queue.acknowledge(&tag)?;
        }
        Ok(queue.join(Wait::No)?)
    }

    #[test]
    fn what_a_dead_getter_had_in_the_hand_is_not_lost() -> Tested {
        let conduit = conduit()?;
        getter_dies(&conduit, |flow| {
            flow.copy_by_hand(&mut Vec::with_capacity(100)).expect("a message");
        });
        both_come_out(conduit)
    }

    /// The kernel was copying when it died, so the pipe still has it.
    #[test]
    fn half_a_record_in_the_hand_is_none() -> Tested {
        let conduit = conduit()?;
        getter_dies(&conduit, |flow| {
            flow.hand()[0].store(u64::from_ne_bytes(record::header(0, 5)), Ordering::Relaxed);
        });
        both_come_out(conduit)
    }
}
