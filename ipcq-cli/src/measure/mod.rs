//! How queues are measured: real processes that do jobs, messages that are checked, and what queues are measured beside.
//!
//! A [`Crew`] is a set of processes that wait for jobs; each is told what to do by a [`Job`] and answers with a
//! [`Report`](job::Report). What a process does is [`work`] for queues of any transport, pipes and sockets, and
//! [`serve`](serve()) for whatever else moves messages.

mod calibrate;
pub mod chart;
pub mod content;
mod crew;
mod fault;
pub mod job;
pub mod placement;
mod queues;
pub mod raw_pipe;
pub mod raw_socket;
mod serve;
pub mod spread;
mod team;
pub mod threads;

pub use self::calibrate::{calibrated, divisible};
pub use self::crew::{Crew, Launch, Measured, Shape, combined};
pub use self::fault::Fault;
pub use self::job::Job;
pub use self::serve::{Work, serve, work};
pub use self::team::Team;
