//! Dead letters: messages that came back too often go to another queue, which a broker of the same process hosts.
//!
//! Each broker is a thread. The one that gives a message up waits until the other one has taken it, or handed it back: so it
//! is in exactly one of the two queues, whatever happens. That other one never waits for this one, because the name of a
//! queue of dead letters is longer than that of its queue.

use std::sync::mpsc::{self, SyncSender};

use ipcq_core::QueueName;
use ipcq_core::os::home::Home;

use crate::server::Server;
use crate::store::Taken;
use crate::transport;

/// Where the dead letters of a queue go.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    pub(crate) home: Home,
    pub(crate) name: QueueName,
}

/// A message that another broker gives up, and where it is told what became of it. Dropping it hands the message back.
#[derive(Debug)]
pub(crate) struct Deposit {
    message: Option<Taken>,
    answer: SyncSender<Result<(), Taken>>,
}

impl DeadLetters {
    /// Moves `message` to the queue that has the name now; hands it back if that does not take it.
    pub(crate) fn bury(&self, message: Taken) -> Result<(), Taken> {
        let Ok((_, found)) = self.home.find(&self.name) else { return Err(message) };
        let Some(control) = transport::hosted(found.id()) else {
            return Err(message);
        };
        let (answer, told) = mpsc::sync_channel(1);
        control.deposit(Deposit { message: Some(message), answer });
        // There is an answer in any case.
        told.recv().unwrap_or(Ok(()))
    }
}

impl Drop for Deposit {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            // Whoever gave it up waits for this.
            let _ = self.answer.send(Err(message));
        }
    }
}

impl Server {
    /// Takes what other brokers of this process give up.
    pub(crate) fn take_deposits(&mut self) {
        while let Ok(mut deposit) = self.deposits.try_recv() {
            if let Some(message) = deposit.message.take() {
                // Whoever gave it up waits for this.
                let _ = deposit.answer.send(self.broker.adopt(message, &mut self.desk));
            }
        }
    }
}
