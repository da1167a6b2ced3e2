//! What a broker knows of one session: a client's connection, and the next one should it be lost.

use std::collections::TryReserveError;

use crate::broker::ProcessId;
use crate::store::{LongMessage, Taken, Wanted};
use crate::wire::{Header, NO_WAIT, Request, SOME};

/// How many callers one request can stand for in what is told of a queue.
const CALLERS_MAX: usize = 1 << 16;

/// A request that waits.
#[derive(Debug)]
pub(crate) enum Parked {
    Put {
        request: Request,
        /// The messages that are not in the queue yet, packed, while it waits.
        packed: Vec<u8>,
        /// Where the first of them begins in what it is given.
        at: usize,
        /// How many are in the queue.
        put: usize,
        /// How many are to be.
        total: usize,
        /// The length of the one after them, which is too long.
        too_long: Option<usize>,
    },
    Get {
        request: Request,
        wanted: Wanted,
    },
    /// Waits until every message with a number below `end` has left for good.
    Join {
        request: Request,
        end: u64,
    },
}

impl Parked {
    pub(crate) const fn request(&self) -> &Request {
        match self {
            Self::Put { request, .. } | Self::Get { request, .. } | Self::Join { request, .. } => request,
        }
    }

    /// Keeps what is not in the queue yet of its messages, which are `content`.
    pub(crate) fn keep(&mut self, content: &[u8]) -> Result<(), TryReserveError> {
        if let Self::Put { packed, at, .. } = self {
            let rest = content.get(*at..).unwrap_or_default();
            packed.try_reserve_exact(rest.len())?;
            packed.extend_from_slice(rest);
            *at = 0;
        }
        Ok(())
    }

    /// The messages that it has kept.
    pub(crate) fn take_content(&mut self) -> Vec<u8> {
        match self {
            Self::Put { packed, .. } => std::mem::take(packed),
            Self::Get { .. } | Self::Join { .. } => Vec::new(),
        }
    }

    /// How many callers wait for it.
    pub(crate) fn callers(&self) -> usize {
        match self {
            Self::Put { request, put, total, .. } if request.flags & SOME != 0 => {
                total.saturating_sub(*put).max(1)
            }
            // One that is held for a moment does not wait.
            Self::Get { request, .. } if request.flags & NO_WAIT != 0 => 0,
            Self::Get { request, wanted } if request.flags & SOME != 0 => wanted.messages.min(CALLERS_MAX),
            _ => 1,
        }
    }

    /// How many messages it has put so far.
    pub(crate) const fn put(&self) -> usize {
        match self {
            Self::Put { put, .. } => *put,
            Self::Get { .. } | Self::Join { .. } => 0,
        }
    }

    /// What is to be known of it when it is repeated: how many messages it has put, or which it waits for.
    pub(crate) const fn progress(&self) -> u64 {
        match self {
            Self::Put { put, .. } => *put as u64,
            Self::Get { .. } => 0,
            Self::Join { end, .. } => *end,
        }
    }

    /// The bytes of messages that it holds.
    pub(crate) const fn bytes(&self) -> usize {
        match self {
            Self::Put { packed, .. } => packed.len(),
            Self::Get { .. } | Self::Join { .. } => 0,
        }
    }
}

/// Messages that were sent and not acknowledged.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) id: u64,
    pub(crate) messages: Taken,
    /// How many messages had left the queue when these had.
    pub(crate) left: u64,
    /// When they may be called back.
    pub(crate) recall_from: u64,
    /// Whether they are the client's once it has read them, and not only when it says so.
    pub(crate) on_read: bool,
    /// The number of the message and how often it had come back, in a queue whose messages have numbers.
    pub(crate) origin: Option<(u64, u32)>,
}

/// A delivery that was sent, and whose arrival is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// The request that it answers.
    pub(crate) id: u64,
    /// The number of the message.
    pub(crate) number: u64,
    /// When it may be called back.
    pub(crate) recall_from: u64,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) token: [u8; 16],
    pub(crate) process: ProcessId,
    /// The last put or get that was answered, and its answer, should it be asked for again.
    pub(crate) last: Option<Header>,
    pub(crate) taken: Option<InFlight>,
    pub(crate) sent: Option<Sent>,
    pub(crate) upload: LongMessage,
    pub(crate) parked: Option<Parked>,
    /// How many gets in a row that did not wait found nothing.
    pub(crate) misses: u8,
    /// The request that waited when the connection was lost, and its [`progress`](Parked::progress).
    pub(crate) interrupted: (u64, u64),
}

impl Session {
    pub(crate) fn new(token: [u8; 16], process: ProcessId) -> Self {
        let (last, taken, sent, parked) = (None, None, None, None);
        Self {
            token,
            process,
            last,
            taken,
            sent,
            upload: LongMessage::default(),
            parked,
            misses: u8::MAX,
            interrupted: (0, 0),
        }
    }

    /// Every reply up to `id` has arrived. Returns how many bytes need not be kept any more.
    pub(crate) fn acknowledge(&mut self, id: u64) -> usize {
        self.taken.take_if(|taken| taken.id <= id).map_or(0, |taken| taken.messages.bytes())
    }

    /// Whether what it was sent is its own once it has read it.
    pub(crate) fn takes_by_reading(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.on_read)
    }

    /// Whether something of it is to be taken back or thrown away should its process die.
    pub(crate) fn leaves_something(&self) -> bool {
        self.is_behind() || self.upload.len() > 0
    }

    /// Whether something was sent to it of which is not known that it arrived.
    pub(crate) const fn is_behind(&self) -> bool {
        self.taken.is_some() || self.sent.is_some()
    }
}
