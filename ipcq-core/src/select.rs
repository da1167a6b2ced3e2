//! Waiting for several queues at once: which of them can be got from first.

use std::fmt;
use std::hint;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use crate::deadline::Wait;
use crate::os::sleep_on_many::{Sleeper, has_looked};
use crate::queue::{AcknowledgedQueue, Queue};
use crate::readiness::{Readiness, Side};
use crate::transport::Channel;

/// Waits for several queues, of whatever types and transports, until one of them can be got from.
///
/// [`ready`](Self::ready) names a queue that has a message, or that has ended, so that a get would say so. It takes
/// nothing: another thread or process may take the message first, so get with `try_get` and wait again when that says
/// [`is_empty`](crate::TryGetError::is_empty). Where several are ready, each gets its turn. A queue that has ended is
/// ready until it is [removed](Self::remove) from the selection.
///
/// Queues in shared memory and over pipes wake who waits. Those of other transports are looked at: after a
/// millisecond, then ever less often, down to once in 135 ms for one such queue, and 45 ms more for each other. Where the
/// system does not offer `futex_waitv`, all are looked at, down to once in 45 ms. Of more than 128 queues, the next 128 can
/// wake who waits every 45 ms. A selection that waits is
/// not among the waiting getters of [`stat`](Queue::stat).
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Queue, QueueOptions, Select};
///
/// let transport = MemoryTransport::new();
/// let numbers = Queue::<u32>::create(&transport, "numbers", &QueueOptions::new())?;
/// let words = Queue::<String>::create(&transport, "words", &QueueOptions::new())?;
/// words.put("seven".to_owned())?;
/// words.close()?;
/// numbers.close()?;
///
/// let mut select = Select::new();
/// let (of_numbers, of_words) = (select.add(&numbers), select.add(&words));
/// let mut got = Vec::new();
/// while let Some(index) = select.ready() {
///     let next = match index {
///         of if of == of_numbers => numbers.try_get().map(|number| number.to_string()),
///         _ => words.try_get(),
///     };
///     match next {
///         Ok(text) => got.push(text),
///         Err(error) if error.is_closed() => select.remove(index),
///         Err(error) if error.is_empty() || error.is_busy() => {}
///         Err(error) => return Err(error.into()),
///     }
/// }
/// assert_eq!(got, ["seven"]);
/// assert_ne!(of_numbers, of_words);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Select<'a> {
    /// By index; those that were removed leave a gap.
    queues: Vec<Option<&'a dyn Channel>>,
    /// Where to look first, so that each gets its turn.
    next: usize,
    /// The queue that was named last, by which this may have been woken in place of another.
    named: Option<usize>,
}

impl<'a> Select<'a> {
    /// A selection of no queues.
    #[must_use]
    pub const fn new() -> Self {
        Self { queues: Vec::new(), next: 0, named: None }
    }

    /// Adds a queue: a [`Queue`], an [`AcknowledgedQueue`] or a channel. Returns its index, which counts from 0 in the
    /// order of adding.
    pub fn add(&mut self, queue: &'a impl AsRef<dyn Channel>) -> usize {
        self.queues.push(Some(queue.as_ref()));
        self.queues.len() - 1
    }

    /// Takes the queue of `index` out of the selection; the others keep their indices. Without effect where there is
    /// none.
    pub fn remove(&mut self, index: usize) {
        if let Some(queue) = self.queues.get_mut(index) {
            *queue = None;
        }
    }

    /// The index of a queue that is ready, waiting for one as long as it takes. `None` when no queue is left to wait for.
    ///
    /// # Blocking
    /// While each queue is empty and none has ended.
    pub fn ready(&mut self) -> Option<usize> {
        self.ready_within(Wait::Forever)
    }

    /// The index of a queue that is ready now. Does not wait.
    pub fn try_ready(&mut self) -> Option<usize> {
        self.ready_within(Wait::No)
    }

    /// The index of a queue that is ready, waiting for one for `timeout` at most. `None` when the time ran out, or no queue
    /// is left.
    ///
    /// # Blocking
    /// While each queue is empty and none has ended, for `timeout` at most.
    pub fn ready_timeout(&mut self, timeout: Duration) -> Option<usize> {
        self.ready_within(Wait::timeout(timeout))
    }

