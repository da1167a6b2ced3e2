//! What the next owner of a lock concludes when the last one died with it, from the numbers of the records in the pipe.
//!
//! *A getter died.* It may have read records and not given them up. The first record in the pipe is the head then; if
//! there is none, everything that had been published before this look has been taken.
//!
//! *A putter died.* It may have written records and not published them. They are in the pipe, behind the tail: the
//! number of the first record and how many there are say how many. They are published, which is what the dead putter
//! was about to do, unless the queue is closed: then they stay out, for nobody reads beyond the tail. Blocks of the
//! pool that belong to no message are free again.
//!
//! Both rest on one side only: getters go on while putters recover, and the other way round. Whoever is killed in
//! here leaves the lock to the next one, who begins again. When it cannot be done for want of descriptors, it stays
//! to be done.

use std::io;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use ipcq_core::os::refusal::{Damage, PutRefusal, Stuck};
use ipcq_core::os::two_lock::PORTION;

use crate::flow::Flow;
use crate::kernel::Peek;
use crate::pages::UNKNOWN;
use crate::pool::Live;
use crate::record;

impl Flow<'_> {
    /// Finds the head that a dead getter left. The caller holds the getters' lock.
    #[cold]
    pub(crate) fn recover_head(&self) -> Result<(), Stuck> {
        let dirty = &self.get_side().dirty;
        dirty.store(1, Ordering::Relaxed);
        let peek = Peek::new()?;
        let head = self.head();
        // Before the look: what is published later does not count, and is still in the pipe.
        let tail = self.tail().count();
        let found = match self.first(&peek)? {
            Some(number) => head.wrapping_add(u64::from(number.wrapping_sub(record::low(head)))),
            None => tail,
        };
        if found.wrapping_sub(head) > PORTION as u64 {
            return Err(Stuck::Damage);
        }
        self.take(found);
        dirty.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Publishes what a dead putter had written, and frees what it had stored. The caller holds the putters' lock.
    #[cold]
    pub(crate) fn recover_tail(&self) -> Result<(), Stuck> {
        let side = self.side();
        side.dirty.store(1, Ordering::Relaxed);
        side.fill.store(UNKNOWN, Ordering::Relaxed);
        let tail = self.tail();
        let written = self.written(tail.count())?;
        if written > PORTION as u64 {
            return Err(Stuck::Damage);
        }
        let mut end = tail.count();
        if !tail.is_closed() && written > 0 {
            match self.publish(tail, end.wrapping_add(written)) {
                Ok(()) => {
                    let lengths = (0..written).map(|more| self.length(end.wrapping_add(more)).unwrap_or(0));
                    self.count_bytes(lengths.sum());
                    end = end.wrapping_add(written);
                }
                Err(PutRefusal::Stuck(stuck)) => return Err(stuck),
                Err(_) => {}
            }
        }
        self.pool().sweep(Live { head: self.head(), tail: end });
        side.dirty.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// How many records there are behind the tail `tail`, which stands still.
    fn written(&self, tail: u64) -> Result<u64, Stuck> {
        let peek = Peek::new()?;
        // Getters may read meanwhile, but no further than the tail.
        for _ in 0..=self.capacity {
            let first = self.first(&peek)?;
            let bytes = self.pipe.len().map_err(io::Error::from)?;
            if self.first(&peek)? != first {
                continue;
            }
            let Some(first) = first else { return Ok(0) };
            if !bytes.is_multiple_of(self.record) {
                return Err(Stuck::Damage);
            }
            let before = u64::from(record::low(tail).wrapping_sub(first));
            let there = (bytes / self.record) as u64;
            return there.checked_sub(before).ok_or(Stuck::Damage);
        }
        Err(Stuck::Damage)
    }

    /// The last 32 bits of the number of the first record in the pipe.
    pub(crate) fn first(&self, peek: &Peek) -> Result<Option<u32>, Stuck> {
        match peek.first(self.pipe, self.record) {
            Ok((_, 0)) => Ok(None),
            Ok((record, read)) if read == self.record => Ok(Some(record::number(&record))),
            Ok(_) => Err(Damage.into()),
            Err(errno @ (Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)) => {
                Err(io::Error::from(errno).into())
            }
            Err(_) => Err(Damage.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::forget;
    use std::sync::Arc;
    use std::thread;

    use ipcq_core::os::ends::Ends;
    use ipcq_core::os::shared_queue::SharedQueue;
    use ipcq_core::os::two_lock::TwoLock;
    use ipcq_core::os::waiting::Patience;
    use ipcq_core::{BackendError, Capacity, GetFault, Identity, PutFault, QueueOptions, Wait};

    use crate::conduit::Conduit;
    use crate::kernel::Pipe;
    use crate::record::LARGE;
    use crate::size;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    fn conduit(capacity: usize) -> Result<Arc<Conduit>, Box<dyn std::error::Error>> {
        let pipe = Pipe::unnamed()?;
        let settled = size::settle(&pipe, capacity, Capacity::Exactly(capacity))?;
        let identity = Identity::new(crate::NAME, None, 1, capacity, &QueueOptions::new());
        Ok(Conduit::create(tempfile::tempfile_in("/dev/shm")?.into(), pipe, settled, identity)?)
    }

    fn fill(conduit: &Conduit, messages: std::ops::Range<u8>) -> Tested {
        for message in messages {
            conduit.put(&[&[message]], Wait::No)?;
        }
        Ok(())
    }

    fn drain(conduit: &Conduit) -> Result<Vec<u8>, GetFault> {
        let (mut message, mut all) = (Vec::new(), Vec::new());
        loop {
            match conduit.get(&mut message, Wait::No) {
                Ok(()) => all.extend(&message),
                Err(GetFault::Empty) => return Ok(all),
                Err(fault) => return Err(fault),
            }
        }
    }

    fn len(conduit: &Conduit) -> Result<usize, BackendError> {
        conduit.settle_orphans();
        conduit.message_count()
    }

    /// Runs `life` in a thread that ends with what it has: to the kernel, that is how a process dies.
    fn dies(life: impl FnOnce() + Send) {
        thread::scope(|scope| scope.spawn(life).join()).expect("a thread that ends by itself");
    }

    /// A getter that read `records` of them and died.
    fn getter_dies(conduit: &Conduit, records: usize) {
        dies(|| {
            forget(conduit.lock_get(Wait::Forever, &Patience::default(), false));
            conduit.flow().read(&mut vec![0; records * LARGE]).expect("records that are there");
        });
    }

    /// A putter that wrote `messages` and died before it published them.
    fn putter_dies(conduit: &Conduit, messages: &[&[u8]]) {
        dies(|| {
            forget(conduit.lock_put(Wait::Forever));
            let flow = conduit.flow();
            for (message, number) in messages.iter().zip(flow.tail().count()..) {
                let mut record = [0; LARGE];
                flow.stage(&mut record, number, &[message], message.len()).expect("there is room");
                flow.write(&record).expect("there is room");
            }
        });
    }

    #[test]
    fn what_a_dead_getter_had_read_was_taken_and_no_more() -> Tested {
        for read in 0..=4 {
            let conduit = conduit(4)?;
            fill(&conduit, 0..4)?;
            getter_dies(&conduit, read);
            assert_eq!(len(&conduit)?, 4 - read);
            assert_eq!(drain(&conduit)?, (u8::try_from(read)?..4).collect::<Vec<_>>());
            fill(&conduit, 0..4)?;
            assert!(matches!(conduit.put(&[b"x"], Wait::No), Err(PutFault::Full)));
        }
        Ok(())
    }

    #[test]
    fn a_putter_finds_the_room_that_a_dead_getter_left() -> Tested {
        let conduit = conduit(2)?;
        fill(&conduit, 0..2)?;
        getter_dies(&conduit, 1);
        fill(&conduit, 2..3)?;
        assert!(matches!(conduit.put(&[b"x"], Wait::No), Err(PutFault::Full)));
        assert_eq!(drain(&conduit)?, [1, 2]);
        Ok(())
    }

    #[test]
    fn what_a_dead_putter_had_written_is_put() -> Tested {
        for before in [0, 3] {
            for taken in 0..=usize::from(before) {
                let conduit = conduit(8)?;
                fill(&conduit, 0..before)?;
                let mut message = Vec::new();
                (0..taken).try_for_each(|_| conduit.get(&mut message, Wait::No))?;
                putter_dies(&conduit, &[&[7], &[8]]);
                assert_eq!(len(&conduit)?, usize::from(before) - taken + 2);
                fill(&conduit, 9..10)?;
                let left = (0..before).skip(taken).chain(7..10);
                assert_eq!(drain(&conduit)?, left.collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    #[test]
    fn a_getter_finds_what_a_dead_putter_had_written() -> Tested {
        let conduit = conduit(8)?;
        putter_dies(&conduit, &[&[7]]);
        let mut message = Vec::new();
        conduit.get(&mut message, Wait::No)?;
        assert_eq!(message, [7]);
        Ok(())
    }

    #[test]
    fn nothing_is_put_behind_the_end_by_the_dead() -> Tested {
        let conduit = conduit(8)?;
        fill(&conduit, 0..1)?;
        putter_dies(&conduit, &[&[7]]);
        conduit.header().close();
        assert_eq!(len(&conduit)?, 1);
        let mut message = Vec::new();
        conduit.get(&mut message, Wait::No)?;
        assert_eq!(message, [0]);
        assert!(matches!(conduit.get(&mut message, Wait::No), Err(GetFault::Closed)));
        Ok(())
    }

    #[test]
    fn both_sides_can_die() -> Tested {
        let conduit = conduit(8)?;
        fill(&conduit, 0..3)?;
        putter_dies(&conduit, &[&[3]]);
        getter_dies(&conduit, 2);
        assert_eq!(len(&conduit)?, 2);
        assert_eq!(drain(&conduit)?, [2, 3]);
        let header = conduit.header();
        assert_eq!((header.put.0.lock.deaths(), header.get.0.lock.deaths(), header.bytes_put()), (1, 1, 4));
        Ok(())
    }

    #[test]
    fn the_memory_of_a_message_that_never_came_to_be_is_given_back() -> Tested {
        const LEN: usize = 20 << 20;
        let conduit = conduit(8)?;
        let empty = conduit.bytes()?;
        dies(|| {
            forget(conduit.lock_put(Wait::Forever));
            let mut record = [0; LARGE];
            let flow = conduit.flow();
            flow.stage(&mut record, flow.tail().count(), &[&vec![1; LEN]], LEN).expect("there is room");
        });
        assert!(conduit.bytes()? > LEN as u64);
        conduit.upkeep(&|| true);
        assert_eq!(len(&conduit)?, 0);
        assert!(conduit.bytes()? <= empty + 64 * 1024, "{} bytes", conduit.bytes()?);
        Ok(())
    }

    #[test]
    fn foreign_bytes_are_damage() -> Tested {
        for foreign in [&[0; LARGE][..], &[7; 100], &[0xff; 4096]] {
            let conduit = conduit(8)?;
            conduit.flow().pipe.write(foreign)?;
            fill(&conduit, 0..1)?;
            putter_dies(&conduit, &[]);
            for _ in 0..2 {
                let outcome = conduit.put(&[b"x"], Wait::No);
                assert!(matches!(outcome, Err(PutFault::Backend(_))), "{outcome:?}");
            }
            let mut message = Vec::new();
            let outcome = conduit.get(&mut message, Wait::No);
            assert!(matches!(outcome, Err(GetFault::Backend(_))), "{outcome:?}");
        }
        Ok(())
    }

    #[test]
    fn a_pipe_that_something_else_emptied_is_damage() -> Tested {
        let conduit = conduit(8)?;
        fill(&conduit, 0..4)?;
        conduit.flow().pipe.read(&mut [0; 2 * LARGE])?;
        let mut message = Vec::new();
        assert!(matches!(conduit.get(&mut message, Wait::No), Err(GetFault::Backend(_))));
        conduit.flow().pipe.read(&mut [0; LARGE])?;
        assert!(matches!(conduit.get(&mut message, Wait::No), Err(GetFault::Backend(_))));
        Ok(())
    }
}
