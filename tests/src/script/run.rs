//! A script on a transport, through the typed queue.

use std::time::Duration;

use ipcq_core::{
    BackendError, Batch, Bytes, CreateError, GetFault, GetManyError, Limit, OpenError, Queue, QueueName,
    QueueOptions, RemoveError, Transport, Wait,
};

use super::{Action, HANDLES, Message, Outcome, Reference, Step};
use crate::model::{Blob, Patience, Why};

type Raw = Queue<Vec<u8>, Bytes>;

/// A transport, and the handles that a script has open on it.
#[derive(Debug)]
pub struct Stage<'a> {
    transport: &'a dyn Transport,
    handles: [Option<Raw>; HANDLES],
}

impl<'a> Stage<'a> {
    /// No open handle.
    #[must_use]
    pub fn new(transport: &'a dyn Transport) -> Self {
        Self { transport, handles: [const { None }; HANDLES] }
    }

    /// Does what `step` says. `reference`, in the state before it, tells whether it may wait for ever.
    pub fn play(&mut self, step: &Step, reference: &Reference) -> Outcome {
        let name = QueueName::new("q").expect("a legal name");
        let made = match &step.action {
            Action::Create { capacity, max_message } => {
                let options = QueueOptions::new().capacity(*capacity).max_message(*max_message);
                Raw::create(self.transport, "q", &options).map_err(|error| why_not_created(&error))
            }
            Action::Open => Raw::open(self.transport, "q").map_err(|error| why_not_opened(&error)),
            Action::Drop => {
                self.handles[step.handle] = None;
                return Outcome::Done;
            }
            Action::Remove => {
                return done(self.transport.remove(&name).map_err(|error| why_not_removed(&error)));
            }
            Action::List => return self.list(),
            action => {
                let Some(queue) = &self.handles[step.handle] else { return Outcome::Nothing };
                let model = reference.queue(step.handle).expect("the reference has the same handles");
                let can_wait = match action {
                    Action::PutMany(messages, _) => {
                        let messages: Vec<_> = messages.iter().map(Message::bytes).collect();
                        model.can_put_all(&messages)
                    }
                    Action::Put(..) | Action::PutLoan(..) => model.can_put(),
                    _ => model.can_get(),
                };
                return play_on(queue, action, can_wait);
            }
        };
        done(made.map(|queue| self.handles[step.handle] = Some(queue)))
    }

    fn list(&self) -> Outcome {
        match self.transport.list() {
            Ok(names) => Outcome::Names(names.into_iter().map(String::from).collect()),
            Err(error) => Outcome::Refused(why_of_backend(&error), Vec::new()),
        }
    }
}

fn play_on(queue: &Raw, action: &Action, can_wait: bool) -> Outcome {
    let settle = |patience: Patience| match patience {
        Patience::Endless if !can_wait => Patience::None,
        patience => patience,
    };
    match action {
        Action::Put(message, patience) => put(queue, message.bytes(), settle(*patience)),
        Action::PutMany(messages, patience) => {
            put_many(queue, messages.iter().map(Message::bytes).collect(), settle(*patience))
        }
        Action::PutLoan(message, patience) => put_loan(queue, message.bytes(), settle(*patience)),
        Action::Get(patience) => get(queue, settle(*patience)),
        Action::GetLoan(patience) => get_loan(queue, settle(*patience)),
        Action::GetMany(max, patience) => got(match settle(*patience) {
            Patience::None => queue.try_get_many(*max),
            Patience::Zero => queue.get_many_timeout(*max, Duration::ZERO),
            Patience::Endless => queue.get_many(*max),
        }),
        Action::GetBytes(max, bytes) => get_bytes(queue, Limit::messages(*max).with_bytes(*bytes)),
        Action::Drain => match queue.try_iter().collect::<Result<Vec<_>, _>>() {
            Ok(messages) => Outcome::Got(messages.into_iter().map(Blob).collect()),
            Err(error) => Outcome::Refused(Why::Other(error.to_string()), Vec::new()),
        },
        Action::Observe => {
            see(queue).unwrap_or_else(|error| Outcome::Refused(why_of_backend(&error), Vec::new()))
        }
        _ => done(queue.close().map_err(|error| why_of_backend(&error))),
    }
}

fn done(result: Result<(), Why>) -> Outcome {
    result.map_or_else(|why| Outcome::Refused(why, Vec::new()), |()| Outcome::Done)
}

/// What a put came to: the errors of its three forms have the same methods.
macro_rules! outcome_of_put {
    ($result:expr, $error:ident, $waited:expr) => {
        match $result {
            Ok(()) => Outcome::Done,
            Err($error) => {
                let why = match () {
                    () if $error.is_closed() => Why::Closed,
                    () if $error.is_too_long() => Why::TooLong,
                    () => $waited.unwrap_or_else(|| Why::Other($error.to_string())),
                };
                Outcome::Refused(why, vec![Blob(Vec::from($error.into_inner()))])
            }
        }
    };
}

fn put(queue: &Raw, bytes: Vec<u8>, patience: Patience) -> Outcome {
    match patience {
        Patience::None => {
            outcome_of_put!(queue.try_put(bytes), error, error.is_full().then_some(Why::Full))
        }
        Patience::Zero => {
            let result = queue.put_timeout(bytes, Duration::ZERO);
            outcome_of_put!(result, error, error.is_timeout().then_some(Why::Timeout))
        }
        Patience::Endless => outcome_of_put!(queue.put(bytes), error, None),
    }
}

