//! The reference queue: what the contract says, as simply as it can be said, for one caller.

use std::collections::VecDeque;
use std::fmt;

/// The bytes of a message, of which only the beginning is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = &self.0[..self.0.len().min(4)];
        write!(f, "{} bytes {first:02x?}", self.0.len())
    }
}

/// Why an operation had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are the contract's")]
pub enum Why {
    Full,
    Empty,
    Timeout,
    Closed,
    TooLong,
    Gone,
    Missing,
    Exists,
    /// Something that the contract does not allow here.
    Other(String),
}

/// How long an operation of a script waits: none ever waits for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The `try_` form.
    None,
    /// A timeout of zero.
    Zero,
    /// For ever, where the operation can proceed at once; else as `None`.
    Endless,
}

impl Patience {
    /// What an operation says that cannot proceed, given what the `try_` form says.
    fn over(self, tried: Why) -> Why {
        match self {
            Self::Zero => Why::Timeout,
            Self::None | Self::Endless => tried,
        }
    }
}

/// One queue.
#[derive(Clone, Debug)]
pub struct Model {
    messages: VecDeque<Vec<u8>>,
    capacity: usize,
    max_message: usize,
    closed: bool,
    removed: bool,
    puts: u64,
    gets: u64,
}

impl Model {
    /// An empty queue.
    #[must_use]
    pub const fn new(capacity: usize, max_message: usize) -> Self {
        let messages = VecDeque::new();
        Self { messages, capacity, max_message, closed: false, removed: false, puts: 0, gets: 0 }
    }

    /// Whether a put of one message could proceed, or fail for good, without waiting.
    #[must_use]
    pub fn can_put(&self) -> bool {
        self.closed || self.messages.len() < self.capacity
    }

    /// Whether a get could proceed, or fail for good, without waiting.
    #[must_use]
    pub fn can_get(&self) -> bool {
        self.closed || !self.messages.is_empty()
    }

    /// Whether all of `messages` could be put without waiting, or the first that cannot be fails for good.
    #[must_use]
    pub fn can_put_all(&self, messages: &[Vec<u8>]) -> bool {
        let sound = messages.iter().take_while(|message| message.len() <= self.max_message).count();
        self.closed || self.messages.len() + sound <= self.capacity
    }

    /// Puts one message.
    ///
    /// # Errors
    /// As the contract says.
    pub fn put(&mut self, message: &[u8], patience: Patience) -> Result<(), Why> {
        if message.len() > self.max_message {
            return Err(Why::TooLong);
        }
        if self.closed {
            return Err(Why::Closed);
        }
        if self.messages.len() >= self.capacity {
            return Err(patience.over(Why::Full));
        }
        self.messages.push_back(message.to_vec());
        self.puts += 1;
        Ok(())
    }

    /// Puts one message after the other; returns how many went in, and why the next did not.
    pub fn put_many(&mut self, messages: &[Vec<u8>], patience: Patience) -> (usize, Result<(), Why>) {
        for (done, message) in messages.iter().enumerate() {
            if let Err(why) = self.put(message, patience) {
                return (done, Err(why));
            }
        }
        (messages.len(), Ok(()))
    }

    /// Gets one message.
    ///
    /// # Errors
    /// As the contract says.
    pub fn get(&mut self, patience: Patience) -> Result<Vec<u8>, Why> {
        if let Some(message) = self.messages.pop_front() {
            self.gets += 1;
            return Ok(message);
        }
        Err(if self.closed { Why::Closed } else { patience.over(Why::Empty) })
    }

    /// Gets up to `max` messages: exactly as many as are there.
    ///
    /// # Errors
    /// As the contract says.
    pub fn get_many(&mut self, max: usize, patience: Patience) -> Result<Vec<Vec<u8>>, Why> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut taken = vec![self.get(patience)?];
        while taken.len() < max && !self.messages.is_empty() {
            taken.extend(self.get(patience));
        }
        Ok(taken)
    }

    /// How many messages a get may take that is limited in messages and bytes: the first, whatever its size, and more
    /// as long as both limits are kept.
    #[must_use]
    pub fn most_within(&self, max: usize, bytes: usize) -> usize {
        let mut sum = 0_usize;
        let fits = |(n, message): &(usize, &Vec<u8>)| {
            sum += message.len();
            *n < max && (*n == 0 || sum <= bytes)
        };
        self.messages.iter().enumerate().take_while(fits).count()
    }

    /// Closes the queue.
    ///
    /// # Errors
    /// `Gone` after it was removed, as for all that follow.
    pub fn close(&mut self) -> Result<(), Why> {
        self.observe(|_| ())?;
        self.closed = true;
        Ok(())
    }

    /// Removes the queue: for those who still hold it, it is closed and empty.
    pub fn remove(&mut self) {
        self.messages.clear();
        self.closed = true;
        self.removed = true;
    }

    /// What `look` sees.
    ///
    /// # Errors
    /// `Gone` after it was removed.
    pub fn observe<R>(&self, look: impl FnOnce(&Self) -> R) -> Result<R, Why> {
        if self.removed { Err(Why::Gone) } else { Ok(look(self)) }
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether there are as many as the capacity.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.messages.len() == self.capacity
    }

    /// Whether it is closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many messages it takes.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many messages were put and taken since it was made.
    #[must_use]
    pub const fn totals(&self) -> (u64, u64) {
        (self.puts, self.gets)
    }
}
