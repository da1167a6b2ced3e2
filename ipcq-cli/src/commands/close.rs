//! `close`: no more puts for anybody, and gets drain what is there.

use crate::backend::{Backends, label};
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;

pub(super) fn run(backends: &Backends, queue: &str, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let channel = backends.open(queue)?;
    channel.close()?;
    diagnostics.detail(&format!("closed queue {}", label(&*channel)));
    Ok(())
}
