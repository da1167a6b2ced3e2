//! The command line in real processes: what it prints, what it says, and how it exits, once per transport.

#[macro_use]
mod support;

/// Queues whose messages are acknowledged.
mod acknowledged;
/// Measuring: small runs whose results make sense.
mod bench;
/// The textbook program.
mod demo;
/// A command for each message.
mod exec;
/// Getting: amounts, framings, waiting, closed outputs.
mod get;
/// Processes that keep queues alive which would end with the command that made them.
mod keeper;
/// Making, showing, closing and removing queues.
mod lifecycle;
/// Queues that are reached at an address on the network.
mod listen;
/// Many messages through several processes.
mod pipelines;
/// How far long work has come.
mod progress;
/// What is scraped.
mod prometheus;
/// What users were promised and no other test shows.
mod promises;
/// Putting: framings, waiting, limits.
mod put;
/// Pipelines of processes around a queue of their own.
mod run;
/// What shells and manuals are told.
mod shell;
/// Queues of several transports side by side.
mod side_by_side;
/// Watching queues on a terminal.
mod top;
/// What is wrong is said in one line.
mod usage;