    /// The index of a queue that is ready, waiting for one until `deadline` at most. `None` when the time ran out, or no
    /// queue is left.
    ///
    /// # Blocking
    /// While each queue is empty and none has ended, until `deadline` at most.
    pub fn ready_deadline(&mut self, deadline: Instant) -> Option<usize> {
        self.ready_within(Wait::Until(deadline))
    }

    fn ready_within(&mut self, wait: Wait) -> Option<usize> {
        self.settle();
        let found = self.find().or_else(|| self.look_around_and_find());
        let index = match found {
            None if wait.is_over() || self.queues.iter().all(Option::is_none) => None,
            None => self.look_for_a_moment(wait).or_else(|| self.sleep(wait)),
            found => found,
        }?;
        self.named = Some(index);
        self.next = index + 1;
        Some(index)
    }

    /// The first queue that is ready, from the one on whose turn it is.
    fn find(&self) -> Option<usize> {
        let (before, from) = self.queues.split_at_checked(self.next).unwrap_or((&self.queues, &[]));
        let position = |queues: &[Option<&dyn Channel>]| {
            queues.iter().position(|queue| queue.is_some_and(|queue| is_ready(queue, Side::Get)))
        };
        position(from).map(|at| at + before.len()).or_else(|| position(before))
    }

    fn look_around_and_find(&self) -> Option<usize> {
        self.wakeable().for_each(|(_, queue)| queue.look_around());
        self.find()
    }

    /// Looks for less long than falling asleep and being woken would take.
    fn look_for_a_moment(&self, wait: Wait) -> Option<usize> {
        let start = Instant::now();
        while self.deaf() == 0 && !has_looked(start) && !wait.is_over() {
            if let Some(index) = self.find() {
                return Some(index);
            }
            hint::spin_loop();
        }
        None
    }

    fn sleep(&self, wait: Wait) -> Option<usize> {
        let mut sleeper = Sleeper::new();
        let index = loop {
            let words: Vec<&AtomicU32> =
                self.wakeable().map(|(_, queue)| queue.announce(Side::Get)).collect();
            let found = self.find();
            if found.is_some() || wait.is_over() {
                break found;
            }
            if !sleeper.sleep(&words, self.deaf(), wait)
                && let Some(index) = self.look_around_and_find()
            {
                break Some(index);
            }
        };
        // Any of them may have woken this one in place of another sleeper. For the one that is named it is not known yet
        // whether the caller takes what is there.
        for (at, queue) in self.wakeable() {
            queue.announce(Side::Get);
            if Some(at) != index {
                queue.pass_on(Side::Get);
            }
        }
        index
    }

    /// If what the last wait was woken for is still there, another one that sleeps there may have it.
    fn settle(&mut self) {
        let queue = self.named.take().and_then(|index| self.queues.get(index).copied().flatten());
        if let Some(queue) = queue.and_then(Channel::readiness) {
            queue.pass_on(Side::Get);
        }
    }

    /// The queues that wake who waits for them.
    fn wakeable(&self) -> impl Iterator<Item = (usize, &'a dyn Readiness)> {
        let queues = self.queues.iter().enumerate();
        queues.filter_map(|(index, queue)| Some((index, (*queue)?.readiness()?)))
    }

    /// How many queues wake nobody.
    fn deaf(&self) -> usize {
        self.queues.iter().flatten().filter(|queue| queue.readiness().is_none()).count()
    }
}

/// Whether a call on `side` would not wait. One that would fail is ready, and says why.
pub(crate) fn is_ready(queue: &dyn Channel, side: Side) -> bool {
    if let Some(queue) = queue.readiness() {
        return queue.is_ready(side);
    }
    let has_ended = || Ok(queue.is_closed()? && (side == Side::Put || queue.in_flight()? == 0));
    let must_wait = if side == Side::Get { queue.is_empty() } else { queue.is_full() };
    let ready = must_wait.and_then(|must_wait| if must_wait { has_ended() } else { Ok(true) });
    ready.unwrap_or(true)
}

impl Drop for Select<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Says how many queues there are, not what is in them.
impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.queues.iter().flatten().map(|queue| queue.identity().to_string());
        f.debug_struct("Select").field("queues", &queues.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl<T, C> AsRef<dyn Channel> for Queue<T, C> {
    fn as_ref(&self) -> &(dyn Channel + 'static) {
        self.channel().as_ref()
    }
}

impl<T, C> AsRef<dyn Channel> for AcknowledgedQueue<T, C> {
    fn as_ref(&self) -> &(dyn Channel + 'static) {
        self.channel().as_ref()
    }
}
