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

use crate::flow::{Flow, PutRefusal};
use crate::kernel::Peek;
use crate::layout::PORTION;
use crate::map::Damage;
use crate::pages::UNKNOWN;
use crate::pool::{Live, Stuck};
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
                Ok(()) => end = end.wrapping_add(written),
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
    fn first(&self, peek: &Peek) -> Result<Option<u32>, Stuck> {
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
