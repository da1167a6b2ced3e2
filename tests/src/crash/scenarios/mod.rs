//! The operations under which processes die.

mod acknowledged;
mod contended;
mod leaving;
mod lent;
mod lifecycle;
mod recovery;
mod simple;
mod sleepers;
mod waiting;

use super::visit::Scenario;
pub(super) use simple::{fill, held};

/// All scenarios.
#[must_use]
pub fn all() -> Vec<Box<dyn Scenario>> {
    let mut all = simple::all();
    all.extend(contended::all());
    all.extend(recovery::all());
    all.extend(sleepers::all());
    all.extend(leaving::all());
    all.extend(lent::all());
    all.extend(lifecycle::all());
    all.extend(waiting::all());
    all.extend(acknowledged::all());
    all
}
