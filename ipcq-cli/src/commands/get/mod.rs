//! `get`: messages out of a queue onto stdout, or to commands.

mod exec;
mod terms;

use std::sync::Arc;
use std::time::Duration;

use ipcq_core::{Batch, Channel, GetFault, Limit};

use self::terms::Terms;
use super::put::messages;
use crate::args::{Framing, GetArgs};
use crate::backend::{Backends, label};
use crate::closed_stdout;
use crate::diagnostics::Diagnostics;
use crate::failure::{Failure, Status};
use crate::output::{AHEAD, Output, Unwritten};
use crate::waiting::at_most;

/// How many messages are taken at once: with their delimiters they stay near [`AHEAD`] bytes.
const BATCH: usize = AHEAD / 4;
/// How often a waiting `get` looks whether anybody still reads stdout: rare enough to cost nothing.
const LOOK_AT_STDOUT: Duration = Duration::from_secs(1);

pub(super) fn run(backends: &Backends, args: &GetArgs, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let terms = Terms { amount: args.amount, wait: args.wait };
    if let Some(words) = &args.exec {
        let (channel, task) = (backends.open(&args.queue)?, exec::Task::new(words)?);
        return exec::run(&*channel, terms, &task, args.jobs, *diagnostics);
    }
    let channel = backends.open(&args.queue)?;
    let framing = Framing::from(args.framing);
    check_lengths(&*channel, framing)?;
    if closed_stdout::is_closed() {
        diagnostics.note(&format!("stdout is closed; nothing was taken from queue {}", label(&*channel)));
        return Ok(());
    }
    let output =
        Output::new(framing).map_err(|error| Failure::system("stdout could not be written", &error))?;
    let mut getter = Getter::new(channel, terms, output, *diagnostics);
    let end = getter.get_all();
    diagnostics.detail(&format!("got {} from queue {}", messages(getter.done), getter.queue));
    end
}

/// Refuses to take messages whose length could not be written before them.
fn check_lengths(channel: &dyn Channel, framing: Framing) -> Result<(), Failure> {
    let max = channel.identity().max_message;
    if framing == Framing::LengthPrefixed && u32::try_from(max).is_err() {
        return Err(Failure::failed(format!(
            "queue {} takes messages of up to {max} bytes, and a length of 32 bits cannot say that; use --raw",
            label(channel)
        )));
    }
    Ok(())
}

/// Takes messages from a queue, writes them, and counts them.
struct Getter {
    channel: Arc<dyn Channel>,
    queue: String,
    terms: Terms,
    output: Output,
    diagnostics: Diagnostics,
    /// How many were taken and written.
    done: u64,
}

/// What became of one attempt to get messages.
enum Step {
    /// Some are in the batch.
    Got,
    /// None will come any more, or none came in time.
    Ended(GetFault),
    /// Nobody reads stdout any more, and nothing was taken.
    NoReader,
}

impl Getter {
    fn new(channel: Arc<dyn Channel>, terms: Terms, output: Output, diagnostics: Diagnostics) -> Self {
        let queue = label(&*channel);
        Self { channel, queue, terms, output, diagnostics, done: 0 }
    }

    fn get_all(&mut self) -> Result<(), Failure> {
        let wanted = self.terms.wanted();
        let mut batch = Batch::new();
        while self.done < wanted {
            batch.clear();
            let at_once = usize::try_from(wanted - self.done).unwrap_or(BATCH).min(BATCH);
            match self.step(&mut batch, Limit::messages(at_once).with_bytes(AHEAD)) {
                Step::NoReader => return Ok(()),
                Step::Ended(fault) => return self.terms.end(&self.queue, self.done, &fault),
                Step::Got => {
                    if let Err(unwritten) = self.output.write(&batch) {
                        return self.not_written(&unwritten);
                    }
                    self.done += u64::try_from(batch.len()).unwrap_or(0);
                }
            }
        }
        Ok(())
    }

    /// Waits for messages as long as the user allows and somebody reads stdout.
    fn step(&self, batch: &mut Batch, limit: Limit) -> Step {
        let wait = self.terms.wait();
        loop {
            if self.output.is_closed() {
                return Step::NoReader;
            }
            let now = at_most(wait, LOOK_AT_STDOUT);
            match self.channel.get_many(batch, limit, now) {
                Ok(_) => return Step::Got,
                Err(GetFault::Timeout) if now != wait => {}
                Err(fault) if self.terms.try_again(&fault) => {}
                Err(fault) => return Step::Ended(fault),
            }
        }
    }

    /// Says what was taken and is lost. That nobody reads any more is the reader's choice, and no failure.
    fn not_written(&self, unwritten: &Unwritten) -> Result<(), Failure> {
        let count = u64::try_from(unwritten.messages).unwrap_or(u64::MAX);
        let lost = format!("{} taken from queue {} could not be written", messages(count), self.queue);
        if unwritten.is_closed() {
            self.diagnostics.note(&format!("stdout was closed; {lost}"));
            return Ok(());
        }
        let cause = crate::failure::cause(&unwritten.error);
        Err(Failure::new(Status::Failed, format!("stdout could not be written ({cause}); {lost}")))
    }
}
