//! Crash tests: a queue must survive the death of any of its users at any instruction.
//!
//! All this runs inside the program `victim`, which has one thread and so may fork freely. It is survivor and
//! tracer at once: it forks the process that is to die, lets it die, and looks at what is left.

mod board;
mod cell;
mod full_disk;
mod helper;
mod hostile;
mod huge;
mod idle;
mod jobs;
mod layout;
mod leaks;
mod ledger;
mod namespaces;
mod report;
pub mod scenarios;
mod states;
mod stopped;
mod stopwatch;
mod storm;
mod survey;
mod toy;
mod visit;
mod watchdog;
mod woken;

pub use board::board;
pub use cell::Cell;
pub use full_disk::full_disk;
pub use helper::Helper;
pub use hostile::{elsewhere, hostile, mismatch, odd_files};
pub use huge::huge;
pub use idle::idle;
pub use jobs::{do_jobs, jobs};
pub use leaks::leaks;
pub use ledger::{Message, drain, message};
pub use report::Report;
pub use states::states;
pub use stopped::{closed_under, stopped};
pub use storm::{stops, storm, work};
pub use survey::survey;
pub use toy::ToyTransport;
pub use visit::{How, Scenario, Visits, visit};
pub use watchdog::{stage, watch};
pub use woken::woken;
