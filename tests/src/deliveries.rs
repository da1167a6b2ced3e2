//! Acknowledged queues: a model of one, and scripts that are compared with it step by step (Q20, Q21).

use std::collections::BTreeMap;

use ipcq_core::{
    Channel, DeliveryTag, GetFault, JoinFault, PutFault, QueueName, QueueOptions, Transport, Wait,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::script::Message;

/// One operation.
#[derive(Clone, Debug)]
pub enum Action {
    /// Puts one message.
    Put(Message),
    /// Hands one out.
    Deliver,
    /// Takes one for good.
    Take,
    /// Acknowledges what is held, by its place among all that is; and so on.
    Acknowledge(usize),
    /// Gives it back.
    GiveBack(usize),
    /// Another holder is handed out so many, and dies.
    Die(usize),
    /// Joins without waiting.
    Join,
    /// Closes the queue.
    Close,
}

/// A script, and the queue that it is played on.
#[derive(Clone, Debug)]
pub struct Script {
    capacity: usize,
    limit: Option<u32>,
    actions: Vec<Action>,
}

/// What a step came to; what is seen after each is compared as well.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Got(Vec<u8>, u32),
    Full,
    Empty,
    Closed,
    Unfinished,
    Other(String),
}

/// Ready, in flight, full, closed, puts, gets, redelivered, dead letters.
type Seen = (usize, usize, bool, bool, u64, u64, u64, usize);

/// Scripts of up to `steps` steps.
pub fn script(steps: usize) -> impl Strategy<Value = Script> {
    let message = (0_usize..4000, any::<u8>()).prop_map(|(len, seed)| Message { len, seed });
    let action = prop_oneof![
        8 => message.prop_map(Action::Put),
        8 => Just(Action::Deliver),
        2 => Just(Action::Take),
        4 => (0_usize..9).prop_map(Action::Acknowledge),
        5 => (0_usize..9).prop_map(Action::GiveBack),
        1 => (1_usize..4).prop_map(Action::Die),
        2 => Just(Action::Join),
        1 => Just(Action::Close),
    ];
    let limit = prop_oneof![Just(None), (0_u32..3).prop_map(Some)];
    let script = (1_usize..9, limit, vec(action, 1..steps));
    script.prop_map(|(capacity, limit, actions)| Script { capacity, limit, actions })
}

/// The reference.
#[derive(Debug, Default)]
struct Model {
    ready: BTreeMap<u64, (Vec<u8>, u32)>,
    held: BTreeMap<u64, (Vec<u8>, u32)>,
    dead: usize,
    closed: bool,
    puts: u64,
    gets: u64,
    redelivered: u64,
}

impl Model {
    fn put(&mut self, bytes: Vec<u8>, capacity: usize) -> Outcome {
        if self.closed {
            return Outcome::Closed;
        }
        if self.ready.len() + self.held.len() >= capacity {
            return Outcome::Full;
        }
        self.ready.insert(self.puts, (bytes, 0));
        self.puts += 1;
        Outcome::Done
    }

    fn get(&mut self, keep: bool) -> Outcome {
        let Some((number, (bytes, redeliveries))) = self.ready.pop_first() else {
            let ended = self.closed && self.held.is_empty();
            return if ended { Outcome::Closed } else { Outcome::Empty };
        };
        self.redelivered += u64::from(redeliveries > 0);
        if keep {
            self.held.insert(number, (bytes.clone(), redeliveries));
            return Outcome::Got(bytes, redeliveries);
        }
        self.gets += 1;
        Outcome::Got(bytes, 0)
    }

    fn settle(&mut self, place: usize, back: bool, script: &Script) -> Outcome {
        let Some(number) = self.held.keys().nth(place).copied() else { return Outcome::Done };
        let Some((bytes, redeliveries)) = self.held.remove(&number) else { return Outcome::Done };
        let buried = script.limit.is_some_and(|most| redeliveries >= most) && self.dead < script.capacity;
        if !back || buried {
            self.dead += usize::from(back);
            self.gets += 1;
        } else {
            self.ready.insert(number, (bytes, redeliveries + 1));
        }
        Outcome::Done
    }

    /// A holder is handed out some, and dies.
    fn die(&mut self, count: usize) {
        let mut had = Vec::new();
        for _ in 0..count {
            let Some((number, (bytes, redeliveries))) = self.ready.pop_first() else { break };
            self.redelivered += u64::from(redeliveries > 0);
            had.push((number, (bytes, redeliveries + 1)));
        }
        self.ready.extend(had);
    }

    fn see(&self, capacity: usize) -> Seen {
        let (ready, held) = (self.ready.len(), self.held.len());
        let full = ready + held == capacity;
        (ready, held, full, self.closed, self.puts, self.gets, self.redelivered, self.dead)
    }
}

