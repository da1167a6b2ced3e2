//! Waiting for one of several queues: what a queue says of whether a call could go on, and what to sleep on until then.

use std::sync::atomic::AtomicU32;

/// Which side of the queue a call is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It puts.
    Put,
    /// It gets.
    Get,
}

impl Side {
    /// The side whose callers make those on this one go on.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Put => Self::Get,
            Self::Get => Self::Put,
        }
    }
}

/// The bit of a word that somebody sleeps on: see [`Readiness::announce`].
pub const ASLEEP: u32 = 1 << 31;

/// A queue whose callers can be waited for together with those of others, without calling it.
///
/// Who waits announces itself on each queue, looks whether one is [ready](Self::is_ready), and sleeps on all the words
/// while each has [`ASLEEP`], for 45 ms at most; then it [looks around](Self::look_around). A wake-up is meant for one
/// sleeper: who was woken, and does not use what it was woken for, [passes it on](Self::pass_on). None of these calls
/// waits for another participant.
pub trait Readiness {
    /// Whether a call on `side` could go on, at an instant inside the call, or would be told that the queue has ended.
    fn is_ready(&self, side: Side) -> bool;

    /// Says that the caller is about to sleep on the word that is returned, while it has [`ASLEEP`]. The caller must
    /// look once more in between. To be called again by whoever was woken, before it goes on: others may sleep there.
    fn announce(&self, side: Side) -> &AtomicU32;

    /// Wakes another sleeper on `side`, if there is one that could go on.
    fn pass_on(&self, side: Side);

    /// What a sleeper does whenever its time is over: looks who has died meanwhile, and gives memory back.
    fn look_around(&self);
}
