//! How far long work has come, for those who watch it on a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::diagnostics::Diagnostics;

/// Work that is done before this needs no word.
const SHORT: Duration = Duration::from_secs(1);

/// A line at the bottom of the terminal that goes away with this value. Without a terminal, or for those who want quiet,
/// there is none.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When to begin to show it; never where nobody watches.
    from: Option<Instant>,
}

impl Progress {
    /// Of as many steps as are known.
    pub(crate) fn of_steps(steps: usize, diagnostics: &Diagnostics) -> Self {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        Self::new(Some(steps), "{bar:24} {pos}/{len} {msg}", Duration::ZERO, diagnostics)
    }

    /// Of messages, nobody knows how many, once it has taken a second.
    pub(crate) fn of_messages(diagnostics: &Diagnostics) -> Self {
        Self::new(None, "{human_pos} messages, {per_sec}, {elapsed}", SHORT, diagnostics)
    }

    fn new(len: Option<u64>, template: &str, after: Duration, diagnostics: &Diagnostics) -> Self {
        let bar = ProgressBar::with_draw_target(len, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let from = diagnostics.has_audience().then(|| Instant::now() + after);
        Self { bar, from }
    }

    /// Says that `more` is done.
    pub(crate) fn advance(&mut self, more: usize) {
        self.show();
        self.bar.inc(u64::try_from(more).unwrap_or(u64::MAX));
    }

    /// Says what is being done.
    pub(crate) fn doing(&mut self, what: String) {
        self.show();
        self.bar.set_message(what);
    }

    /// Says something in a line of its own, which stays.
    pub(crate) fn with_line(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    fn show(&mut self) {
        if self.from.is_some_and(|from| Instant::now() >= from) {
            self.from = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