/// Plays `script` on `transport`, which holds no queues, and compares every outcome with the model's; `die` has another
/// holder handed out so many messages of the queue `q`, and then dead.
///
/// # Errors
/// The first step whose outcome the contract does not allow.
pub fn check(transport: &dyn Transport, script: &Script, mut die: impl FnMut(usize)) -> Result<(), String> {
    let name: QueueName = "q".parse().map_err(|error| format!("{error}"))?;
    let options = QueueOptions::new().capacity(script.capacity).acknowledged(true);
    let options = script.limit.map_or(options.clone(), |limit| options.max_redeliveries(limit));
    let queue = transport.create(&name, &options).map_err(|error| error.to_string())?;
    let dead = script.limit.map(|_| transport.open(&"q.dead".parse().expect("a legal name")));
    let dead = dead.transpose().map_err(|error| error.to_string())?;
    let (mut model, mut held) = (Model::default(), BTreeMap::new());
    for (number, action) in script.actions.iter().enumerate() {
        // Too many messages among the dead letters come to the same by another way, and at another time.
        let is_crowded = script.limit.is_some() && model.dead >= script.capacity;
        let expected = match action {
            Action::Put(message) => model.put(message.bytes(), script.capacity),
            Action::Deliver => model.get(true),
            Action::Take => model.get(false),
            Action::Acknowledge(place) => model.settle(*place, false, script),
            Action::GiveBack(_) if is_crowded => continue,
            Action::GiveBack(place) => model.settle(*place, true, script),
            Action::Die(_) if script.limit.is_some() => continue,
            Action::Die(count) => {
                model.die(*count);
                Outcome::Done
            }
            Action::Join if model.ready.is_empty() && model.held.is_empty() => Outcome::Done,
            Action::Join => Outcome::Unfinished,
            Action::Close => {
                model.closed = true;
                Outcome::Done
            }
        };
        let observed = play(&*queue, action, &mut held, &mut die);
        let (sees, is) = (see(&*queue, dead.as_deref())?, model.see(script.capacity));
        if (&observed, sees) != (&expected, is) {
            let name = transport.name();
            return Err(format!(
                "step {number} on {name}, {action:?}:\n  came to {observed:?} and {sees:?},\n  not to {expected:?} and {is:?}"
            ));
        }
    }
    Ok(())
}

fn play(
    queue: &dyn Channel,
    action: &Action,
    held: &mut BTreeMap<u64, DeliveryTag>,
    die: &mut dyn FnMut(usize),
) -> Outcome {
    let mut message = Vec::new();
    let mut settle = |place: usize| held.keys().nth(place).copied().and_then(|number| held.remove(&number));
    let settled = |outcome: Option<Result<(), ipcq_core::DeliveryFault>>| match outcome {
        None | Some(Ok(())) => Outcome::Done,
        Some(Err(fault)) => Outcome::Other(fault.to_string()),
    };
    match action {
        Action::Put(bytes) => match queue.put(&[&bytes.bytes()], Wait::No) {
            Ok(()) => Outcome::Done,
            Err(PutFault::Full) => Outcome::Full,
            Err(PutFault::Closed) => Outcome::Closed,
            Err(fault) => Outcome::Other(fault.to_string()),
        },
        Action::Deliver => match queue.get_delivery(&mut message, Wait::No) {
            Ok(tag) => {
                held.insert(tag.number, tag);
                Outcome::Got(message, tag.redeliveries)
            }
            Err(fault) => withheld(&fault),
        },
        Action::Take => match queue.get(&mut message, Wait::No) {
            Ok(()) => Outcome::Got(message, 0),
            Err(fault) => withheld(&fault),
        },
        Action::Acknowledge(place) => settled(settle(*place).map(|tag| queue.acknowledge(&tag))),
        Action::GiveBack(place) => settled(settle(*place).map(|tag| queue.give_back(&tag))),
        Action::Die(count) => {
            die(*count);
            Outcome::Done
        }
        Action::Join => match queue.join(Wait::No) {
            Ok(()) => Outcome::Done,
            Err(JoinFault::Unfinished) => Outcome::Unfinished,
            Err(fault) => Outcome::Other(fault.to_string()),
        },
        Action::Close => {
            queue.close().map_or_else(|error| Outcome::Other(error.to_string()), |()| Outcome::Done)
        }
    }
}

fn withheld(fault: &GetFault) -> Outcome {
    match fault {
        GetFault::Empty => Outcome::Empty,
        GetFault::Closed => Outcome::Closed,
        other => Outcome::Other(other.to_string()),
    }
}

fn see(queue: &dyn Channel, dead: Option<&dyn Channel>) -> Result<Seen, String> {
    let look = || -> Result<Seen, ipcq_core::BackendError> {
        let stat = queue.stat()?;
        let (len, in_flight, full) = (queue.len()?, queue.in_flight()?, queue.is_full()?);
        let buried = dead.map_or(Ok(0), |dead| dead.len())?;
        Ok((len, in_flight, full, stat.closed, stat.puts, stat.gets, stat.redelivered, buried))
    };
    look().map_err(|error| error.to_string())
}

/// Hands out `count` messages of `queue`, if there are as many, and returns their tags.
#[must_use]
pub fn hold(queue: &dyn Channel, count: usize) -> Vec<DeliveryTag> {
    let mut message = Vec::new();
    (0..count).map_while(|_| queue.get_delivery(&mut message, Wait::No).ok()).collect()
}
