//! Stops a process at any instruction, so that it can be killed there.
//!
//! A [`Tracee`] is a fork of the calling process that is single-stepped from [`begin_marker`] to [`end_marker`].
//! Because it is a fork, its code lies where the caller's does: one run recorded step by step ([`Trace`]) tells
//! how to bring later ones to the same instruction with hardware breakpoints ([`Approach`]), in tens of
//! microseconds instead of 20 us for each step on the way.

mod reach;
mod trace;
mod tracee;

pub use reach::reach;
pub use trace::{Approach, Point, Target, Trace};
pub(crate) use tracee::is_asleep;
pub use tracee::{Event, Tracee, begin_marker, end_marker, leave};
