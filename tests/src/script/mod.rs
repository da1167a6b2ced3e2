//! Scripts: operations on the queues of one name, generated at random, run on any transport and on the model.

mod generate;
mod reference;
mod run;

pub use generate::script;
pub use reference::Reference;
pub use run::Stage;

use ipcq_core::Transport;

use crate::model::{Blob, Patience, Why};

/// How many handles a script uses at once.
pub const HANDLES: usize = 3;

/// A message of a script: how long it is, and what it is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Its length in bytes.
    pub len: usize,
    /// Its first byte; the others follow from it.
    pub seed: u8,
}

impl Message {
    /// The bytes of the message.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut next = self.seed;
        let step = || {
            let byte = next;
            next = next.wrapping_mul(5).wrapping_add(113);
            byte
        };
        std::iter::repeat_with(step).take(self.len).collect()
    }
}

/// One operation. Those on a handle that is not open do nothing.
#[derive(Clone, Debug)]
pub enum Action {
    /// Makes the queue.
    Create {
        /// How many messages it takes.
        capacity: usize,
        /// How long they may be.
        max_message: usize,
    },
    /// Opens the queue.
    Open,
    /// Drops the handle.
    Drop,
    /// Removes the queue by its name.
    Remove,
    /// Lists all queues.
    List,
    /// Puts one message.
    Put(Message, Patience),
    /// Puts one message that is built in place.
    PutLoan(Message, Patience),
    /// Puts several.
    PutMany(Vec<Message>, Patience),
    /// Gets one message.
    Get(Patience),
    /// Gets one message in place.
    GetLoan(Patience),
    /// Gets several, this many at most.
    GetMany(usize, Patience),
    /// Gets several, this many messages and bytes at most.
    GetBytes(usize, usize),
    /// Gets until the queue is empty.
    Drain,
    /// Looks at the queue in every way there is.
    Observe,
    /// Closes the queue.
    Close,
}

/// One step of a script.
#[derive(Clone, Debug)]
pub struct Step {
    /// The handle it uses, below [`HANDLES`].
    pub handle: usize,
    /// What it does.
    pub action: Action,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handle was not open.
    Nothing,
    /// It was done.
    Done,
    /// It was not done; the values handed back.
    Refused(Why, Vec<Blob>),
    /// So many went in, and if that was not all, why, and the values handed back.
    Put(usize, Option<Why>, Vec<Blob>),
    /// Messages.
    Got(Vec<Blob>),
    /// The names of the queues.
    Names(Vec<String>),
    /// Messages in the queue, empty, full, closed, puts and gets so far, and capacity.
    Seen(usize, bool, bool, bool, u64, u64, usize),
}

impl Outcome {
    /// How many messages were got.
    #[must_use]
    pub const fn got(&self) -> usize {
        if let Self::Got(messages) = self { messages.len() } else { 0 }
    }
}

/// Runs `script` on `transport`, which holds no queues, and compares every outcome with the model's.
///
/// # Errors
/// The first step whose outcome the contract does not allow.
pub fn check(transport: &dyn Transport, script: &[Step]) -> Result<(), String> {
    let mut reference = Reference::new(transport.capabilities().lifetime);
    let mut stage = Stage::new(transport);
    for (number, step) in script.iter().enumerate() {
        let observed = stage.play(step, &reference);
        let expected = reference.play(step, &observed);
        if observed != expected {
            let name = transport.name();
            return Err(format!(
                "step {number} on {name}, {step:?}:\n  came to {observed:?},\n  not to {expected:?}"
            ));
        }
    }
    Ok(())
}
