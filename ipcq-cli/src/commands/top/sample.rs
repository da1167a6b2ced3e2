//! What queues look like now, and how fast messages have gone through them since the last look.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use ipcq_core::{BackendError, Channel};
use serde::Serialize;

use crate::backend::{Backends, label};
use crate::failure::Failure;

/// How many looks are remembered of each queue: as many as the widest terminals have columns for.
const REMEMBERED: usize = 500;

/// One queue at one look.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) transport: &'static str,
    pub(super) len: usize,
    pub(super) capacity: usize,
    /// Since the look before; none at the first.
    pub(super) puts_per_second: Option<f64>,
    pub(super) gets_per_second: Option<f64>,
    pub(super) waiting_putters: usize,
    pub(super) waiting_getters: usize,
    pub(super) closed: bool,
    /// How long it was at each look so far, the last one last.
    #[serde(skip)]
    pub(super) depths: Vec<u64>,
}

/// All queues at one look.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) rows: Vec<Row>,
    /// Why others could not be looked at.
    pub(super) failures: Vec<Failure>,
}

type Channels = Vec<Arc<dyn Channel>>;

/// What is remembered of a queue.
struct History {
    at: Instant,
    puts: u64,
    gets: u64,
    depths: VecDeque<u64>,
}

/// Looks at queues again and again.
pub(super) struct Monitor<'a> {
    backends: &'a Backends,
    /// Those that are wanted; all when none is named.
    wanted: &'a [String],
    /// By incarnation: one of the same name is another queue.
    known: HashMap<u128, History>,
}

impl<'a> Monitor<'a> {
    pub(super) fn new(backends: &'a Backends, wanted: &'a [String]) -> Self {
        Self { backends, wanted, known: HashMap::new() }
    }

    /// Whether all the queues that are wanted are there.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.wanted.iter().try_for_each(|queue| self.backends.open(queue).map(drop))
    }

    /// All queues there are, or those that are wanted and still there.
    ///
    /// They are opened for the look only: a queue may end with the last process that has it, and that must not be one
    /// that only watches.
    pub(super) fn look(&mut self) -> Result<Look, Failure> {
        let (channels, mut failures) = self.channels()?;
        let mut rows = Vec::new();
        for channel in &channels {
            match self.row(&**channel) {
                Ok(row) => rows.push(row),
                Err(error) if error.is_gone() => {}
                Err(error) => failures.push(error.into()),
            }
        }
        let there = |incarnation: &u128| {
            channels.iter().any(|channel| channel.identity().incarnation == *incarnation)
        };
        self.known.retain(|incarnation, _| there(incarnation));
        Ok(Look { rows, failures })
    }

    /// Those that could be opened, and why others could not. One that was removed meanwhile is neither.
    fn channels(&self) -> Result<(Channels, Vec<Failure>), Failure> {
        if !self.wanted.is_empty() {
            let opened = self.wanted.iter().filter_map(|queue| self.backends.open(queue).ok());
            return Ok((opened.collect(), Vec::new()));
        }
        let (mut channels, mut failures) = (Vec::new(), Vec::new());
        for transport in self.backends.all()? {
            for name in transport.list()? {
                match transport.open(&name) {
                    Ok(channel) => channels.push(channel),
                    Err(error) if error.is_missing() => {}
                    Err(error) => failures.push(error.into()),
                }
            }
        }
        Ok((channels, failures))
    }

    fn row(&mut self, channel: &dyn Channel) -> Result<Row, BackendError> {
        let (identity, stat, now) = (channel.identity(), channel.stat()?, Instant::now());
        let depth = u64::try_from(stat.len).unwrap_or(u64::MAX);
        let before = self.known.remove(&identity.incarnation);
        let rate = |of: fn(&History) -> u64, count: u64| {
            let before = before.as_ref()?;
            let more = u32::try_from(count.saturating_sub(of(before))).unwrap_or(u32::MAX);
            let seconds = now.duration_since(before.at).as_secs_f64().max(1e-3);
            Some((f64::from(more) / seconds).round())
        };
        let puts_per_second = rate(|history| history.puts, stat.puts);
        let gets_per_second = rate(|history| history.gets, stat.gets);
        let mut depths = before.map(|history| history.depths).unwrap_or_default();
        depths.push_back(depth);
        if depths.len() > REMEMBERED {
            depths.pop_front();
        }
        let row = Row {
            name: identity.name.as_ref().map_or_else(|| label(channel), ToString::to_string),
            transport: identity.transport,
            len: stat.len,
            capacity: identity.capacity,
            puts_per_second,
            gets_per_second,
            waiting_putters: stat.waiting_putters,
            waiting_getters: stat.waiting_getters,
            closed: stat.closed,
            depths: depths.iter().copied().collect(),
        };
        let history = History { at: now, puts: stat.puts, gets: stat.gets, depths };
        self.known.insert(identity.incarnation, history);
        Ok(row)
    }
}
