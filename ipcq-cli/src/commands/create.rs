//! `create`: make a queue that stays until it is removed.

use crate::args::CreateArgs;
use crate::backend::{Backends, label};
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;

pub(super) fn run(backends: &Backends, args: &CreateArgs, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let channel = backends.create(&args.queue, &args.options())?;
    let capacity = channel.identity().capacity;
    diagnostics.detail(&format!("made queue {} for {capacity} messages", label(&*channel)));
    Ok(())
}