fn put_loan(queue: &Raw, bytes: Vec<u8>, patience: Patience) -> Outcome {
    let mut loan = match queue.loan(bytes.len()) {
        Ok(loan) => loan,
        Err(error) if error.is_too_long() => return Outcome::Refused(Why::TooLong, vec![Blob(bytes)]),
        Err(error) => return Outcome::Refused(Why::Other(error.to_string()), Vec::new()),
    };
    loan.copy_from_slice(&bytes);
    match patience {
        Patience::None => {
            outcome_of_put!(queue.try_put_loan(loan), error, error.is_full().then_some(Why::Full))
        }
        Patience::Zero => {
            let result = queue.put_loan_timeout(loan, Duration::ZERO);
            outcome_of_put!(result, error, error.is_timeout().then_some(Why::Timeout))
        }
        Patience::Endless => outcome_of_put!(queue.put_loan(loan), error, None),
    }
}

fn put_many(queue: &Raw, messages: Vec<Vec<u8>>, patience: Patience) -> Outcome {
    let result = match patience {
        Patience::None => queue.try_put_many(messages),
        Patience::Zero => queue.put_many_timeout(messages, Duration::ZERO),
        Patience::Endless => queue.put_many(messages),
    };
    match result {
        Ok(count) => Outcome::Put(count, None, Vec::new()),
        Err(error) => {
            let why = match () {
                () if error.is_closed() => Why::Closed,
                () if error.is_too_long() => Why::TooLong,
                () if error.is_full() => Why::Full,
                () if error.is_timeout() => Why::Timeout,
                () => Why::Other(error.to_string()),
            };
            Outcome::Put(error.put(), Some(why), error.into_rest().map(Blob).collect())
        }
    }
}

/// What a get came to, the same way.
macro_rules! outcome_of_get {
    ($result:expr, $error:ident, $waited:expr) => {
        match $result {
            Ok(message) => Outcome::Got(vec![Blob(Vec::from(message))]),
            Err($error) => {
                let other = || $waited.unwrap_or_else(|| Why::Other($error.to_string()));
                Outcome::Refused(if $error.is_closed() { Why::Closed } else { other() }, Vec::new())
            }
        }
    };
}

fn get(queue: &Raw, patience: Patience) -> Outcome {
    match patience {
        Patience::None => outcome_of_get!(queue.try_get(), error, error.is_empty().then_some(Why::Empty)),
        Patience::Zero => {
            let result = queue.get_timeout(Duration::ZERO);
            outcome_of_get!(result, error, error.is_timeout().then_some(Why::Timeout))
        }
        Patience::Endless => outcome_of_get!(queue.get(), error, None),
    }
}

fn get_loan(queue: &Raw, patience: Patience) -> Outcome {
    match patience {
        Patience::None => {
            outcome_of_get!(queue.try_get_loan(), error, error.is_empty().then_some(Why::Empty))
        }
        Patience::Zero => {
            let result = queue.get_loan_timeout(Duration::ZERO);
            outcome_of_get!(result, error, error.is_timeout().then_some(Why::Timeout))
        }
        Patience::Endless => outcome_of_get!(queue.get_loan(), error, None),
    }
}

fn got(result: Result<Vec<Vec<u8>>, GetManyError<Vec<u8>>>) -> Outcome {
    match result {
        Ok(messages) => Outcome::Got(messages.into_iter().map(Blob).collect()),
        Err(error) => {
            let why = match () {
                () if error.is_closed() => Why::Closed,
                () if error.is_empty() => Why::Empty,
                () if error.is_timeout() => Why::Timeout,
                () => Why::Other(error.to_string()),
            };
            Outcome::Refused(why, Vec::new())
        }
    }
}

fn get_bytes(queue: &Raw, limit: Limit) -> Outcome {
    let mut batch = Batch::new();
    match queue.channel().get_many(&mut batch, limit, Wait::No) {
        Ok(_) => Outcome::Got(batch.iter().map(|message| Blob(message.to_vec())).collect()),
        Err(fault) => Outcome::Refused(why_of_get(&fault), Vec::new()),
    }
}

fn see(queue: &Raw) -> Result<Outcome, BackendError> {
    let stat = queue.stat()?;
    let (len, empty, full) = (queue.len()?, queue.is_empty()?, queue.is_full()?);
    let closed = queue.is_closed()?;
    if (stat.len, stat.closed) != (len, closed) {
        return Ok(Outcome::Refused(Why::Other(format!("{stat:?}")), Vec::new()));
    }
    Ok(Outcome::Seen(len, empty, full, closed, stat.puts, stat.gets, queue.capacity()))
}

fn why_of_get(fault: &GetFault) -> Why {
    match fault {
        GetFault::Empty => Why::Empty,
        GetFault::Timeout => Why::Timeout,
        GetFault::Closed => Why::Closed,
        other => Why::Other(other.to_string()),
    }
}

fn why_of_backend(error: &BackendError) -> Why {
    if error.is_gone() { Why::Gone } else { Why::Other(error.to_string()) }
}

fn why_not_created(error: &CreateError) -> Why {
    if matches!(error, CreateError::Exists { .. }) { Why::Exists } else { Why::Other(error.to_string()) }
}

fn why_not_opened(error: &OpenError) -> Why {
    if error.is_missing() { Why::Missing } else { Why::Other(error.to_string()) }
}

fn why_not_removed(error: &RemoveError) -> Why {
    if matches!(error, RemoveError::Missing { .. }) { Why::Missing } else { Why::Other(error.to_string()) }
}
