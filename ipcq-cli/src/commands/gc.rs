//! `gc`: remove what dead processes left behind.

use std::fmt::Write;

use serde_json::json;

use crate::args::Format;
use crate::backend::Backends;
use crate::diagnostics::Diagnostics;
use crate::failure::Failure;
use crate::output::print;

pub(super) fn run(backends: &Backends, format: Format, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let mut text = String::new();
    for transport in backends.all()? {
        for removed in transport.collect_garbage()? {
            let _ = match format {
                Format::Text | Format::Prometheus => writeln!(text, "{}: {removed}", transport.name()),
                Format::Json => {
                    writeln!(text, "{}", json!({ "transport": transport.name(), "removed": removed }))
                }
            };
        }
    }
    if text.is_empty() {
        diagnostics.detail("nothing was left behind by dead processes");
    }
    print(&text)
}
