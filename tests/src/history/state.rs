//! The queue as histories see it: message numbers and whether it is closed.

use super::Effect;

/// What a queue holds between two effects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    messages: Vec<u32>,
    closed: bool,
}

impl State {
    /// The state after `effect`; `None` if it cannot happen in this state.
    #[must_use]
    pub fn after(&self, effect: Effect, capacity: usize) -> Option<Self> {
        let full = self.messages.len() >= capacity;
        let empty = self.messages.is_empty();
        let possible = match effect {
            Effect::Put(_) => !self.closed && !full,
            Effect::Full => !self.closed && full,
            Effect::PutClosed => self.closed,
            Effect::Got(message) => self.messages.first() == Some(&message),
            Effect::Empty => !self.closed && empty,
            Effect::GetClosed => self.closed && empty,
            Effect::Len(len) => len == self.messages.len(),
            Effect::IsEmpty(seen) => seen == empty,
            Effect::IsFull(seen) => seen == full,
            Effect::IsClosed(seen) => seen == self.closed,
            Effect::Close => true,
        };
        possible.then(|| self.changed_by(effect))
    }

    fn changed_by(&self, effect: Effect) -> Self {
        let mut next = self.clone();
        match effect {
            Effect::Put(message) => next.messages.push(message),
            Effect::Got(_) => {
                next.messages.remove(0);
            }
            Effect::Close => next.closed = true,
            _ => {}
        }
        next
    }
}
