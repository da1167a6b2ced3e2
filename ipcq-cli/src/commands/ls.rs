//! `ls`: all queues.

use ipcq_core::{QueueName, Transport};

use super::prometheus::exposition;
use super::stat::Report;
use crate::args::Format;
use crate::backend::Backends;
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;
use crate::output::{print, table};

/// Prints every queue that can be opened, and says on stderr which cannot and why: a broken one must not hide
/// the others. The last of these failures is the command's.
pub(super) fn run(backends: &Backends, format: Format, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for transport in backends.all()? {
        for name in transport.list()? {
            match report(&*transport, &name) {
                Ok(report) => reports.extend(report),
                Err(failure) => failures.push(failure),
            }
        }
    }
    if reports.is_empty() && failures.is_empty() {
        diagnostics.detail("there are no queues; make one with `ipcq create NAME`");
    }
    if !reports.is_empty() {
        print(&shown(&reports, format)?)?;
    }
    diagnostics.all_failed(failures)
}

fn shown(reports: &[Report], format: Format) -> Result<String, Failure> {
    match format {
        Format::Json => reports.iter().map(|report| Ok(report.json()? + "\n")).collect(),
        Format::Prometheus => Ok(exposition(reports)),
        Format::Text => Ok(table(&Report::LISTED, &reports.iter().map(Report::listed).collect::<Vec<_>>())),
    }
}

/// What is known of a queue; nothing of one that was removed in the meantime.
fn report(transport: &dyn Transport, name: &QueueName) -> Result<Option<Report>, Failure> {
    let channel = match transport.open(name) {
        Err(error) if error.is_missing() => return Ok(None),
        opened => opened?,
    };
    match Report::of(&*channel) {
        Err(error) if error.is_gone() => Ok(None),
        report => Ok(Some(report?)),
    }
}
