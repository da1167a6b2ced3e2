//! A queue that does not survive deaths, to show that the crash tests see it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipcq_core::{
    BackendError, BackendErrorKind, Capabilities, Channel, CreateError, GetFault, Identity, Lifetime,
    OpenError, PutFault, QueueName, QueueOptions, RemoveError, Stat, Transport, Wait,
};

use super::board::board;

/// Makes queues whose lock nobody repairs, and whose message is counted before it is written.
#[derive(Debug, Default)]
pub struct ToyTransport;

/// Words of a slot: the length, then the bytes.
const SLOT: usize = 16;
const LOCK: usize = 0;
const HEAD: usize = 1;
const TAIL: usize = 2;
const SLOTS: usize = 3;

#[derive(Debug)]
struct Toy {
    words: &'static [AtomicU64],
    identity: Identity,
}

impl Transport for ToyTransport {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Lifetime::WhileAnyHandle, 64, 8 * (SLOT - 1))
    }

    fn create(&self, _: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        self.create_anonymous(options)
    }

    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError> {
        let can = self.capabilities();
        let options = options.clone().max_message(can.max_message);
        let capacity = options.settle("toy", &can)?;
        let words = board(SLOTS + capacity * SLOT);
        Ok(Arc::new(Toy { words, identity: Identity::new("toy", None, 0, capacity, &options) }))
    }

    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError> {
        Err(OpenError::missing(name))
    }

    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        Err(OpenError::missing(number))
    }

    fn remove(&self, _: &QueueName) -> Result<(), RemoveError> {
        Ok(())
    }

    fn list(&self) -> Result<Vec<QueueName>, BackendError> {
        Ok(Vec::new())
    }

    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        Ok(Vec::new())
    }
}

impl Toy {
    fn word(&self, at: usize) -> u64 {
        self.words[at].load(Ordering::SeqCst)
    }

    fn lock(&self, wait: Wait) -> bool {
        let patience = Wait::timeout(std::time::Duration::from_millis(10));
        let deadline = if wait == Wait::No { patience } else { wait };
        while self.words[LOCK].swap(1, Ordering::SeqCst) == 1 {
            if deadline.is_over() {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    fn unlock(&self) {
        self.words[LOCK].store(0, Ordering::SeqCst);
    }

    /// The word of the slot of message `number`.
    fn slot(&self, number: u64) -> usize {
        let capacity = self.identity.capacity as u64;
        SLOTS + usize::try_from(number % capacity).unwrap_or(0) * SLOT
    }

    fn held(&self) -> u64 {
        self.word(TAIL) - self.word(HEAD)
    }
}

impl Channel for Toy {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        let bytes = parts.concat();
        if !self.lock(wait) {
            return Err(PutFault::Busy);
        }
        let tail = self.word(TAIL);
        if self.held() == self.identity.capacity as u64 {
            self.unlock();
            return Err(PutFault::Full);
        }
        let slot = self.slot(tail);
        self.words[TAIL].store(tail + 1, Ordering::SeqCst);
        self.words[slot].store(bytes.len() as u64, Ordering::SeqCst);
        for (word, chunk) in self.words[slot + 1..].iter().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(eight), Ordering::SeqCst);
        }
        self.unlock();
        Ok(())
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        if !self.lock(wait) {
            return Err(GetFault::Busy);
        }
        if self.held() == 0 {
            self.unlock();
            return Err(GetFault::Empty);
        }
        let slot = self.slot(self.word(HEAD));
        let len = usize::try_from(self.word(slot)).unwrap_or(0);
        message.clear();
        for word in &self.words[slot + 1..slot + SLOT] {
            message.extend_from_slice(&word.load(Ordering::SeqCst).to_le_bytes());
        }
        message.truncate(len);
        self.words[HEAD].fetch_add(1, Ordering::SeqCst);
        self.unlock();
        Ok(())
    }

    fn len(&self) -> Result<usize, BackendError> {
        Ok(usize::try_from(self.held()).unwrap_or(usize::MAX))
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        Ok(false)
    }

    fn close(&self) -> Result<(), BackendError> {
        Err(unsupported("be closed"))
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let mut stat = Stat::new(self.len()?, false, "a shared mapping".to_owned());
        (stat.puts, stat.gets) = (self.word(TAIL), self.word(HEAD));
        Ok(stat)
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn share_with(&self, _: &mut std::process::Command) -> Result<(), BackendError> {
        Err(unsupported("be inherited"))
    }
}

fn unsupported(what: &str) -> BackendError {
    let reason = io::Error::from(io::ErrorKind::Unsupported);
    BackendError::new(BackendErrorKind::Unsupported, "toy", format!("it cannot {what}")).with_source(reason)
}
