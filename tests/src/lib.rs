//! What the tests of all backends side by side are built from.

pub mod history;
pub mod messages;
pub mod peer;
pub mod process;
