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
/// the others.
pub(super) fn run(backends: &Backends, format: Format, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let mut reports = Vec::new();
    for transport in backends.all()? {
        for name in transport.list()? {
            match report(&*transport, &name) {
                Ok(report) => reports.extend(report),
                Err(failure) => diagnostics.note(failure.text()),
            }
        }
    }
    if reports.is_empty() {
        diagnostics.detail("there are no queues; make one with `ipcq create NAME`");
        return Ok(());
    }
    match format {
        Format::Json => {
            let lines = reports.iter().map(|report| Ok(report.json()? + "\n"));
            print(&lines.collect::<Result<String, Failure>>()?)
        }
        Format::Prometheus => print(&exposition(&reports)),
        Format::Text => print(&table(&Report::COLUMNS, &reports.iter().map(Report::row).collect::<Vec<_>>())),
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
