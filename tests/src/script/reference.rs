//! A script on the model.

use ipcq_core::Lifetime;

use super::{Action, HANDLES, Outcome, Step};
use crate::model::{Blob, Model, Patience, Why};

/// Every queue that a script has made under its name, and what its handles stand for.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    queues: Vec<Model>,
    /// The queue that has the name now.
    named: Option<usize>,
    handles: [Option<usize>; HANDLES],
    /// Whether a queue ends with its last handle.
    mortal: bool,
}

impl Reference {
    /// No queue, no open handle; queues live as `lifetime` says.
    #[must_use]
    pub fn new(lifetime: Lifetime) -> Self {
        Self { mortal: lifetime == Lifetime::WhileAnyHandle, ..Self::default() }
    }

    /// The queue that `handle` stands for.
    #[must_use]
    pub fn queue(&self, handle: usize) -> Option<&Model> {
        self.handles[handle].map(|queue| &self.queues[queue])
    }

    /// What `step` must come to. Where the contract leaves a choice, `observed` says which was taken.
    pub fn play(&mut self, step: &Step, observed: &Outcome) -> Outcome {
        let outcome = self.play_step(step, observed);
        if self.mortal && !self.handles.contains(&self.named) {
            self.named = None;
        }
        outcome
    }

    fn play_step(&mut self, step: &Step, observed: &Outcome) -> Outcome {
        match &step.action {
            Action::Create { capacity, max_message } => {
                self.create(step.handle, Model::new(*capacity, *max_message))
            }
            Action::Open => match self.named {
                Some(queue) => {
                    self.handles[step.handle] = Some(queue);
                    Outcome::Done
                }
                None => Outcome::Refused(Why::Missing, Vec::new()),
            },
            Action::Drop => {
                self.handles[step.handle] = None;
                Outcome::Done
            }
            Action::Remove => match self.named.take() {
                Some(queue) => {
                    self.queues[queue].remove();
                    Outcome::Done
                }
                None => Outcome::Refused(Why::Missing, Vec::new()),
            },
            Action::List => Outcome::Names(self.named.iter().map(|_| "q".to_owned()).collect()),
            action => match self.handles[step.handle] {
                Some(queue) => play_on(&mut self.queues[queue], action, observed),
                None => Outcome::Nothing,
            },
        }
    }

    fn create(&mut self, handle: usize, queue: Model) -> Outcome {
        if self.named.is_some() {
            return Outcome::Refused(Why::Exists, Vec::new());
        }
        self.queues.push(queue);
        self.named = Some(self.queues.len() - 1);
        self.handles[handle] = self.named;
        Outcome::Done
    }
}

fn play_on(queue: &mut Model, action: &Action, observed: &Outcome) -> Outcome {
    match action {
        Action::Put(message, patience) | Action::PutLoan(message, patience) => {
            let bytes = message.bytes();
            match queue.put(&bytes, *patience) {
                Ok(()) => Outcome::Done,
                Err(why) => Outcome::Refused(why, vec![Blob(bytes)]),
            }
        }
        Action::PutMany(messages, patience) => {
            let messages: Vec<_> = messages.iter().map(super::Message::bytes).collect();
            let (done, result) = queue.put_many(&messages, *patience);
            Outcome::Put(done, result.err(), messages.into_iter().skip(done).map(Blob).collect())
        }
        Action::Get(patience) | Action::GetLoan(patience) => {
            got(queue.get(*patience).map(|message| vec![message]))
        }
        Action::GetMany(max, patience) => got(queue.get_many(*max, *patience)),
        Action::GetBytes(max, bytes) => {
            // A transport may take fewer than the limit on bytes allows.
            let most = queue.most_within(*max, *bytes).max(1);
            got(queue.get_many(observed.got().clamp(1, most).min(*max), Patience::None))
        }
        Action::Drain => got(queue.get_many(usize::MAX, Patience::None).or(Ok(Vec::new()))),
        Action::Observe => see(queue),
        Action::Close => {
            queue.close().map_or_else(|why| Outcome::Refused(why, Vec::new()), |()| Outcome::Done)
        }
        _ => Outcome::Nothing,
    }
}

fn got(result: Result<Vec<Vec<u8>>, Why>) -> Outcome {
    match result {
        Ok(messages) => Outcome::Got(messages.into_iter().map(Blob).collect()),
        Err(why) => Outcome::Refused(why, Vec::new()),
    }
}

fn see(queue: &Model) -> Outcome {
    let look = |queue: &Model| {
        let (puts, gets) = queue.totals();
        let (empty, full) = (queue.is_empty(), queue.is_full());
        Outcome::Seen(queue.len(), empty, full, queue.is_closed(), puts, gets, queue.capacity())
    };
    queue.observe(look).unwrap_or_else(|why| Outcome::Refused(why, Vec::new()))
}
