//! What the tests of all backends side by side are built from.

#[cfg(target_arch = "x86_64")]
pub mod crash;
pub mod deliveries;
pub mod history;
pub mod messages;
pub mod model;
pub mod peer;
pub mod process;
pub mod script;
#[cfg(target_arch = "x86_64")]
pub mod stepper;
pub mod transports;
