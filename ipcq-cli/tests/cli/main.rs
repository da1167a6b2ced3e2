//! The command line in real processes: what it prints, what it says, and how it exits, once per transport.

#[macro_use]
mod support;

/// Measuring: small runs whose results make sense.
mod bench;
/// The textbook program.
mod demo;
/// Getting: amounts, framings, waiting, closed outputs.
mod get;
/// Processes that keep queues alive which would end with the command that made them.
mod keeper;
/// Making, showing, closing and removing queues.
mod lifecycle;
/// Many messages through several processes.
mod pipelines;
/// Putting: framings, waiting, limits.
mod put;
/// Queues of several transports side by side.
mod side_by_side;
/// What is wrong is said in one line.
mod usage;
