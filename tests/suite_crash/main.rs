//! Crash tests: whoever is killed or stopped at any instruction, the others go on (clauses Q15 to Q17).
//!
//! Every test runs the program `victim`, whose forks die.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::print_stdout, reason = "tests print what they measured")]

mod laboratory;
/// Many die in the same place.
mod leaks;
/// The machinery sees a queue that does not survive.
mod machinery;
mod stepping;

/// The disk is full.
mod full_disk;
/// Somebody wrote into the queue, or put something else in its place.
mod hostile;
/// Workers are killed that hold jobs.
mod jobs;
/// A message is handed out, acknowledged or given back.
mod step_acknowledged;
/// A batch is put or got.
mod step_batch;
/// One message is got.
mod step_get;
/// A message is built or read in place.
mod step_lent;
/// A queue is made, closed or removed.
mod step_lifecycle;
/// One message is put.
mod step_put;
/// Someone else is inside an operation, alive or dead.
mod step_recovery;
/// Someone else sleeps.
mod step_sleepers;
/// What there is to die between.
mod step_states;
/// Somebody is stopped.
mod stopped;
/// Everybody is killed, one after the other.
mod storm;
