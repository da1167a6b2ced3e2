//! Why a step under one of a queue's locks did not happen.

use std::io;

/// Something in shared memory that no queue can have put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage;

/// Why a queue could not store a message.
#[derive(Debug)]
pub enum Stuck {
    /// What is in shared memory makes no sense.
    Damage,
    /// No memory, no address space or no descriptor could be had.
    NoRoom(io::Error),
}

/// Why a message was not put.
#[derive(Debug)]
pub enum PutRefusal {
    /// The queue holds as many messages as it takes.
    Full,
    /// The queue is closed.
    Closed,
    /// It could not be stored.
    Stuck(Stuck),
}

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum GetRefusal {
    /// There is none.
    Empty,
    /// There is none, and the queue is closed.
    Closed,
    /// The buffer must hold this many bytes first.
    TooSmall(usize),
    /// What is in shared memory makes no sense.
    Damage,
}

impl From<Damage> for Stuck {
    fn from(Damage: Damage) -> Self {
        Self::Damage
    }
}

impl From<io::Error> for Stuck {
    fn from(error: io::Error) -> Self {
        Self::NoRoom(error)
    }
}

impl From<Stuck> for PutRefusal {
    fn from(stuck: Stuck) -> Self {
        Self::Stuck(stuck)
    }
}

impl From<Damage> for PutRefusal {
    fn from(Damage: Damage) -> Self {
        Self::Stuck(Stuck::Damage)
    }
}

impl From<Damage> for GetRefusal {
    fn from(Damage: Damage) -> Self {
        Self::Damage
    }
}
